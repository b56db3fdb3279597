#!/usr/bin/env bash
# sleap-io 0.9.5: photographs of different sizes in one list are all as large as the first one, in two formats of four.
#
# One would guess: labels on a list of photographs, written for Label Studio or as COCO, say of each photograph how large it
#   is; Label Studio keeps a point as percent of it, so that is what the point's place depends on.
# What happens: sleap-io takes such a list for one video, whose frames are as large as the first. In Label Studio's file every
#   point is a share of the first photograph, and is shown somewhere else on all others. In COCO the pixels stay, and
#   `width` and `height` are the first one's, by which readers divide. sleap-io's Ultralytics labels are shares of each
#   photograph's own size, and its own .slp has pixels: both are right. When it reads COCO, sleap-io itself sorts the
#   photographs into a list for each size. No error, no warning.
# Seen with: sleap-io 0.9.5, Pillow 13.0.0, numpy 2.4.6, Python 3.11. Two pictures, 100 x 100 and 200 x 50, a point at (50, 25)
#   on both.
# Seen output: "coco: 100 x 100, 100 x 100 / labelstudio: point of the second picture at 50 %, 25 % of 100 x 100, which
#   is (100, 12) there / ultralytics: at 25 %, 50 % / slp: (50, 25)".
# Why it matters to image collections: photographs have the sizes that they have. Whoever labels them in SLEAP and corrects
#   them in Label Studio moves every label, and a score that is divided by COCO's sizes is wrong, unless the first
#   photograph is like all others. Make a list for each size, as sleap-io does when it reads.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sleap-io==0.9.5 pillow==13.0.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import json
import sys
from pathlib import Path

import numpy as np
import sleap_io
from PIL import Image

SIZES, PLACE = [(100, 100), (200, 50)], (50.0, 25.0)
folder = Path(sys.argv[1])
paths = []
for number, size in enumerate(SIZES):
    paths.append(str(folder / f"{number}.png"))
    Image.new("RGB", size).save(paths[-1])
video = sleap_io.Video.from_filename(paths)
skeleton = sleap_io.Skeleton(["nose"])
labels = sleap_io.Labels(
    [
        sleap_io.LabeledFrame(
            video=video, frame_idx=number, instances=[sleap_io.Instance.from_numpy(np.array([PLACE]), skeleton=skeleton)]
        )
        for number in range(len(SIZES))
    ]
)

sleap_io.save_file(labels, str(folder / "coco.json"), format="coco")
images = json.loads((folder / "coco.json").read_text())["images"]
coco = [(image["width"], image["height"]) for image in images]
print("coco:", ", ".join(f"{width} x {height}" for width, height in coco))

sleap_io.save_file(labels, str(folder / "labelstudio.json"), format="labelstudio")
second = json.loads((folder / "labelstudio.json").read_text())[1]["annotations"][0]["result"]
(point,) = (one for one in second if one["type"] == "keypointlabels")
share = (point["value"]["x"], point["value"]["y"])
there = (share[0] * SIZES[1][0] / 100, share[1] * SIZES[1][1] / 100)
print(
    f"labelstudio: point of the second picture at {share[0]:.0f} %, {share[1]:.0f} % of {point['original_width']} x "
    f"{point['original_height']}, which is ({there[0]:.0f}, {there[1]:.0f}) there"
)

sleap_io.save_file(labels, str(folder / "yolo"), format="ultralytics", split_ratios={"train": 1.0})
text = sorted((folder / "yolo").rglob("labels/*.txt"))[1].read_text().split()
yolo = (float(text[5]), float(text[6]))
print(f"ultralytics: at {yolo[0]:.0%}, {yolo[1]:.0%}".replace("%", " %"))

labels.save(str(folder / "labels.slp"))
slp = tuple(sleap_io.load_slp(str(folder / "labels.slp"))[1].instances[0].numpy()[0].tolist())
print(f"slp: ({slp[0]:.0f}, {slp[1]:.0f})")
sys.exit(not (coco == [SIZES[0]] * 2 and share == (50.0, 25.0) and yolo == (0.25, 0.5) and slp == PLACE))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
