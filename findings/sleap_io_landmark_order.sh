#!/usr/bin/env bash
# sleap-io 0.9.5: landmarks come back from CSV in the order of the alphabet, and from Label Studio without those
#   that are hidden everywhere.
#
# One would guess: keypoints that are written to a file and read again are the same array.
# What happens: SLP and COCO give the same array back. CSV gives the landmarks sorted by name, so that column 0 of
#   the array is another landmark than before, and all frames belong to a file called video.mp4. Label Studio's
#   JSON gives only landmarks that are seen at least once, so that the array has fewer columns. Coordinates by
#   name are right in all of them; no warning.
# Seen with: sleap-io 0.9.5, numpy 2.4.6, Pillow 13.0.0, Python 3.11.
# Seen output: "slp: nose tail ear, same array / coco: nose tail ear, same array / csv: ear nose tail, another array,
#   frames of video.mp4 / labelstudio: 2 landmarks".
# Why it matters to image collections: shapes are compared as arrays [n, k, 2]. A collection of which half came
#   by CSV has noses where the other half has ears, and every mean and every distance is wrong in silence.
#   Join by landmark name, never by position.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sleap-io==0.9.5 numpy==2.4.6 pillow==13.0.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import os
import sys

import numpy as np
import sleap_io
from PIL import Image

os.chdir(sys.argv[1])
files = [f"frame{number}.png" for number in range(3)]
for file in files:
    Image.new("RGB", (120, 100)).save(file)
skeleton = sleap_io.Skeleton(["nose", "tail", "ear"], edges=[("nose", "tail")])
points = np.array([[10.0, 20.0], [30.25, 40.5], [np.nan, np.nan]])
video = sleap_io.load_video(files)
labels = sleap_io.Labels(
    [
        sleap_io.LabeledFrame(
            video=video, frame_idx=n, instances=[sleap_io.Instance.from_numpy(points + n, skeleton=skeleton)]
        )
        for n in range(3)
    ]
)

sleap_io.save_slp(labels, "kept.slp")
sleap_io.save_coco(labels, "kept_coco.json")
sleap_io.save_csv(labels, "kept.csv")
sleap_io.save_labelstudio(labels, "kept_studio.json")
read = {
    "slp": sleap_io.load_slp("kept.slp"),
    "coco": sleap_io.load_coco("kept_coco.json"),
    "csv": sleap_io.load_csv("kept.csv"),
    "labelstudio": sleap_io.load_labelstudio("kept_studio.json"),
}
seen = {}
for kind, found in read.items():
    names = found.skeletons[0].node_names
    first = found[0].instances[0]
    array = first.numpy()
    same = array.shape == points.shape and np.allclose(array, points, equal_nan=True)
    by_name = dict(zip(names, array.tolist(), strict=True))
    assert np.allclose([by_name["nose"], by_name["tail"]], points[:2])
    seen[kind] = (len(names) if kind == "labelstudio" else " ".join(names), same)
    print(f"{kind}:", *names, "/ same array" if same else "/ another array", "/", found.videos[0].filename)
expected = {
    "slp": ("nose tail ear", True),
    "coco": ("nose tail ear", True),
    "csv": ("ear nose tail", False),
    "labelstudio": (2, False),
}
sys.exit(0 if seen == expected and read["csv"].videos[0].filename == "video.mp4" else 1)
PY
"$work/venv/bin/python" "$work/look.py" "$work"
