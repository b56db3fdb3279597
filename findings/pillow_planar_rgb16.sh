#!/usr/bin/env bash
# Pillow 13.0.0: 16-bit RGB TIFF in separate planes, uncompressed, opens as an 8-bit picture of something else.
#
# One would guess: either the right picture (at 8 bits, as for interleaved 16-bit RGB), or an error.
# What happens: the planes are read as if they were of 8 bits, so that high and low bytes lie side by side as
#   pixels and half of every plane is never read. Interleaved, the same picture comes out as its high bytes.
# Seen with: Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6, Python 3.11.
# Seen output: "interleaved: the high bytes" and "planes: RGB, columns alternate between high and low bytes".
# Why it matters to image collections: scanners and microscopes write planar colours; a catalogue that trusts
#   "it opened" fills with stripes.
# Fails (exit 1) when either half changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import io
import sys

import numpy as np
import tifffile
from PIL import Image

# High bytes 10, 20, 30 by channel; low bytes 200 everywhere.
picture = np.zeros((3, 8, 8), np.uint16)
picture[:] = (np.array([10, 20, 30]) * 256 + 200)[:, None, None]


def opened(**layout: str) -> np.ndarray:
    file = io.BytesIO()
    data = picture if layout["planarconfig"] == "separate" else picture.transpose(1, 2, 0)
    tifffile.imwrite(file, data, photometric="rgb", **layout)
    file.seek(0)
    assert np.array_equal(tifffile.imread(file), data)
    file.seek(0)
    with Image.open(file) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


whole = opened(planarconfig="contig")
interleaved = (whole == np.array([10, 20, 30])).all()
print("interleaved:", "the high bytes" if interleaved else whole[0, :4].tolist())
planes = opened(planarconfig="separate")
rows = planes[:, :, 0]
stripes = set(np.unique(rows).tolist()) == {10, 200} and bool((rows[:, 0] != rows[:, 1]).all())
print("planes:", "RGB, columns alternate between high and low bytes" if stripes else rows[:2].tolist())
sys.exit(not (interleaved and stripes))
PY
"$work/venv/bin/python" "$work/look.py"
