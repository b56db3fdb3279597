#!/usr/bin/env bash
# Pillow 13.0.0 and OpenCV 5.0.0: a picture that is moved by a fifth of a pixel with BICUBIC moves by .30 in Pillow's transform, .25 in
#   OpenCV, and .20 in Pillow's resize.
#
# One would guess: of linear and cubic, cubic is the finer. Warped by a fifth of a pixel, an even slope (every pixel says its column)
#   shows its columns a fifth further on by either, and Image.transform and Image.resize mean the same by Image.BICUBIC.
# What happens: linear does. Cubic interpolation has a constant, and only with -0.5 (Keys) is a slope interpolated exactly. Pillow's
#   resize has that one, OpenCV -0.75, and Pillow's transform and rotate have -1: up to a tenth of a pixel too far
#   towards the middle between two pixels, half again as far as told. SciPy's and scikit-image's splines are exact. Pillow's documentation tells
#   its two apart by how many pixels take part, not by the curve.
# Seen with: Pillow 13.0.0, opencv-python-headless 5.0.0.93, SciPy 1.17.1, numpy 2.4.6, Python 3.11.
# Seen output: "told 0.10: linear 0.100, Pillow's resize 0.100, OpenCV's cubic 0.136, Pillow's transform 0.172, SciPy's spline 0.100 /
#   told 0.20: 0.200, 0.200, 0.248, 0.296, 0.200 / told 0.40: 0.400, 0.400, 0.424, 0.448, 0.400".
# Why it matters to image collections: registrations and landmarks of a tenth of a pixel are made and checked on warped pictures. The
#   error has the period of a pixel: shifts that are estimated by warping are pulled towards whole pixels, and it is absent at
#   whole and half ones, where one would look for it.
# Fails (exit 1) when any of the five changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 \
  scipy==1.17.1 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import cv2
import numpy as np
import scipy.ndimage
from PIL import Image

slope = np.broadcast_to(np.arange(64, dtype=np.float32), (64, 64)).copy()
picture = Image.fromarray(slope)


def seen(told):
    """How far the middle of the slope was moved, by each."""
    matrix = np.array([[1, 0, told], [0, 1, 0]], np.float64)
    there = cv2.WARP_INVERSE_MAP
    cubic = Image.Resampling.BICUBIC
    found = [
        cv2.warpAffine(slope, matrix, (64, 64), flags=cv2.INTER_LINEAR | there),
        np.pad(np.asarray(picture.resize((48, 48), cubic, box=(8 + told, 8, 56 + told, 56))), 8),
        cv2.warpAffine(slope, matrix, (64, 64), flags=cv2.INTER_CUBIC | there),
        np.asarray(picture.transform((64, 64), Image.Transform.AFFINE, matrix.ravel().tolist(), cubic)),
        scipy.ndimage.shift(slope, (0, -told), order=3, mode="mirror"),
    ]
    return [float(pixels[32, 32]) - 32 for pixels in found]


sound = True
for told, opencv, transform in ((0.1, 0.136, 0.172), (0.2, 0.248, 0.296), (0.4, 0.424, 0.448)):
    values = seen(told)
    print(
        "told {:.2f}: linear {:.3f}, Pillow's resize {:.3f}, OpenCV's cubic {:.3f}, Pillow's transform {:.3f}, "
        "SciPy's spline {:.3f}".format(told, *values)
    )
    sound &= np.allclose(values, [told, told, opencv, transform, told], atol=0.004)
sys.exit(not sound)
PY
"$work/venv/bin/python" "$work/look.py" 2>/dev/null
