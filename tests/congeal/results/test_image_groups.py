"""Shapes told group by group, by a column of the table of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_collection import known_collection, labelled

import congeal
from congeal.geometry.procrustes import procrustes
from congeal.results.landmark_shapes import shape_distance
from infra.errors import UserError

TALL = np.array([[0.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
FLAT = np.array([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0]])


def landmarks(shapes: dict[str, np.ndarray]) -> pd.DataFrame:
    """A tidy table, every shape somewhere else, of another size and turned."""
    random = np.random.default_rng(0)
    rows = []
    for image, shape in shapes.items():
        angle, size = random.uniform(0, 6), random.uniform(5, 9)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        for point, (x, y) in enumerate(20 + size * shape @ turn):
            rows.append({"image": image, "point": str(point), "x": x, "y": y})
    return pd.DataFrame(rows)


def test_groups_are_those_of_the_owners_column(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    labelled(destination)
    names = ["a/0.png", "b/0.png", "a/1.png", "b/1.png", "broken.jpg"]
    table = landmarks({name: TALL if name.startswith("a") else FLAT for name in names})
    opened = congeal.open(destination)
    found = opened.shapes(table, groups="status of it")
    assert found.groups == ("a", "b", "a", "b", None)
    assert found.table["status of it"].tolist()[:4] == ["a", "b", "a", "b"]
    assert list(found.group_means) == ["a", "b"]
    assert found.group_table["images"].tolist() == [2, 2]
    assert found.group_table["mean distance"].to_numpy() == pytest.approx([0, 0], abs=1e-6)
    apart = found.group_distances
    assert apart.loc["a", "a"] == pytest.approx(0, abs=1e-6)
    # Half way between the two lies the mean of both, which Procrustes alignment measures distances to.
    assert apart.loc["a", "b"] == pytest.approx(2 * procrustes([TALL, FLAT]).distances[0], rel=1e-3)
    assert apart.loc["a", "b"] == pytest.approx(shape_distance(TALL, 7 * FLAT + 3))
    assert opened.shapes(table, groups="Cluster_ID").grouped_by == "Cluster_ID"
    with pytest.raises(UserError, match="no column status of: did you mean status of it"):
        opened.shapes(table, groups="status of")
    with pytest.raises(UserError, match="without groups"):
        _ = opened.shapes(table).group_means
