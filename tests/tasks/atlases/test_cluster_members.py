from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from congeal.settings import Settings
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from tasks.atlases import cluster_members
from tasks.atlases.cluster_members import SLAB, Dense, HeldFeatures, Member, align_set, read_features
from tasks.clusters.cluster_roles import MEMBER, NEWCOMER
from tasks.features.shard_reading import OpenShard

PLACE: Any = Location  # never opened: what is read is made up


class Held:
    """The rows of an array in memory."""

    def __init__(self, data: np.ndarray[Any, Any]) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype

    def read(self, rows: Any) -> Any:
        return self.data[rows]

    def read_into(self, rows: Any, found: Any, places: Any) -> None:
        found[places] = self.read(rows)


def members(builders: int, rest: int) -> list[Member]:
    roles = [MEMBER] * builders + [NEWCOMER] * rest
    return [Member(f"{at:04}", role, "scope/unit", at, 8, 8, "content") for at, role in enumerate(roles)]


def test_a_slab_of_features_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the images that the atlas is built from, then those that are fitted, never all together."""
    kept: list[weakref.ref[Dense]] = []
    read: list[int] = []

    def made_up(_: Any, images: Any) -> Dense:
        assert all(ref() is None for ref in kept)
        read.append(len(images))
        grid = np.zeros((len(images), 2, 2), np.float16)
        dense = Dense(grid[..., None], grid, None, None, 1.0, None, {})
        kept.append(weakref.ref(dense))
        return dense

    monkeypatch.setattr(cluster_members, "read_features", made_up)
    facts = SimpleNamespace(directions=None, blank=np.zeros(1))
    monkeypatch.setattr(cluster_members, "read_position", lambda _: facts)
    monkeypatch.setattr("congeal.alignment.solver.align", lambda *_, **__: SimpleNamespace(atlas=None))
    monkeypatch.setattr("congeal.alignment.solver.fit", lambda *_, **__: "fitted")
    monkeypatch.setattr(cluster_members, "joined", list)
    cluster = members(5, 2 * SLAB + 3)
    found: Any = align_set(PLACE, cluster, PLACE, Settings(), torch.device("cpu"), Stopwatch())
    assert read == [5, SLAB, SLAB, 3]
    assert len(found) == 4


def test_features_that_are_held_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def made_up(_: Any, images: Any) -> Dense:
        read.append(len(images))
        grid = np.zeros((len(images), 2, 2), np.float16)
        return Dense(grid[..., None], grid, None, None, 1.0, None, {})

    monkeypatch.setattr(cluster_members, "read_features", made_up)
    held = HeldFeatures(PLACE, members(5, 0), Stopwatch())
    assert held.read() is held.read()
    ref = weakref.ref(held.read())
    held.let_go()
    assert ref() is None
    assert len(held.read().features) == 5
    assert read == [5, 5]


def test_features_of_many_shards_come_in_the_order_of_the_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random, shards, truth = np.random.default_rng(0), {}, {}
    features, saliency = cluster_members.FEATURES, cluster_members.SALIENCY
    for name in ("scope/a", "scope/b", "scope/c"):
        whole = random.normal(size=(6, 2, 2, 3)).astype(np.float16)
        rows = {features.path: Held(whole), saliency.path: Held(whole[..., 0])}
        shards[name] = OpenShard({"extent": 0.9, "taps": []}, rows)
        truth[name] = whole
    monkeypatch.setattr(cluster_members, "opened_shard", lambda _, name, __: shards[name])
    order = [("scope/b", 4), ("scope/a", 0), ("scope/c", 5), ("scope/b", 1), ("scope/a", 3), ("scope/c", 5)]
    asked = [Member(str(at), MEMBER, unit, row, 8, 8, "content") for at, (unit, row) in enumerate(order)]
    found = read_features(PLACE, asked)
    expected = np.stack([truth[unit][row] for unit, row in order])
    assert found.features.dtype == np.float16
    assert np.array_equal(found.features, expected)
    assert np.array_equal(found.saliency, expected[..., 0])
    assert found.extent == 0.9
