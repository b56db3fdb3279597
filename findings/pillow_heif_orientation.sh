#!/usr/bin/env bash
# pillow-heif 1.8.1: an orientation given as Image.Exif is lost when a HEIC file is saved; as bytes it is kept.
#
# One would guess: image.save("x.heic", exif=image.getexif()) keeps EXIF, as it does for JPEG, PNG, WebP and AVIF.
# What happens: the file opens with orientation 1 and unturned pixels. With exif=image.getexif().tobytes() the
#   turn is written.
# Seen with: pillow-heif 1.8.1, Pillow 13.0.0, Python 3.11.
# Seen output: "exif=Image.Exif(): (64, 32) / exif=bytes: (32, 64)", the size as seen upright.
# Why it matters to image collections: telephones turn nearly every photograph; a converted collection lies on its side.
# Fails (exit 1) when either half changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow-heif==1.8.1 pillow==13.0.0 2>/dev/null
cat >"$work/look.py" <<'PY'
import io
import sys

import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
picture = Image.new("RGB", (64, 32), "red")
exif = Image.Exif()
exif[0x0112] = 6  # turn clockwise to see it upright


def size_upright(given: object) -> tuple[int, int]:
    file = io.BytesIO()
    picture.save(file, format="HEIF", exif=given)
    file.seek(0)
    with Image.open(file) as image:
        return ImageOps.exif_transpose(image).size


as_object, as_bytes = size_upright(exif), size_upright(exif.tobytes())
print("exif=Image.Exif():", as_object, "/ exif=bytes:", as_bytes)
sys.exit(not (as_object == (64, 32) and as_bytes == (32, 64)))
PY
"$work/venv/bin/python" "$work/look.py"
