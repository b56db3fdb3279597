#!/usr/bin/env bash
# supervision 0.31.2 and pycocotools 2.0.11: a thing with a hole, or half hidden behind another, counts no longer
#   once it was exported to COCO.
#
# One would guess: `DetectionDataset.as_coco` writes what it was given. A mug whose handle leaves a hole in its mask,
#   or a bird that a branch cuts in two, is one annotation of one thing, as a plate beside it is.
# What happens: such a mask is written as RLE (polygons can't say it), and the annotation with iscrowd = 1, which means "a
#   crowd of things that can't be told apart". pycocotools takes these for regions to be left alone: whoever finds none
#   of them misses nothing, and training code that follows COCO leaves them out. Simple masks get iscrowd = 0.
#   With data={"iscrowd": zeros} the mug is a thing, written as a polygon: then its hole is filled. There is no third way.
# Seen with: supervision 0.31.2, pycocotools 2.0.11, opencv-python-headless 5.0.0.93, numpy 2.4.6, Python 3.11. Four
#   pictures, a plate and a mug with a handle each; a detector that finds every plate and no mug.
# Seen output: "as exported: iscrowd of plates 0, of mugs 1, hole kept; precision 1.00, recall 1.00 / iscrowd given:
#   iscrowd of plates 0, of mugs 0, hole filled; precision 0.50, recall 0.50".
# Why it matters to image collections: what has holes or is cut in two is a kind (cups, bicycles, scissors, wings before a
#   twig), not chance. It is gone from the score and from the training set together, and nothing says so.
# Fails (exit 1) when either changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check supervision==0.31.2 pycocotools==2.0.11 \
    opencv-python-headless==5.0.0.93 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import cv2
import numpy as np
import supervision
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

folder = Path(sys.argv[1])
(folder / "pictures").mkdir()
rows, columns = np.mgrid[0:240, 0:320]
plate = np.hypot(rows - 120, columns - 80) < 50
mug = (abs(rows - 120) < 50) & (abs(columns - 210) < 35)
handle = np.hypot(rows - 120, columns - 245) < 30
mug = (mug | handle) & ~((np.hypot(rows - 120, columns - 245) < 20) & (columns > 246))
files = [str(folder / "pictures" / f"{number}.png") for number in range(4)]
for file in files:
    cv2.imwrite(file, np.zeros((240, 320, 3), np.uint8))


def exported(name, **more):
    """The COCO file of the four pictures as supervision writes it."""
    masks = np.stack([plate, mug])
    boxes = supervision.mask_to_xyxy(masks)
    things = supervision.Detections(xyxy=boxes, mask=masks, class_id=np.array([0, 0]), data=more)
    whole = supervision.DetectionDataset(classes=["tableware"], images=files, annotations=dict.fromkeys(files, things))
    path = folder / f"{name}.json"
    whole.as_coco(images_directory_path=None, annotations_path=str(path))
    return path


def scored(path):
    """Mean precision at IoU 0.5 and recall of a detector that knows plates alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        counts = rle.encode(np.asfortranarray(plate.astype(np.uint8)))
        kind = truth.getCatIds()[0]
        found = [
            {"image_id": image, "category_id": kind, "segmentation": counts, "score": 0.9} for image in truth.getImgIds()
        ]
        judge = COCOeval(truth, truth.loadRes(found), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return round(float(judge.stats[1]), 2), round(float(judge.stats[8]), 2)


def told(name, path):
    entries = json.loads(path.read_text())["annotations"]
    crowd = [sorted({entry["iscrowd"] for entry in entries[which::2]}) for which in (0, 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
    hole = {"kept" if truth.annToMask(entry)[120, 255] == 0 else "filled" for entry in entries[1::2]}
    precision, recall = scored(path)
    print(
        f"{name}: iscrowd of plates {crowd[0][0]}, of mugs {crowd[1][0]}, hole {'/'.join(hole)};",
        f"precision {precision:.2f}, recall {recall:.2f}",
    )
    return crowd, hole, precision, recall


as_it_is = told("as exported", exported("plain"))
given = told("iscrowd given", exported("given", iscrowd=np.array([0, 0])))
ok = as_it_is == ([[0], [1]], {"kept"}, 1.0, 1.0)
sys.exit(not (ok and given[:2] == ([[0], [0]], {"filled"}) and max(given[2:]) < 0.6))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>&1
