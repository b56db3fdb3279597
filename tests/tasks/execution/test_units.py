from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.settings import Settings
from infra.storage.location import Location
from tasks.atlases.atlases_stage import AtlasPayload
from tasks.atlases.cluster_members import Member, packed, unpacked
from tasks.catalog.catalog_slices import SlicePayload
from tasks.catalog.catalog_stage import MergePayload
from tasks.clusters.clusters_stage import ClustersPayload
from tasks.clusters.regrade import Regrade
from tasks.distillation.target_shards import Sizes, TargetsPayload
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import Unit, address
from tasks.features.feature_shards import FeaturesPayload, ShardFacts
from tasks.features.features_stage import Shard
from tasks.features.position_bias_unit import PositionPayload
from tasks.features.run_backbone import Weights
from tasks.index.images_table import ImagesPayload
from tasks.index.index_partition import ClusterPart
from tasks.index.index_stage import TablesPayload

PLACE = Location.parse("s3://bucket/destination")
SETTINGS = Settings()
WEIGHTS = Weights("embedded", None, "0" * 16)
IMAGES = (("0" * 32, "a.png"), ("1" * 32, None))
SHARD = Shard("unit", "content", "identity", ShardFacts("0\n1", {"1": "truncated"}, 192))
MEMBERS = [Member("0" * 32, "member", "scope/unit", 0, 80, 60, "content", 192)]
SHOWN = ((0, "a.png"),)
URIS = pack_rows([["a.png"]])
PAYLOADS = (
    SlicePayload(PLACE, SETTINGS.catalog, pack_rows([("a.png", 9, "token", None, None)]), SETTINGS.limits),
    MergePayload((PLACE,), (PLACE,)),
    FeaturesPayload(PLACE, SETTINGS, WEIGHTS, IMAGES, deep=True),
    PositionPayload(SETTINGS, WEIGHTS),
    ClustersPayload(SETTINGS, PLACE, PLACE, "scope", (SHARD,), "inputs", None, Regrade()),
    AtlasPayload(
        PLACE, PLACE, SETTINGS, packed(MEMBERS), PLACE, WEIGHTS, "c1", "identity", None, SHOWN, URIS
    ),
    TablesPayload(PLACE, 16, "scope", "embedded", "weights", (ClusterPart("c1", "unit", 0, 3),)),
    ImagesPayload(PLACE, PLACE, {"1" * 32: "truncated"}, frozenset(), (PLACE,)),
    TargetsPayload(PLACE, SETTINGS, WEIGHTS, "views", Sizes(4, 8, 4), ((IMAGES[0], 1),)),
)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
def test_a_payload_is_frozen_and_crosses_to_a_worker(payload: object) -> None:
    unit = Unit(address(PLACE, "toys", 1, "scope", "unit"), payload, items=2, threads=3)
    there = pickle.loads(pickle.dumps(unit))
    assert there == unit
    assert type(there.payload) is type(payload)
    assert is_dataclass(payload)
    with pytest.raises(FrozenInstanceError):
        setattr(payload, fields(payload)[0].name, None)


def test_packed_members_come_back_as_they_were() -> None:
    several = [*MEMBERS, Member("é" * 3, "fitted", "scope/other", 3, 64, 84)]
    assert unpacked(packed(several)) == several
    assert unpacked(packed([])) == []


@given(st.lists(st.tuples(st.text(), st.integers(), st.none() | st.text(st.characters()))))
def test_packed_rows_come_back_as_they_were(rows: list[tuple[str, int, str | None]]) -> None:
    assert [tuple(row) for row in unpack_rows(pack_rows(rows))] == rows


def test_a_shard_tells_rows_and_ids_of_the_images_that_have_features() -> None:
    assert list(SHARD.facts.rows) == [(0, "0")]
