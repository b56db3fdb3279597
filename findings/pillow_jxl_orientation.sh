#!/usr/bin/env bash
# pillow-jxl-plugin 1.3.8: a photograph saved as JPEG XL with its EXIF lies on its side for every other reader; the same JPEG
#   packed without decoding is upright for them.
#
# One would guess: `image.save("x.jxl", exif=image.getexif())` keeps the orientation, as it does for JPEG, PNG and WebP, and for
#   JPEG XL with lossless_jpeg=True.
# What happens: in JPEG XL the orientation is a field of the picture itself; the standard says that this field alone counts, and
#   that EXIF's is not followed. The plugin writes 1 there and leaves the turn to EXIF, so that libjxl (browsers, imagecodecs)
#   shows the picture as it is stored. The plugin's own reader hands over both unturned pixels and EXIF, so that
#   within Pillow, `exif_transpose` and all, it looks right. Packed with lossless_jpeg=True libjxl sets the field, and
#   all agree.
# Seen with: pillow-jxl-plugin 1.3.8, imagecodecs 2026.3.6, Pillow 13.0.0, numpy 2.4.6, Python 3.11. 64 x 32 pixels stored,
#   32 x 64 upright.
# Seen output: "saved with exif: Pillow 32 x 64, libjxl 64 x 32 / packed: Pillow 32 x 64, libjxl 32 x 64".
# Why it matters to image collections: an archive of photographs that is converted so is upright for whoever converted it, and
#   every point that is marked in a browser or by another program lies on another picture. Turn the pixels before saving.
# Fails (exit 1) when either half changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow-jxl-plugin==1.3.8 imagecodecs==2026.3.6 \
  pillow==13.0.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - Pillow learns the format from it
from PIL import ExifTags, Image, ImageOps

folder = Path(sys.argv[1])
exif = Image.Exif()
exif[ExifTags.Base.Orientation] = 6
Image.fromarray(np.full((32, 64, 3), 200, np.uint8)).save(folder / "a.jpg", exif=exif.tobytes())


def seen(how, **options):
    path = folder / f"{how.replace(' ', '-')}.jxl"
    with Image.open(folder / "a.jpg") as photograph:
        photograph.save(path, **options)
    by_pillow = ImageOps.exif_transpose(Image.open(path)).size
    rows, columns = imagecodecs.jpegxl_decode(path.read_bytes()).shape[:2]
    print(f"{how}: Pillow {by_pillow[0]} x {by_pillow[1]}, libjxl {columns} x {rows}")
    return by_pillow, (columns, rows)


saved = seen("saved with exif", exif=exif.tobytes(), lossless=True, lossless_jpeg=False)
packed = seen("packed", lossless_jpeg=True)
sys.exit(not (saved == ((32, 64), (64, 32)) and packed == ((32, 64), (32, 64))))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
