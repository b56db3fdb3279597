#!/usr/bin/env bash
# xarray 2026.9.0: what a Zarr group says in an attribute called `coordinates` is gone, and an array that the sentence mentions is
#   no data any more.
#
# One would guess: `ds.attrs` of an opened Zarr group has its attributes, and `ds.data_vars` its arrays.
# What happens: an attribute `coordinates` is taken for CF's list of names, of the group as of an array: it is cut at its blanks and
#   leaves `attrs`, whether or not one of its words is the name of an array. Where one is, that array becomes a coordinate:
#   means, sums, `to_dataarray` and arithmetic go on without it. Written again, the sentence does not come back. The numbers of the
#   arrays are right. decode_coords=False keeps both; no warning.
# Seen with: xarray 2026.9.0, zarr 3.1.6, numpy 2.4.6, Python 3.11.
# Seen output: "zarr: coordinates, units / xarray: units; data image; coordinates mask / written again: units / decode_coords=False:
#   coordinates, units; data image mask".
# Why it matters to image collections: where (0, 0) lies, a pixel's corner or its centre, and which way y points is what one writes
#   there. Whoever opens the group in xarray finds nothing said of it, and writes a copy without.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import numpy as np
import xarray
import zarr

first, second = f"{sys.argv[1]}/first.zarr", f"{sys.argv[1]}/second.zarr"
group = zarr.create_group(first)
for name in ("image", "mask"):
    group.create_array(name, data=np.ones((4, 4), np.float32), dimension_names=("y", "x"))
group.attrs["units"] = "pixels"
group.attrs["coordinates"] = "x right, y down, (0, 0) the centre of the top-left pixel; mask alike"


def told(name, data):
    seen = sorted(data.attrs), sorted(data.data_vars), sorted(data.coords)
    print(f"{name}:", *seen)
    return seen


print("zarr:", sorted(zarr.open_group(first, mode="r").attrs))
opened = xarray.open_zarr(first, consolidated=False)
sound = told("xarray", opened) == (["units"], ["image"], ["mask"])
opened.load().to_zarr(second, zarr_format=3, consolidated=False)
again = zarr.open_group(second, mode="r")
print("written again:", sorted(again.attrs), dict(again.attrs).get("coordinates"))
sound &= "centre" not in str(dict(again.attrs))
plain = told("decode_coords=False", xarray.open_zarr(first, consolidated=False, decode_coords=False))
sys.exit(not (sound and plain == (["coordinates", "units"], ["image", "mask"], [])))
PY
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
