#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): a reduced image has another geometry as JPEG than as PNG.
#
# One would guess: IMREAD_REDUCED_GRAYSCALE_8 gives an eighth of the image, whatever the file; a point found on it
#   is carried to the whole image by the ratio of the sizes, or by 8, which is the same.
# What happens: where the sides are no multiples of 8, a JPEG's are rounded up and its pixels stay 8 pixels wide
#   (the last column shows part of one): points go back by 8, and by the ratio they are off by up to 7 pixels. A
#   PNG's are rounded down and the whole image is squeezed into them: points go back by the ratio, and by 8 they
#   are off. Neither rule is right for both.
# Seen with: opencv-python-headless 5.0.0.93, pillow 13.0.0 (writes the files), numpy 2.4.6, Python 3.11.
# Seen output: "JPEG 126 wide, off by 0.6 pixels by 8 and by -6.2 by the ratio; PNG 125 wide, -1.1 and -0.1".
# Why it matters to image collections: landmarks marked on previews of a mixed folder, carried to the originals,
#   are shifted more the farther right and down they lie, in some of the files only.
# Fails (exit 1) when both rules are right to a pixel for the JPEG, or the two files have one geometry.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 \
  numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import io
import sys

import cv2
import numpy as np
from PIL import Image

SIDE, PLACE = 1001, 980.0
rows, columns = np.mgrid[:SIDE, :SIDE]
spot = 20 + 200 * np.exp(-((columns - PLACE) ** 2 + (rows - PLACE) ** 2) / (2 * 12.0**2))
picture = Image.fromarray(spot.astype(np.uint8))


def seen(kind):
    """The width of the reduced image, and how far its spot is off by either rule, in pixels of the whole."""
    file = io.BytesIO()
    picture.save(file, kind)
    reduced = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    bright = np.clip(reduced.astype(float) - 40, 0, None)
    width = bright.shape[1]
    centre = (bright.sum(0) * np.arange(width)).sum() / bright.sum() + 0.5  # from the left edge
    return width, centre * 8 - 0.5 - PLACE, centre * SIDE / width - 0.5 - PLACE


jpeg, png = seen("JPEG"), seen("PNG")
print(
    f"JPEG {jpeg[0]} wide, off by {jpeg[1]:.1f} pixels by 8 and by {jpeg[2]:.1f} by the ratio; "
    f"PNG {png[0]} wide, {png[1]:.1f} and {png[2]:.1f}"
)
sys.exit(not (jpeg[0] == 126 and png[0] == 125 and abs(jpeg[1]) < 1 < abs(png[1]) and abs(png[2]) < 1 < abs(jpeg[2])))
PY
"$work/venv/bin/python" "$work/look.py"
