#!/usr/bin/env bash
# SimpleITK 2.5.7: the same photograph as JPEG and as PNG, laid over each other in its coordinates, hardly overlap.
#
# One would guess: an image without a physical scale has a spacing of 1, so that points are pixels; and one picture, saved
#   with the same resolution in four formats, has the same place in all of them.
# What happens: JPEG's and TIFF's printing resolution is taken for the distance of the pixels, in millimetres (300 dpi: 0.085),
#   and PNG's and BMP's is not. What is resampled onto the other's grid, registered with it, or carried over as
#   landmarks in physical points, is off by that factor. What a camera or an editor writes there (1, 72, 96, 180, 240,
#   300) says nothing of the thing in the picture. No warning.
# Seen with: SimpleITK 2.5.7, Pillow 13.0.0, numpy 2.4.6, Python 3.11. A picture of 120 x 90 pixels, 300 dpi in each file.
# Seen output: "png 1.0 / bmp 1.0 / jpg 0.0847 / tif 0.0847 / the JPEG on the PNG's grid: 1 % of its pixels are covered / a point
#   of the PNG, (40, 30), in the TIFF: pixel (472, 354) of 120 x 90".
# Why it matters to image collections: a folder of photographs has files with resolution and without, and different ones. Set all
#   to one spacing after reading (image.SetSpacing((1, 1))), or landmarks and transforms of a mixed folder do not agree.
# Fails (exit 1) when the four formats agree, or a PNG or BMP has the spacing of a JPEG.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pillow==13.0.0 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import numpy as np
import SimpleITK as sitk
from PIL import Image

rows, columns = np.mgrid[:90, :120]
picture = Image.fromarray((100 + rows + columns // 4).astype(np.uint8))
images = {}
for kind in ("png", "bmp", "jpg", "tif"):
    path = f"{sys.argv[1]}/picture.{kind}"
    picture.save(path, dpi=(300, 300))
    assert abs(Image.open(path).info["dpi"][0] - 300) < 0.1
    images[kind] = sitk.ReadImage(path)
    print(kind, round(images[kind].GetSpacing()[0], 4))
laid = sitk.GetArrayFromImage(sitk.Resample(images["jpg"], images["png"]))
print(f"the JPEG on the PNG's grid: {(laid > 0).mean():.0%} of its pixels are covered".replace("%", " %"))
place = images["png"].TransformIndexToPhysicalPoint((40, 30))
print("a point of the PNG, (40, 30), in the TIFF: pixel", images["tif"].TransformPhysicalPointToIndex(place), "of 120 x 90")
spacing = {kind: image.GetSpacing()[0] for kind, image in images.items()}
expected = {"png": 1.0, "bmp": 1.0, "jpg": 25.4 / 300, "tif": 25.4 / 300}
sys.exit(not all(abs(spacing[kind] - expected[kind]) < 1e-4 for kind in expected))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
