#!/usr/bin/env bash
# Pillow 13.0.0: compressed big-endian TIFF of signed or float samples comes out byte-swapped, without a word.
#
# One would guess: a TIFF decodes to the numbers it holds, whatever its byte order and compression.
# What happens: uncompressed it does, and compressed unsigned 16-bit does. Compressed (zlib here) big-endian
#   int16, int32 and float32 come out with the bytes of every sample reversed: libtiff hands samples over in the
#   machine's order, and Pillow swaps them once more. No error, no warning.
# Seen with: Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6, Python 3.11, x86-64.
# Seen output: "int16 none: right / int16 zlib: swapped / int32 zlib: swapped / float32 zlib: swapped / uint16 zlib:
#   right".
# Why it matters to image collections: elevation models, microscopes and thermal cameras write such files; what
#   comes out is noise that still looks like an array of plausible size.
# Fails (exit 1) when any of the five changes.
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

ramp = np.arange(1, 65).reshape(8, 8) * 300
expected = {("int16", None): "right", ("int16", "zlib"): "swapped", ("int32", "zlib"): "swapped",
            ("float32", "zlib"): "swapped", ("uint16", "zlib"): "right"}
same = True
for (kind, compression), usual in expected.items():
    stored = ramp.astype(kind)
    file = io.BytesIO()
    tifffile.imwrite(file, stored, byteorder=">", compression=compression)
    file.seek(0)
    assert np.array_equal(tifffile.imread(file), stored)
    file.seek(0)
    found = np.asarray(Image.open(file)).astype(np.dtype(kind).newbyteorder("="))
    if np.array_equal(found, stored):
        seen = "right"
    elif found.tobytes() == stored.byteswap().tobytes():
        seen = "swapped"
    else:
        seen = "something else"
    print(f"{kind} {compression or 'none'}: {seen}")
    same &= seen == usual
sys.exit(not same)
PY
"$work/venv/bin/python" "$work/look.py"
