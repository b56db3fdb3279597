#!/usr/bin/env bash
# ktch 0.11.1: aligning shapes by its generalized Procrustes analysis turns some of them into their mirror images.
#
# One would guess: shapes are moved, turned and scaled, as its documentation says and as tpsRelw and geomorph do; the
#   landmarks of a left wing stay those of a left wing, and bodies that bend both ways alike are straight on average.
# What happens: the turns are found by SciPy's orthogonal_procrustes, whose answer may be a reflection. Whatever lies
#   nearer to the others in the mirror is mirrored: no option forbids it, nothing is said, and the aligned
#   landmarks that come back do not tell. morphops 0.1.13 does the same unless it is told no_reflect=True.
# Seen with: ktch 0.11.1, morphops 0.1.13, numpy 2.4.6, scipy 1.17.1, Python 3.11. Forty thin bodies of seven landmarks, of
#   which 24 bend one way and 16 the other; their bends are 0.02 of their length on average.
# Seen output: "as they are: 24 of 40 bend to the left, mean +0.02 / ktch: 40 of 40, mean shape +0.16 / morphops: 40 of 40,
#   mean shape +0.16 / morphops, no_reflect=True: 24 of 40, mean shape +0.02".
# Why it matters to image collections: which side a photograph shows, and which way a fish or worm bends, is what such
#   a collection differs in most. The mean is then a shape that the animal does not have, asymmetry and half of
#   the bending are gone from every statistic, and photographs that were mirrored by mistake pass unseen.
# Fails (exit 1) when any of the four changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ktch==0.11.1 morphops==0.1.13 numpy==2.4.6 \
    scipy==1.17.1 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import morphops
import numpy as np
from ktch.landmark import GeneralizedProcrustesAnalysis

along = np.linspace(-1, 1, 7)
bends = np.random.default_rng(0).uniform(-0.3, 0.3, 40)
bodies = np.stack([np.column_stack([along, bend * (along**2 - 1 / 3)]) for bend in bends])


def bend_of(body):
    """How far the middle lies to the left of the line from the first landmark to the last, in half lengths."""
    line, half = body[6] - body[0], body[3] - body[0]
    return float((half[0] * line[1] - half[1] * line[0]) / (line @ line) * 2)


def told(name, aligned, mean):
    left = sum(bend_of(body) > 0 for body in aligned)
    print(f"{name}: {left} of {len(aligned)} bend to the left, mean shape {bend_of(mean):+.2f}")
    return left, round(bend_of(mean), 2)


analysis = GeneralizedProcrustesAnalysis(n_dim=2)
by_ktch = analysis.fit_transform(bodies.reshape(40, -1)).reshape(bodies.shape)
either, same = morphops.gpa(bodies), morphops.gpa(bodies, no_reflect=True)
seen = [
    told("as they are", bodies, bodies.mean(axis=0)),
    told("ktch", by_ktch, np.reshape(analysis.mu_, (7, 2))),
    told("morphops", either["aligned"], either["mean"]),
    told("morphops, no_reflect=True", same["aligned"], same["mean"]),
]
(kept, mean), ktch, free, held = seen
ok = held == (kept, mean) and ktch[0] in (0, 40) and free[0] in (0, 40)
sys.exit(not (ok and abs(mean) < 0.03 and min(abs(ktch[1]), abs(free[1])) > 0.1))
PY
"$work/venv/bin/python" "$work/look.py" 2>/dev/null
