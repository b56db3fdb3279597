"""How a finished run split a labelled collection: V-measure, purity, sizes.

    python benchmarks/clusters/clustering.py DESTINATION LABELS.csv

LABELS.csv has a row an image: its file's name, its label. Outliers count as one more set of their own in the
V-measure and in purity, so that flagging everything would not pay.
"""

from __future__ import annotations

import argparse
from pathlib import PurePosixPath

import pandas as pd
from sklearn.metrics import v_measure_score

import congeal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("destination")
    parser.add_argument("labels")
    asked = parser.parse_args()
    labels = pd.read_csv(asked.labels)
    truth = dict(zip(labels.iloc[:, 0], labels.iloc[:, 1], strict=True))
    images = congeal.open(asked.destination).images
    usable = images[images["status"] == "ok"]
    label = usable["uri"].map(lambda uri: truth[PurePosixPath(uri).name])
    found = usable["cluster_id"].fillna("outlier")
    table = pd.crosstab(found, label)
    purity = table.max(axis=1).sum() / table.to_numpy().sum()
    sizes = found[found != "outlier"].value_counts().tolist()
    print(
        f"{len(usable)} images, {label.nunique()} labels: {len(sizes)} clusters, "
        f"{int((found == 'outlier').sum())} outliers; V-measure {v_measure_score(label, found):.3f}, "
        f"purity {purity:.3f}; sizes {sizes}"
    )


if __name__ == "__main__":
    main()
