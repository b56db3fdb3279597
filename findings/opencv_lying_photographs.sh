#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): a photograph taken upright is upright as JPEG, PNG and WebP, lies on its side
#   as AVIF, and is not read at all as TIFF.
#
# One would guess: `imread` follows the orientation that the file states, as its documentation says and as it does for JPEG;
#   the same picture with the same orientation comes out the same way whatever the format.
# What happens: AVIF comes as it is stored, though the file says twice how it is to be turned, in EXIF and in its own properties
#   (which the format obliges every reader to follow); flags change nothing. A TIFF with one of the four orientations
#   that exchange width and height gives None, with a line about `original_ptr` in the log; turned by half
#   or mirrored it is read, and upright even with IMREAD_UNCHANGED and IMREAD_IGNORE_ORIENTATION, which leave JPEG, PNG
#   and WebP as they are stored. (opencv-python-headless 4.12.0.88 gives None for the same TIFFs.)
# Seen with: opencv-python-headless 5.0.0.93, Pillow 13.0.0 (writes the files, reads all five upright), numpy 2.4.6, Python 3.11.
# Seen output: "jpg, png, webp: upright / avif: as stored / tif: None / tif, turned by half: upright, also with
#   IMREAD_IGNORE_ORIENTATION / Pillow: all upright".
# Why it matters to image collections: telephones turn nearly every photograph. After conversion to AVIF or TIFF some lie on their
#   side or are missing, and landmarks, whose place is that of the upright picture, lie beside it.
# Fails (exit 1) when any of it changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 \
  numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

STORED = np.full((32, 64, 3), 240, np.uint8)
STORED[:12, :24] = 20  # dark in the corner above on the left
ORIENTATION = ExifTags.Base.Orientation


def written(kind, orientation):
    path = f"{sys.argv[1]}/{orientation}.{kind}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    how = {"tiffinfo": {int(ORIENTATION): orientation}} if kind == "tif" else {"exif": exif.tobytes()}
    Image.fromarray(STORED).save(path, **how)
    return path


def seen(pixels, quarters):
    if pixels is None:
        return "None"
    for name, turns in (("upright", quarters), ("as stored", 0)):
        right = np.rot90(STORED, -turns)
        if pixels.shape == right.shape and np.abs(pixels.astype(int) - right).mean() < 4:
            return name
    return "something else"


def by_pillow(path):
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


kinds = ("jpg", "png", "webp", "avif", "tif")
quarter = {kind: written(kind, 6) for kind in kinds}
found = {kind: seen(cv2.imread(path, cv2.IMREAD_COLOR), 1) for kind, path in quarter.items()}
unturned = {kind: seen(cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), 1) for kind, path in quarter.items()}
half = written("tif", 3)
flags = (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
by_half = [seen(cv2.imread(half, flag), 2) for flag in flags]
pillow = all(seen(by_pillow(path), 1) == "upright" for path in quarter.values())
print("jpg, png, webp:", *sorted({found[kind] for kind in kinds[:3]}))
print("avif:", found["avif"])
print("tif:", found["tif"])
print(f"tif, turned by half: {by_half[0]}" + (", also with IMREAD_IGNORE_ORIENTATION" if by_half[2] == "upright" else ""))
print("Pillow:", "all upright" if pillow else "something else")
good = found == {"jpg": "upright", "png": "upright", "webp": "upright", "avif": "as stored", "tif": "None"}
good &= {unturned[kind] for kind in kinds[:3]} == {"as stored"} and by_half == ["upright"] * 3 and pillow
sys.exit(not good)
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
