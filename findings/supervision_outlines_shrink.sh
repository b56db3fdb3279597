#!/usr/bin/env bash
# supervision 0.31.2 and pycocotools 2.0.11: a mask three pixels thin loses a third of itself on the way to COCO, one of two
#   pixels half.
#
# One would guess: masks that supervision exports (`as_coco`) and pycocotools reads are the masks that were exported, to the
#   pixel where they are rectangles; and the `area` beside an outline is what its pixels come to.
# What happens: supervision draws the outline through the centres of the outermost pixels, as OpenCV's contours have it, and
#   reads it so that pixels which it touches belong to it. pycocotools takes it for what it says, a line in the plane whose
#   pixels lie between whole numbers: the last row and the last column are gone, and the box is a pixel short, too.
#   `area` is that of the mask before. Read back by supervision nothing is lost, so its own round trip shows nothing.
# Seen with: supervision 0.31.2, pycocotools 2.0.11, opencv-python-headless 5.0.0.93, numpy 2.4.6, Python 3.11.
# Seen output: "100 x 100: 10000 pixels, area 10000, by pycocotools 9801, by supervision 10000 / 60 x 3: 180 pixels, area 180, by
#   pycocotools 118, by supervision 180 / 60 x 2: 120 pixels, area 120, by pycocotools 59, by supervision 120".
# Why it matters to image collections: antennae, legs, veins, wires and masts are a few pixels thin. A perfect mask, exported and
#   scored by COCO's rules against itself, has an IoU of 0.66 or 0.49, and training sees every thing half a pixel to
#   the left and up of where it is.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check supervision==0.31.2 pycocotools==2.0.11 \
  opencv-python-headless==5.0.0.93 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import contextlib
import io
import sys

import cv2
import numpy as np
import supervision as sv
from pycocotools.coco import COCO

folder = sys.argv[1]
picture, file = f"{folder}/a.png", f"{folder}/coco.json"
cv2.imwrite(picture, np.zeros((128, 128, 3), np.uint8))


def seen(width, height):
    mask = np.zeros((1, 128, 128), bool)
    mask[0, 10 : 10 + height, 10 : 10 + width] = True
    things = sv.Detections(xyxy=sv.mask_to_xyxy(mask).astype(float), mask=mask, class_id=np.array([0]))
    sv.DetectionDataset(classes=["thing"], images=[picture], annotations={picture: things}).as_coco(annotations_path=file)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(file)
    (annotation,) = coco.loadAnns(coco.getAnnIds())
    again = sv.DetectionDataset.from_coco(images_directory_path=folder, annotations_path=file, force_masks=True)
    (back,) = again.annotations.values()
    found = int(annotation["area"]), int(coco.annToMask(annotation).sum()), int(back.mask.sum())
    print(
        f"{width} x {height}: {width * height} pixels, area {found[0]}, by pycocotools {found[1]}, by supervision {found[2]}"
    )
    return found


sides = [(100, 100), (60, 3), (60, 2)]
sys.exit(any(seen(w, h) != (w * h, (w - 1) * (h - 1), w * h) for w, h in sides))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
