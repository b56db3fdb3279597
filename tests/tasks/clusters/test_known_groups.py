"""Sets that are known: one a group, or a group split by what its images show; kept through growth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from congeal.settings import Settings, load_settings
from tasks.clusters.cluster_growth import Grown
from tasks.clusters.cluster_placement import placed
from tasks.clusters.cluster_roles import Rows, names_of
from tasks.clusters.clusters_stage import VERSION
from tasks.clusters.known_groups import grow_groups, sort_groups
from tasks.clusters.regrade import Regrade
from tasks.corrections.corrections import Placement

EARLIER = pa.schema(
    [
        ("cluster_id", pa.string()), ("role", pa.string()), ("rank", pa.int32()), ("distance", pa.float32()),
        ("known", pa.bool_()), ("size", pa.int64()),
    ]
)  # fmt: skip


def settings(*more: str) -> Settings:
    return load_settings(None, ["clusters.method=column:kind", "atlases.atlas_size=4", *more], environ={})


def shown(things: Sequence[int], seed: int = 0) -> np.ndarray:
    """Embeddings of images of so many kinds of thing."""
    random = np.random.default_rng(seed)
    centres = np.eye(8, dtype=np.float32)[list(things)]
    found = centres + 0.1 * random.standard_normal(centres.shape).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def ids(count: int) -> pa.ChunkedArray:
    return pa.chunked_array([[f"{number:032x}" for number in range(count)]])


def first(embeddings: np.ndarray, groups: Sequence[str | None], asked: Settings) -> Rows:
    sorting = sort_groups(embeddings, groups, asked, VERSION)
    rows = Rows(len(groups), sorting.distances)
    rows.grade(sorting, names_of(sorting, ids(len(groups))), asked, embeddings)
    return rows


def earlier(rows: Rows, count: int) -> pa.Table:
    """What a version with these rows says of `count` images, of which those after them are new."""
    sizes = {name: rows.cluster_ids.count(name) for name in rows.cluster_ids if name is not None}
    known = len(rows.roles)
    table = []
    for at in range(count):
        if at >= known:
            table.append(dict.fromkeys(EARLIER.names) | {"known": False})
            continue
        name = rows.cluster_ids[at]
        table.append(
            {
                "cluster_id": name, "role": rows.roles[at], "rank": rows.ranks[at],
                "distance": float(rows.distances[at]), "known": True, "size": sizes.get(name),
            }
        )  # fmt: skip
    return pa.Table.from_pylist(table, schema=EARLIER)


def grown(embeddings: np.ndarray, rows: Rows, groups: Sequence[str | None], asked: Settings) -> Grown:
    known = earlier(rows, len(groups))
    return grow_groups(embeddings, ids(len(groups)), known, groups, asked, Regrade(), VERSION)


def partition(names: Sequence[str | None]) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        if name is not None:
            found.setdefault(name, []).append(at)
    return sorted(found.values())


def test_a_group_is_a_set_whatever_it_shows() -> None:
    embeddings = shown([0, 1, 0, 1, 2, 2, 3, 3])
    groups = ["b", "a", "a", "b", "a", "b", None, "rare"]
    rows = first(embeddings, groups, settings())
    assert partition(rows.cluster_ids) == [[0, 3, 5], [1, 2, 4]]
    assert rows.roles.count("member") == 6
    assert partition(first(embeddings, groups, settings("clusters.smallest=1")).cluster_ids) == [
        [0, 3, 5],
        [1, 2, 4],
        [7],
    ]
    # Not one image that has a group: nobody belongs anywhere.
    assert first(embeddings, [None] * 8, settings()).cluster_ids == [None] * 8


def test_a_group_is_split_on_request() -> None:
    things = [0, 1] * 6
    groups = ["x"] * 12 + ["y"] * 12
    rows = first(shown(things * 2), groups, settings("clusters.split=auto"))
    expected = [list(range(half, half + 12, 2)) for half in (0, 1, 12, 13)]
    assert partition(rows.cluster_ids) == sorted(expected)


@pytest.mark.parametrize("split", ["off", "auto"])
def test_newcomers_join_their_group(split: str) -> None:
    asked = settings(f"clusters.split={split}")
    embeddings = shown([0] * 6 + [1] * 6 + [0, 1, 2, 2, 2])
    groups = ["x"] * 6 + ["y"] * 6
    before = first(embeddings[:12], groups, asked)
    found = grown(embeddings, before, [*groups, "x", "y", "new", "new", "new"], asked)
    names = found.rows.cluster_ids
    assert names[:12] == before.cluster_ids
    assert (found.rows.roles[:12], found.rows.ranks[:12]) == (before.roles, before.ranks)
    if split == "auto":  # each into a set of its own group, or into none
        assert names[12] not in before.cluster_ids[6:]
        assert names[13] not in before.cluster_ids[:6]
        return
    assert (names[12], names[13]) == (before.cluster_ids[0], before.cluster_ids[6])
    assert found.rows.roles[12:14] == ["newcomer", "newcomer"]
    assert len(set(names[14:])) == 1
    assert names[14] not in before.cluster_ids
    assert (found.joined, found.founded) == (2, 1)


def test_an_image_whose_group_is_corrected_moves_and_the_sets_keep_their_ids() -> None:
    asked = settings()
    embeddings = shown([0] * 10)
    groups = ["x"] * 5 + ["y"] * 5
    before = first(embeddings, groups, asked)
    moved = ["x"] * 4 + ["y"] * 6
    found = grown(embeddings, before, moved, asked)
    assert found.rows.cluster_ids[:4] == before.cluster_ids[:4]
    assert found.rows.cluster_ids[4:] == [before.cluster_ids[5]] * 6
    assert found.rows.roles[4] == "newcomer"
    assert found.joined == 1
    # A group that is called otherwise is the same set.
    renamed = grown(embeddings, before, ["z"] * 5 + ["y"] * 5, asked)
    assert renamed.rows.cluster_ids == before.cluster_ids
    # Two groups that turn out to be one: the larger set goes on.
    merged = grown(embeddings, before, ["x"] * 10, asked)
    assert len(set(merged.rows.cluster_ids)) == 1
    assert merged.rows.cluster_ids[0] in before.cluster_ids
    # One that is taken out of its group belongs nowhere.
    out = grown(embeddings, before, [None, *groups[1:]], asked)
    assert (out.rows.cluster_ids[0], out.rows.roles[0], out.rows.ranks[0]) == (None, None, None)


def corrected(
    embeddings: np.ndarray, rows: Rows, groups: Sequence[str | None], clusters: dict[str, str]
) -> list[str | None]:
    """The clusters after images, by id, were given to other clusters."""
    names = ids(len(groups))
    placement = Placement(clusters=clusters, touched=frozenset(clusters.values()))
    known = placed(earlier(rows, len(groups)), names, placement)
    regrade = Regrade(placement.touched)
    found = grow_groups(embeddings, names, known, groups, settings(), regrade, VERSION, placement)
    return found.rows.cluster_ids


def test_who_was_moved_to_the_set_of_another_group_stays_there() -> None:
    embeddings, groups = shown([0, 0, 0, 1, 1, 1]), ["a", "a", "a", "b", "b", "b"]
    rows = first(embeddings, groups, settings())
    a, b = rows.cluster_ids[0], rows.cluster_ids[3]
    assert a is not None
    assert b is not None
    moved = corrected(embeddings, rows, groups, {f"{5:032x}": a})
    assert moved == [a, a, a, b, b, a]
    merged = corrected(embeddings, rows, groups, {f"{at:032x}": a for at in (3, 4, 5)})
    assert merged == [a] * 6


def test_a_group_that_its_owner_has_split_has_two_sets() -> None:
    embeddings, groups = shown([0, 0, 1, 1, 2, 2]), ["a", "a", "a", "a", "b", "b"]
    rows = first(embeddings, groups, settings())
    a, b = rows.cluster_ids[0], rows.cluster_ids[4]
    split = corrected(embeddings, rows, groups, {f"{at:032x}": "5" * 12 for at in (2, 3)})
    assert split == [a, a, "5" * 12, "5" * 12, b, b]
