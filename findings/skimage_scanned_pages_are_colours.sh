#!/usr/bin/env bash
# scikit-image 0.26.0 and tifffile 2026.3.3: six scanned pages, every other one lying, are read as one colour picture.
#
# One would guess: a TIFF of six pages is read as its first page, or as six pictures.
# What happens: tifffile's imread takes the pages that are as large as the first, wherever they stand: pages 1, 3 and 5, as
#   an array [3, rows, columns]. The three others are gone without a word, and page 3 has become number 2. scikit-image reads
#   through it and takes a first axis of three for colours: the picture is [rows, columns, 3], page 1 its red, page 3 its green,
#   page 5 its blue. imageio's imread is right or wrong with the plugin; Pillow and OpenCV count six pages.
# Seen with: scikit-image 0.26.0, tifffile 2026.3.3, imageio 2.38.1, opencv-python-headless 5.0.0.93, Pillow 13.0.0, numpy 2.4.6,
#   Python 3.11. Every pixel of a page is the page's number; the file is Pillow's.
# Seen output: "tifffile (3, 20, 30), pages 1 3 5 / scikit-image (20, 30, 3), pages 1 3 5 / imageio, its own choice (3, 20, 30), pages
#   1 3 5 / imageio, pillow (20, 30), pages 1 / OpenCV 6 pictures, pages 1 2 3 4 5 6".
# Why it matters to image collections: herbarium sheets, plates and notebooks come from scanners as such files, standing and lying.
#   What looks like a colour picture with coloured ghosts is three sheets, half of the sheets are missing, and places
#   that were marked by page number are on other pages.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 tifffile==2026.3.3 imageio==2.38.1 \
  opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import cv2
import imageio.v3
import numpy as np
import skimage.io
import tifffile
from PIL import Image

path = f"{sys.argv[1]}/scan.tif"
pages = [Image.fromarray(np.full((20, 30) if number % 2 else (30, 20), number, np.uint8)) for number in range(1, 7)]
pages[0].save(path, save_all=True, append_images=pages[1:])
assert Image.open(path).n_frames == 6


def told(name, found):
    seen = np.shape(found), np.unique(found).tolist()
    print(f"{name}:", *seen)
    return seen


sound = told("tifffile", tifffile.imread(path)) == ((3, 20, 30), [1, 3, 5])
sound &= told("scikit-image", skimage.io.imread(path)) == ((20, 30, 3), [1, 3, 5])
sound &= told("imageio, its own choice", imageio.v3.imread(path)) == ((3, 20, 30), [1, 3, 5])
sound &= told("imageio, pillow", imageio.v3.imread(path, plugin="pillow")) == ((20, 30), [1])
_, every = cv2.imreadmulti(path, flags=cv2.IMREAD_UNCHANGED)
print(f"OpenCV: {len(every)} pictures, pages", *[int(page[0, 0]) for page in every])
sys.exit(not (sound and [int(page[0, 0]) for page in every] == [1, 2, 3, 4, 5, 6]))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
