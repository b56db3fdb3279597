#!/usr/bin/env bash
# datumaro 1.13.12: of what was drawn in CVAT, ellipses vanish when they are read, and a box that is turned by one degree when it is
#   written as YOLO or VOC; the box beside it stays.
#
# One would guess: shapes that a format has no place for come as the box around them, or are named as left out.
# What happens: an <ellipse> of CVAT's XML 1.1 is passed over. A box with rotation="1.0" is read as what it is, and in YOLO and Pascal
#   VOC its picture has an empty label file, which means: nothing is on it. Polygons go the same way. No error, no warning,
#   nothing that names what was left out.
# Seen with: datumaro 1.13.12, Pillow 12.3.0, Python 3.11. Each picture has one shape.
# Seen output: "box: read as Bbox; YOLO 1 row, VOC 1 object / box turned by 1 degree: RotatedBbox; 0, 0 / ellipse: nothing; 0, 0 / polygon:
#   Polygon; 0, 0".
# Why it matters to image collections: pictures on which the things lie aslant are exactly those that become pictures of nothing, and a
#   detector is taught that.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datumaro==1.13.12 pillow==12.3.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
from pathlib import Path

import datumaro
from PIL import Image

COMMON = 'label="bird" occluded="0" z_order="0"'
SHAPES = {
    "box": f'<box {COMMON} xtl="20" ytl="30" xbr="60" ybr="40"/>',
    "box turned by 1 degree": f'<box {COMMON} xtl="20" ytl="30" xbr="60" ybr="40" rotation="1.0"/>',
    "ellipse": f'<ellipse {COMMON} cx="50" cy="40" rx="20" ry="10"/>',
    "polygon": f'<polygon {COMMON} points="10,10;60,10;60,50"/>',
}


def seen(name, shape):
    place = Path(sys.argv[1]) / name.replace(" ", "-")
    (place / "given" / "images").mkdir(parents=True)
    Image.new("RGB", (100, 80)).save(place / "given" / "images" / "a.png")
    (place / "given" / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels><label>'
        "<name>bird</name><attributes></attributes></label></labels></task></meta>"
        f'<image id="0" name="a.png" width="100" height="80">{shape}</image></annotations>'
    )
    data = datumaro.Dataset.import_from(str(place / "given"), "cvat")
    kinds = [type(one).__name__ for item in data for one in item.annotations]
    data.export(str(place / "yolo"), "yolo", save_media=True)
    data.export(str(place / "voc"), "voc_detection", save_media=True)
    (rows,) = [path.read_text().split("\n") for path in (place / "yolo").rglob("a.txt")]
    objects = sum(path.read_text().count("<object>") for path in (place / "voc").rglob("a.xml"))
    found = kinds, sum(bool(row.strip()) for row in rows), objects
    print(f"{name}: read as {' '.join(kinds) or 'nothing'}; YOLO {found[1]} rows, VOC {found[2]} objects")
    return found


expected = {
    "box": (["Bbox"], 1, 1),
    "box turned by 1 degree": (["RotatedBbox"], 0, 0),
    "ellipse": ([], 0, 0),
    "polygon": (["Polygon"], 0, 0),
}
sys.exit({name: seen(name, shape) for name, shape in SHAPES.items()} != expected)
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
