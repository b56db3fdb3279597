#!/usr/bin/env bash
# Pillow 13.0.0 (OpenJPEG 2.5.4): 16-bit greys saved as a JPEG 2000 in tiles come out as another picture.
#
# One would guess: JPEG 2000 is lossless unless asked otherwise; tile_size changes how the file is cut, not what it shows.
# What happens: 8-bit greys in tiles and 16-bit greys without tiles come back to the last bit. 16-bit greys in tiles do
#   not: a tile that begins at column x shows what is at column x / 2, so that only the first column of tiles is right. Nothing
#   is said when it is written or read, and other readers (imagecodecs' OpenJPEG) see the same wrong pixels: it is the
#   file that is wrong.
# Seen with: pillow 13.0.0 (OpenJPEG 2.5.4 in its wheel), numpy 2.4.6, Python 3.11.
# Seen output: "equal pixels: 8 bits in tiles 100 %, 16 bits whole 100 %, 16 bits in tiles 41 %, its first column of tiles 100 %".
# Why it matters to image collections: satellite scenes and microscopy are 16-bit greys, and large ones are tiled, as
#   everybody advises; an archive that was converted so has lost most of what it showed.
# Fails (exit 1) when 16-bit greys in tiles come back as they were, or those whole or of 8 bits do not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import io
import sys

import numpy as np
from PIL import Image

TILE = (208, 176)
rows, columns = np.mgrid[:384, :512]
deep = (columns * 64 + rows * 16).astype(np.uint16)


def equal(pixels, **options):
    """Which pixels come back as they were."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", **options)
    return np.asarray(Image.open(file)) == pixels


flat, whole, tiled = equal((deep >> 8).astype(np.uint8), tile_size=TILE), equal(deep), equal(deep, tile_size=TILE)
shares = [100 * part.mean() for part in (flat, whole, tiled, tiled[:, : TILE[0]])]
print(
    "equal pixels: 8 bits in tiles {:.0f} %, 16 bits whole {:.0f} %, 16 bits in tiles {:.0f} %, "
    "its first column of tiles {:.0f} %".format(*shares)
)
sys.exit(not (flat.all() and whole.all() and tiled.mean() < 0.5 and tiled[:, : TILE[0]].all()))
PY
"$work/venv/bin/python" "$work/look.py"
