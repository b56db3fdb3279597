#!/usr/bin/env bash
# hdbscan 0.8.44 and scikit-learn 1.9.1: the same points with the same parameters are 5 clusters in one HDBSCAN and 17 in the other.
#
# One would guess: sklearn.cluster.HDBSCAN is hdbscan.HDBSCAN, taken over with its parameters: min_cluster_size and min_samples
#   mean the same, up to ties.
# What happens: min_samples=k is the k-th neighbour of a point without itself in hdbscan, and with itself in scikit-learn: there,
#   every radius is a neighbour smaller, the tree rougher, and clusters fall apart. With min_samples one larger scikit-learn
#   gives hdbscan's clusters. Its docstring says "k-th nearest neighbor" and names no difference.
# Seen with: hdbscan 0.8.44, scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1, Python 3.11. 300 points about 8 centres.
# Seen output: "min_cluster_size 5, min_samples 3: hdbscan 5 clusters, scikit-learn 17, scikit-learn with 4: 5 / alike (adjusted Rand):
#   0.17, with 4: 0.99".
# Why it matters to image collections: groups of photographs and of near copies are found so on embeddings, and the parameters are
#   copied from papers and from one program to the other. min_samples is small there, where one neighbour is most.
# Fails (exit 1) when the two agree, or differ with one more, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check hdbscan==0.8.44 scikit-learn==1.9.1 numpy==2.4.6 \
  scipy==1.17.1 2>/dev/null
cat >"$work/look.py" <<'PY'
import sys

import hdbscan
import sklearn.cluster
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

points, _ = make_blobs(300, centers=8, cluster_std=1.6, random_state=1, n_features=2)
first = hdbscan.HDBSCAN(
    min_cluster_size=5, min_samples=3, algorithm="generic", approx_min_span_tree=False
).fit_predict(points)
same, more = (
    sklearn.cluster.HDBSCAN(min_cluster_size=5, min_samples=count, algorithm="brute").fit_predict(points)
    for count in (3, 4)
)
counts = [int(labels.max()) + 1 for labels in (first, same, more)]
alike = [adjusted_rand_score(first, labels) for labels in (same, more)]
print(
    f"min_cluster_size 5, min_samples 3: hdbscan {counts[0]} clusters, scikit-learn {counts[1]}, "
    f"scikit-learn with 4: {counts[2]}"
)
print(f"alike (adjusted Rand): {alike[0]:.2f}, with 4: {alike[1]:.2f}")
sys.exit(not (counts[0] == counts[2] < counts[1] - 5 and alike[1] > 0.95 > alike[0]))
PY
"$work/venv/bin/python" "$work/look.py" 2>/dev/null
