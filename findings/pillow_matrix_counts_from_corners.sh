#!/usr/bin/env bash
# Pillow 13.0.0: one and the same 2 x 3 matrix moves a picture to another place in Pillow than in OpenCV, scikit-image and SciPy.
#
# One would guess: x' = a x + b y + c means the same in all of them once it is the matrix from output to input, as which
#   OpenCV (WARP_INVERSE_MAP), scikit-image, SciPy and Pillow (Image.transform, AFFINE) all take it.
# What happens: OpenCV, scikit-image and SciPy count from the centre of the first pixel, Pillow from its corner. The same matrix
#   is apart by (s - 1) / 2 pixels of the input where it scales by s, and by up to a pixel in each direction where it turns; only
#   shifts agree. Pictures look right in each; a mask warped by one and its picture by another do not fit.
# Seen with: Pillow 13.0.0, opencv-python-headless 5.0.0.93, scikit-image 0.26.0, SciPy 1.17.1, numpy 2.4.6, Python 3.11.
# Seen output: column of the input that the output's pixel (4, 4) shows: "shift: OpenCV 7.00, scikit-image 7.00, SciPy 7.00, Pillow
#   7.00 / a quarter: 4.00, 4.00, 4.00, 3.62 / double: 11.00, 11.00, 11.00, 11.50 / turned by 90 degrees: 36.00, 36.00, 36.00,
#   35.00".
# Why it matters to image collections: transforms are kept as six numbers beside pictures (augmentations, registrations, crops) and
#   applied by whatever is at hand. To hand a matrix over, move by half a pixel before it and back after it.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 opencv-python-headless==5.0.0.93 \
  scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import cv2
import numpy as np
import scipy.ndimage
import skimage.transform
from PIL import Image

picture = np.broadcast_to(np.arange(64, dtype=np.float32), (64, 64)).copy()  # every pixel says its column


def seen(matrix):
    whole = np.vstack([matrix, [0, 0, 1]])
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # SciPy counts rows first
    found = {
        "OpenCV": cv2.warpAffine(picture, matrix, (8, 8), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP),
        "scikit-image": skimage.transform.warp(
            picture, skimage.transform.AffineTransform(whole), output_shape=(8, 8), order=1, preserve_range=True
        ),
        "SciPy": scipy.ndimage.affine_transform(picture, swap @ whole @ swap, output_shape=(8, 8), order=1),
        "Pillow": np.asarray(
            Image.fromarray(picture).transform(
                (8, 8), Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR
            )
        ),
    }
    return [round(float(pixels[4, 4]), 3) for pixels in found.values()]


expected = {
    "shift": ([[1, 0, 3], [0, 1, 3]], 7.0, 7.0),
    "a quarter": ([[0.25, 0, 3], [0, 0.25, 3]], 4.0, 3.625),
    "double": ([[2, 0, 3], [0, 2, 3]], 11.0, 11.5),
    "turned by 90 degrees": ([[0, -1, 40], [1, 0, 3]], 36.0, 35.0),
}
sound = True
for name, (matrix, usual, pillow) in expected.items():
    values = seen(np.array(matrix, np.float64))
    print(f"{name}: OpenCV {values[0]}, scikit-image {values[1]}, SciPy {values[2]}, Pillow {values[3]}")
    sound &= np.allclose(values, [usual, usual, usual, pillow], atol=0.01)
sys.exit(not sound)
PY
"$work/venv/bin/python" "$work/look.py" 2>/dev/null
