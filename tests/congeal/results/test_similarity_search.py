from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sample_runs import finished, folder, photographs, run, tiny, weights

import congeal
from congeal.results.similarity_search import _top
from infra.errors import UserError
from infra.ledger.commits import find_marker, outputs_location
from infra.storage.zarr_groups import open_group

__all__ = ["finished", "weights"]


@pytest.fixture(scope="module")
def opened(finished: Path) -> Any:
    return congeal.open(finished / "destination")


def embeddings(opened: Any) -> tuple[list[str], np.ndarray]:
    """Every image's embedding, by another way."""
    images = opened.table("images", where={"status": "ok"})
    rows = []
    for unit, row in zip(images["features_unit"], images["features_row"], strict=True):
        marker = find_marker(opened.place, "features", unit)
        assert marker is not None
        rows.append(
            open_group(outputs_location(opened.place, marker) / "features.zarr")["embedding"][int(row)]
        )
    return images["uri"].tolist(), np.stack(rows)


def test_the_nearest_are_those_of_the_largest_cosine(opened: Any) -> None:
    names, vectors = embeddings(opened)
    found = opened.nearest("a/1.png", 4)
    cosine = vectors @ vectors[names.index("a/1.png")]
    order = [names[place] for place in np.argsort(-cosine, kind="stable") if names[place] != "a/1.png"]
    assert found["neighbour"].tolist() == order[:4]
    assert found["rank"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found["similarity"], sorted(cosine)[::-1][1:5], rtol=1e-5)
    assert found["cluster_id"].notna().all()


def test_several_at_once_and_all_there_are(opened: Any) -> None:
    both = opened.nearest(["a/1.png", "b/2.png"], 3)
    assert (
        both[both["image"] == "b/2.png"]["neighbour"].tolist()
        == opened.nearest("b/2.png", 3)["neighbour"].tolist()
    )
    assert len(opened.nearest("a/1.png", 1000)) == 9
    assert len(opened.nearest("a/1.png", 3, same_cluster=True)) == 3


def test_images_that_have_left_are_no_neighbours(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(3))
    run(source, tmp_path / "out", tiny(weights))
    nearest = congeal.open(tmp_path / "out").nearest("a/0.png", 1)["neighbour"][0]
    (source / nearest).unlink()
    run(source, tmp_path / "out", tiny(weights))
    found = congeal.open(tmp_path / "out").nearest("a/0.png", 10)
    assert len(found) == 4
    assert nearest not in set(found["neighbour"])


def test_who_has_no_neighbours(opened: Any) -> None:
    with pytest.raises(UserError, match=r"'broken.jpg' could not be used"):
        opened.nearest("broken.jpg")
    with pytest.raises(UserError, match="ask for 1 or more"):
        opened.nearest("a/0.png", 0)


@settings(max_examples=100)
@given(
    values=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.sampled_from([-np.inf, -1, 0, 0.5]),
    ),
    count=st.integers(1, 25),
)
def test_the_best_come_first_and_equal_ones_in_their_order(values: np.ndarray, count: int) -> None:
    expected = [sorted(range(len(row)), key=lambda place, row=row: -row[place])[:count] for row in values]
    assert _top(values, count).tolist() == expected
