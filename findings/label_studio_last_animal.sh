#!/usr/bin/env bash
# label-studio-sdk 2.0.19: of two animals on one picture only the last one's keypoints are in the COCO file, in whole pixels.
#
# One would guess: keypoints that are drawn under their animal's box (the documentation of the export asks for such a box) come
#   out as an annotation for each animal, with the coordinates that were marked.
# What happens: all keypoints of a picture go into one annotation, by their label; a second nose replaces the first. The boxes are
#   both there, as annotations of another category, with no keypoints. Coordinates are rounded to whole pixels in
#   keypoints and kept as they are in boxes. With one animal to a picture nothing is lost but the decimals. No error, no
#   warning, and `num_keypoints` counts what is left.
# Seen with: label-studio-sdk 2.0.19 (the converter behind Label Studio's own export), Python 3.11.
# Seen output: "one animal: boxes 1, keypoints (20.7, 20.3) (99.5, 60.5) come out as 21 20, 100 60 / two animals: boxes 2, annotations with
#   keypoints 1: 120 21, 160 61, those of the second".
# Why it matters to image collections: herds, hives, plates and nests have many animals on a picture, and landmarks are measured
#   to a fraction of a pixel. Most of what was marked is not in the file, and what is cannot be told from what
#   was marked so. Read Label Studio's own JSON, where `parentID` and percentages are.
# Fails (exit 1) when either half changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check label-studio-sdk==2.0.19 2>/dev/null
cat >"$work/look.py" <<'PY'
import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter

CONFIG = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="points" toName="image"><Label value="nose" model_index="0"/><Label value="tail" model_index="1"/></KeyPointLabels>
<RectangleLabels name="box" toName="image"><Label value="animal" model_index="0"/></RectangleLabels></View>"""
WIDTH, HEIGHT = 200, 100
ANIMALS = [{"nose": (20.7, 20.3), "tail": (99.51, 60.49)}, {"nose": (120, 21), "tail": (160, 61)}]
folder = Path(sys.argv[1])


def marked(kind, name, value, **more):
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"type": kind, "from_name": name, "to_name": "image", "value": value, **size, **more}


def exported(animals):
    result = []
    for number, points in enumerate(animals):
        box = {"x": 5 + 45 * number, "y": 10, "width": 45, "height": 60, "rotation": 0, "rectanglelabels": ["animal"]}
        result.append(marked("rectanglelabels", "box", box, id=f"box{number}"))
        for label, (x, y) in points.items():
            place = {"x": x / WIDTH * 100, "y": y / HEIGHT * 100, "width": 0.5, "keypointlabels": [label]}
            result.append(marked("keypointlabels", "points", place, id=f"{label}{number}", parentID=f"box{number}"))
    annotation = {"id": 1, "result": result, "completed_by": 1, "created_at": "2026-01-01T00:00:00Z"}
    task = {"id": 1, "data": {"image": "http://example.org/a.png"}, "annotations": [annotation]}
    (folder / "tasks.json").write_text(json.dumps([task]))
    out = folder / f"coco{len(animals)}"
    converter = Converter(CONFIG, str(folder), download_resources=False)
    converter.convert_to_coco(str(folder / "tasks.json"), str(out), output_image_dir=str(out / "images"), is_dir=False)
    (file,) = out.glob("*.json")
    found = json.loads(file.read_text())["annotations"]
    return [one for one in found if "keypoints" not in one], [one["keypoints"] for one in found if "keypoints" in one]


def words(keypoints):
    return ", ".join(f"{keypoints[at]} {keypoints[at + 1]}" for at in (0, 3))


boxes, alone = exported(ANIMALS[:1])
print(f"one animal: boxes {len(boxes)}, keypoints (20.7, 20.3) (99.5, 60.5) come out as {words(alone[0])}")
both, together = exported(ANIMALS)
print(f"two animals: boxes {len(both)}, annotations with keypoints {len(together)}: {words(together[-1])}, those of the second")
good = alone == [[21, 20, 2, 100, 60, 2]] and len(both) == 2 and together == [[120, 21, 2, 160, 61, 2]]
sys.exit(not good)
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
