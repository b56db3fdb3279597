#!/usr/bin/env bash
# JPEG 2000 (pillow 13.0.0; GDAL 3.10.3 in rasterio 1.4.4): a picture decoded at 1/2^r lies half a reduced pixel beside
#   one that was made smaller by averaging.
#
# One would guess: where the sides are multiples of 2^r, a reduced pixel covers a square of 2^r pixels, as in a JPEG
#   decoded at an eighth, a thumbnail or an overview; its centre (i) is (i + 1/2) * 2^r - 1/2 in the whole picture.
# What happens: the filters of both wavelets of the format (5/3, lossless, and 9/7) are symmetric about the even
#   samples, so what remains after a step lies on pixel 2i, not between 2i and 2i + 1. The centre of the reduced pixel i
#   is i * 2^r. Carried back by squares, a point is off by (2^r - 1) / 2 pixels, right and down: 15.5 at 1/32. It
#   is no decoder's fault: Pillow's `reduce` and GDAL's overviews of a .jp2 have the same places.
# Seen with: pillow 13.0.0 (OpenJPEG 2.5.4), rasterio 1.4.4 (GDAL 3.10.3), numpy 2.4.6, Python 3.11. A blob, 1024 x 1024,
#   centre at x = 503.
# Seen output: "1/8: averaged 503.0; JPEG 2000 by squares 506.5 (5/3), 506.5 (9/7), 506.5 (GDAL), by i * 8: 503.0" and
#   "1/32: averaged 503.0; JPEG 2000 by squares 518.5 (5/3), 518.4 (9/7), by i * 32: 503.0".
# Why it matters to image collections: slides, satellite scenes and library scans are JPEG 2000 because of these
#   levels. Landmarks found on a level, or a GeoTIFF laid over a .jp2's overview, are off by as much as they were reduced.
# Fails (exit 1) when any of these places changes by a tenth of a pixel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 rasterio==1.4.4 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
import warnings

import numpy as np
import rasterio
from PIL import Image

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
SIDE, PLACE = 1024, 503.0
rows, columns = np.mgrid[0:SIDE, 0:SIDE]
blob = (250 * np.exp(-((columns - PLACE) ** 2 + (rows - 520.0) ** 2) / (2 * 80**2))).astype(np.uint8)


def centre(picture):
    """Column of the centre of mass, in the picture's own pixels."""
    weights = np.asarray(picture, float).sum(axis=0)
    return float((weights * np.arange(len(weights))).sum() / weights.sum())


def by_squares(picture, factor):
    return (centre(picture) + 0.5) * factor - 0.5


files = {}
for name, irreversible in (("5/3", False), ("9/7", True)):
    files[name] = f"{sys.argv[1]}/{name[0]}.jp2"
    Image.fromarray(blob).save(files[name], irreversible=irreversible, num_resolutions=7)


def reduced(name, steps):
    with Image.open(files[name]) as picture:
        picture.reduce = steps
        picture.load()
        assert picture.size == (SIDE >> steps, SIDE >> steps)
        return picture.copy()


ok = True
for steps in (3, 5):
    factor = 2**steps
    shift = (factor - 1) / 2
    averaged = by_squares(Image.fromarray(blob).reduce(factor), factor)
    ours = {name: by_squares(reduced(name, steps), factor) for name in files}
    even = centre(reduced("5/3", steps)) * factor
    if steps == 3:
        with rasterio.open(files["5/3"]) as whole:
            level = whole.overviews(1).index(factor)
        with rasterio.open(files["5/3"], overview_level=level) as overview:
            ours["GDAL"] = by_squares(overview.read(1), factor)
    told = ", ".join(f"{place:.1f} ({name})" for name, place in ours.items())
    print(f"1/{factor}: averaged {averaged:.1f}; JPEG 2000 by squares {told}, by i * {factor}: {even:.1f}")
    ok &= abs(averaged - PLACE) < 0.1 and abs(even - PLACE) < 0.1
    ok &= all(abs(place - PLACE - shift) < 0.15 for place in ours.values())
sys.exit(not ok)
PY
"$work/venv/bin/python" "$work/look.py" "$work"
