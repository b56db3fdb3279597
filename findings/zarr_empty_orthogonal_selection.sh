#!/usr/bin/env bash
# zarr 3.1.6: selecting nothing by a list of rows is an error; NumPy gives an empty array.
#
# One would guess: array.oindex[[]] is an array of shape (0, ...), as with NumPy and with h5py's empty slices.
# What happens: IndexError from inside zarr's indexing; array[0:0] is fine.
# Seen with: zarr 3.1.6, numpy 2.4.6, Python 3.11.
# Seen output: "numpy (0, 3) / zarr slice (0, 3) / zarr oindex IndexError".
# Why it matters to image collections: "the maps of the images that fit" is such a selection, and a set in which
#   no other image fits is an ordinary set.
# Fails (exit 1) when any of the three changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check zarr==3.1.6 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import numpy as np
import zarr

rows = np.arange(12).reshape(4, 3)
array = zarr.array(rows, store=zarr.storage.MemoryStore())
numpy_shape = rows[np.array([], int)].shape
slice_shape = array[0:0].shape
try:
    seen = f"zarr oindex {array.oindex[[]].shape}"
except IndexError:
    seen = "zarr oindex IndexError"
print(f"numpy {numpy_shape} / zarr slice {slice_shape} / {seen}")
sys.exit(not (numpy_shape == slice_shape == (0, 3) and seen.endswith("IndexError")))
PY
"$work/venv/bin/python" "$work/look.py"
