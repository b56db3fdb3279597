#!/usr/bin/env bash
# libvips 8.18.7 (pyvips 3.2.0): a picture and its mask, warped by the same call, come apart by half a pixel.
#
# One would guess: an interpolator chooses how smooth a warp is, not where it looks. A picture with bilinear and the
#   mask of labels with nearest, through the same `affine` or the same map of `mapim`, lie on each other.
# What happens: bicubic, bilinear and all others take (10, 10) for the centre of pixel 10, nearest takes it for its
#   corner: it does not round, it cuts off. At 10.9 bilinear is nine tenths pixel 11 and nearest is pixel 10. By
#   `affine` eight times larger the two are 3.5 pixels apart. `resize` minds that, and is still half a pixel of the
#   result apart, the other way round.
# Seen with: libvips 8.18.7 (pyvips-binary), pyvips 3.2.0, numpy 2.4.6, Python 3.11. A spot, eight times larger.
# Seen output: "mapim at 10.9: bilinear 10.9, nearest 10.0 / affine: bilinear 560.0, bicubic 560.0, nearest 563.5 /
#   resize: linear 564.0, cubic 564.0, nearest 563.5 / affine, nearest, idx=-0.5: 559.5". Its place by squares is 563.5.
# Why it matters to image collections: libvips is what large pictures are warped with, and labels must be warped by
#   nearest. Masks carried over lie to one side of what they outline, more the more they are enlarged; a thin thing's
#   mask (an antenna, a vein) misses it. For labels add half a pixel to the map, or give `affine` idx=-0.5, idy=-0.5.
# Fails (exit 1) when any of these places changes by a tenth of a pixel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import numpy as np
import pyvips

TIMES, PLACE = 8, 70
rows, columns = np.mgrid[0:160, 0:160]
spot = pyvips.Image.new_from_array((250 * np.exp(-((columns - PLACE) ** 2 + (rows - 80) ** 2) / 162)).astype(np.float32))
ramp = pyvips.Image.new_from_array(np.arange(100, dtype=np.float32)[None].repeat(3, axis=0))
place = pyvips.Image.new_from_array(np.array([[[10.9, 1.0]]], np.float32))


def centre(picture):
    weights = picture.numpy().astype(float).squeeze().sum(axis=0)
    return float((weights * np.arange(len(weights))).sum() / weights.sum())


def told(name, found):
    print(f"{name}: " + ", ".join(f"{kind} {value:.1f}" for kind, value in found.items()))
    return list(found.values())


kinds = {kind: pyvips.Interpolate.new(kind) for kind in ("bilinear", "bicubic", "nearest")}
looked = {kind: float(ramp.mapim(place, interpolate=kinds[kind])(0, 0)[0]) for kind in ("bilinear", "nearest")}
warped = {kind: centre(spot.affine([TIMES, 0, 0, TIMES], interpolate=how)) for kind, how in kinds.items()}
half = centre(spot.affine([TIMES, 0, 0, TIMES], interpolate=kinds["nearest"], idx=-0.5, idy=-0.5))
larger = {kind: centre(spot.resize(TIMES, kernel=kind)) for kind in ("linear", "cubic", "nearest")}
seen = told("mapim at 10.9", looked) + told("affine", warped) + told("resize", larger)
seen.append(half)
print(f"affine, nearest, idx=-0.5: {half:.1f}")
corner, square = PLACE * TIMES, (PLACE + 0.5) * TIMES - 0.5
expected = [10.9, 10.0, corner, corner, square, square + 0.5, square + 0.5, square, corner - 0.5]
sys.exit(not np.allclose(seen, expected, atol=0.1))
PY
"$work/venv/bin/python" "$work/look.py"
