#!/usr/bin/env bash
# GDAL 3.10.3 (rasterio 1.4.4): overviews made with GAUSS lie beside the picture, on the other side than those of NEAREST.
#
# One would guess: a Gaussian is symmetric; an overview made with it shows everything where AVERAGE shows it, a
#   little softer. Where an overview of 1/8 lies does not depend on which others are made along with it.
# What happens: AVERAGE, RMS, BILINEAR, CUBIC, CUBICSPLINE and LANCZOS are right to a few hundredths of a pixel. GAUSS
#   halves by three taps, which lie about the second of every two pixels instead of between them, so that every level
#   moves all by half a pixel of the one above to the left and up, and the moves add up: 7.5 pixels at 1/16. NEAREST takes
#   the first of the two: 7.5 to the right and down. GAUSS at 1/16 made directly, without those between, is off by half.
# Seen with: rasterio 1.4.4 (GDAL 3.10.3), numpy 2.4.6, Python 3.11. A blob in 1024 x 1024 pixels; by how many of these its
#   centre is off at 1/2, 1/4, 1/8 and 1/16.
# Seen output: "average 0.0 0.0 0.0 0.0 / cubic 0.0 0.0 0.0 0.0 / gauss -0.5 -1.5 -3.5 -7.5 / nearest 0.5 1.5 3.5 7.5 /
#   gauss, 1/16 alone -0.5".
# Why it matters to image collections: overviews are what is shown, clicked on and searched first. A point marked on a
#   level is carried to the wrong place, and two scans of one thing, one archive's with GAUSS and the other's with NEAREST,
#   come to lie 15 pixels apart.
# Fails (exit 1) when any of these places changes by a tenth of a pixel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
import warnings

import numpy as np
import rasterio
from rasterio.enums import Resampling

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
SIDE, PLACE = 1024, 503.0
rows, columns = np.mgrid[0:SIDE, 0:SIDE]
blob = (250 * np.exp(-((columns - PLACE) ** 2 + (rows - 520.0) ** 2) / (2 * 80**2))).astype(np.uint8)


def off(kind, factors):
    """How far right of its place the blob's centre is on each overview, pixels of the whole picture."""
    path = f"{sys.argv[1]}/{kind}-{len(factors)}.tif"
    with rasterio.open(path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint8") as file:
        file.write(blob, 1)
    with rasterio.open(path, "r+") as file:
        file.build_overviews(factors, Resampling[kind])
    found = []
    for level, factor in enumerate(factors):
        with rasterio.open(path, overview_level=level) as file:
            weights = file.read(1).astype(float).sum(axis=0)
        assert len(weights) == SIDE // factor
        centre = (weights * np.arange(len(weights))).sum() / weights.sum()
        found.append(float((centre + 0.5) * factor - 0.5 - PLACE))
    return found


def told(name, found):
    print(name, *(f"{value:.1f}" if round(value, 1) else "0.0" for value in found))
    return found


factors = [2, 4, 8, 16]
shift = np.array([(factor - 1) / 2 for factor in factors])
ok = True
for kind, expected in (("average", 0 * shift), ("cubic", 0 * shift), ("gauss", -shift), ("nearest", shift)):
    ok &= np.allclose(told(kind, off(kind, factors)), expected, atol=0.1)
ok &= np.allclose(told("gauss, 1/16 alone", off("gauss", [16])), -0.5, atol=0.1)
sys.exit(not ok)
PY
"$work/venv/bin/python" "$work/look.py" "$work"
