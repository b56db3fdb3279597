#!/usr/bin/env bash
# dask 2026.8.0 and dask-image 2026.5.0: the two imread of dask put the same files into two orders.
#
# One would guess: `dask.array.image.imread("frames/*.png")` and `dask_image.imread.imread("frames/*.png")`, of one project, give
#   the same stack.
# What happens: the first sorts names as texts (1, 10, 11, 12, 2, 3, ...), the second by the numbers in them (1, 2, 3, ...). Both
#   give an array of the same shape; neither keeps the names. scikit-image and tifffile count like the second, Python's
#   sorted(glob) like the first.
# Seen with: dask 2026.8.0, dask-image 2026.5.0, scikit-image 0.26.0, tifffile 2026.3.3, Pillow 13.0.0, numpy 2.4.6, Python 3.11.
# Seen output: "dask.array.image: 1 10 11 12 2 3 4 5 6 7 8 9 / dask_image: 1 2 3 4 5 6 7 8 9 10 11 12 / scikit-image: 1 2 3 4 5 6 7 8 9
#   10 11 12 / tifffile: 1 2 3 4 5 6 7 8 9 10 11 12 / sorted(glob): 1 10 11 12 2 3 4 5 6 7 8 9".
# Why it matters to image collections: frames and slices are stacked by one and labels, by glob or by the other; from the tenth
#   on each label is on another picture, and all are plausible. Write numbers with leading zeros, or give lists.
# Fails (exit 1) when any of the five changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "dask[array]==2026.8.0" dask-image==2026.5.0 \
  scikit-image==0.26.0 tifffile==2026.3.3 pillow==13.0.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import glob
import re
import sys

import dask.array.image
import dask_image.imread
import numpy as np
import skimage.io
import tifffile
from PIL import Image

folder = sys.argv[1]
for number in range(1, 13):
    for ending in ("png", "tif"):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(f"{folder}/frame_{number}.{ending}")
pattern = f"{folder}/*.png"
found = {
    "dask.array.image": np.asarray(dask.array.image.imread(pattern))[:, 0, 0],
    "dask_image": np.asarray(dask_image.imread.imread(pattern))[:, 0, 0],
    "scikit-image": [picture[0, 0] for picture in skimage.io.ImageCollection(pattern)],
    "tifffile": tifffile.imread(f"{folder}/*.tif")[:, 0, 0],
    "sorted(glob)": [re.search(r"_(\d+)", name)[1] for name in sorted(glob.glob(pattern))],
}
orders = {name: [int(value) for value in numbers] for name, numbers in found.items()}
for name, numbers in orders.items():
    print(f"{name}:", *numbers)
counted = list(range(1, 13))
spelled = [1, 10, 11, 12, *range(2, 10)]
expected = dict(zip(orders, (spelled, counted, counted, counted, spelled), strict=True))
sys.exit(orders != expected)
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
