#!/usr/bin/env bash
# read-roi 1.6.0: whether landmarks in an ImageJ ROI come with their decimals depends on whether it shows labels.
#
# One would guess: the coordinates in a .roi file are what they are; an option that says how the points are drawn
#   (numbers beside them, a background behind these) changes nothing of where they are.
# What happens: a file with sub-pixel coordinates holds them twice, as floats and, for old programs, as 16-bit whole
#   numbers. read-roi takes the floats if "sub-pixel" is the only option that is set, and the whole numbers if any
#   other is set beside it. Those of roifile have two others by default. No warning; the type is then int instead
#   of float, and whole numbers wrap at 65,536, on which a large slide or a stitched scan has points.
# Seen with: read-roi 1.6.0, roifile 2026.2.10 (writes the files, reads them right), numpy 2.4.6, Python 3.11.
# Seen output: "sub-pixel alone: x 10.25 70000.5, y 20.75 12.25 / with labels: x 10 4464, y 21 12 / as roifile writes: x 10
#   4464, y 21 12 / roifile: x 10.25 70000.5, y 20.75 12.25, all three times".
# Why it matters to image collections: ImageJ is a usual place to mark landmarks, outlines and masks. Rounding is an error
#   of up to half a pixel in each coordinate that comes and goes from file to file of one set, with how each was drawn.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check read-roi==1.6.0 roifile==2026.2.10 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import numpy as np
from read_roi import read_roi_file
from roifile import ROI_OPTIONS, ImagejRoi

PLACES = np.array([[10.25, 20.75], [70000.5, 12.25]])
SUB_PIXEL = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
cases = {
    "sub-pixel alone": SUB_PIXEL,
    "with labels": SUB_PIXEL | ROI_OPTIONS.SHOW_LABELS,
    "as roifile writes": ImagejRoi.frompoints(PLACES).options,
}
seen, right = {}, True
for name, options in cases.items():
    points = ImagejRoi.frompoints(PLACES)
    assert points.options & SUB_PIXEL
    points.options = options
    path = f"{sys.argv[1]}/{name}.roi"
    points.tofile(path)
    right &= bool(np.array_equal(ImagejRoi.fromfile(path).coordinates(), PLACES))
    (found,) = read_roi_file(path).values()
    seen[name] = (found["x"], found["y"])
    print(f"{name}: x", *found["x"], "/ y", *found["y"])
print("roifile:", "as they were, all three times" if right else "something else")
whole = ([10, 70000 - 65536], [21, 12])
kept = tuple(PLACES.T.tolist())
sys.exit(not (right and seen == {"sub-pixel alone": kept, "with labels": whole, "as roifile writes": whole}))
PY
"$work/venv/bin/python" "$work/look.py" "$work"
