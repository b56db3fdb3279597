#!/usr/bin/env bash
# ome-zarr 0.18.0: what a pyramid says of where its pixels lie holds for one of four ways of making it.
#
# One would guess: the scale and translation beside every level say where its pixels lie in the full image, by
#   whichever `method` of `write_image` the level was made; that is what they are for.
# What happens: they are computed from the sizes alone, for averages of equal parts. That is right for
#   Methods.RESIZE, the default. NEAREST takes the last pixel of each part, so that all is half a part off; ZOOM
#   lays the first and last pixels on each other, and is off by as much, leftwards on the left and rightwards on
#   the right; LOCAL_MEAN averages whole parts, with what is lacking at the end, while the metadata stretch the
#   parts over the whole width: right where sides divide, and off by up to a part where they do not.
# Seen with: ome-zarr 0.18.0, zarr 3.1.6, scikit-image 0.26.0, numpy 2.4.6, Python 3.11.
# Seen output: level 16 times smaller, pixels of the full image by which it is off at a quarter and at the end of a row:
#   "1024 wide: resize 0.0 0.0, nearest 7.5 7.5, local_mean 0.0 0.0, zoom -3.7 7.0"
#   "1023 wide: resize 0.0 0.0, nearest 3.8 -6.9, local_mean -3.7 -14.4, zoom -4.4 5.2"
# Why it matters to image collections: points found on a coarse level of large images (slides, plates, scans) are
#   carried to the full one by exactly these numbers.
# Fails (exit 1) when RESIZE is not right to a tenth of a pixel, or another method is right to half a pixel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ome-zarr==0.18.0 zarr==3.1.6 scikit-image==0.26.0 \
  numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys
import warnings

import numpy as np
import zarr
from ome_zarr.io import parse_url
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image

warnings.simplefilter("ignore")


def off(width, method):
    """Every value says its own column: how far those of the last level are from where the metadata put them."""
    folder = f"{sys.argv[1]}/{width}-{method.value}"
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), (64, width)).copy()
    write_image(columns, zarr.group(store=parse_url(folder, mode="w").store), axes="yx", method=method)
    group = zarr.open_group(folder, mode="r")
    level = group.attrs["ome"]["multiscales"][0]["datasets"][-1]
    values = group[level["path"]][0]
    scale, translation = level["coordinateTransformations"]
    said = np.arange(len(values)) * scale["scale"][1] + translation["translation"][1]
    away = values - said
    return float(away[len(away) // 4]), float(away[-3])


seen = {width: {method.value: off(width, method) for method in Methods} for width in (1024, 1023)}
for width, found in seen.items():
    print(f"{width} wide: " + ", ".join(f"{name} {round(one, 1) + 0.0} {round(end, 1) + 0.0}" for name, (one, end) in found.items()))
worst = {
    name: max(abs(value) for found in seen.values() for value in found[name])
    for name in ("resize", "nearest", "local_mean", "zoom")
}
sys.exit(not (worst.pop("resize") < 0.1 and min(worst.values()) > 0.5))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
