from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from congeal.settings import Settings
from infra.storage.location import Location
from tasks.atlases.atlases_stage import AtlasPayload
from tasks.catalog.catalog_stage import MergePayload, SlicePayload
from tasks.clusters.cluster_growth import Regrade
from tasks.clusters.clusters_stage import ClustersPayload
from tasks.distillation.target_shards import Sizes, TargetsPayload
from tasks.execution.stage_runner import Unit, address
from tasks.features.feature_shards import FeaturesPayload
from tasks.features.position_bias_unit import PositionPayload
from tasks.features.run_backbone import Weights
from tasks.index.images_table import ImagesPayload
from tasks.index.index_partition import ClusterPart
from tasks.index.index_stage import TablesPayload

PLACE = Location.parse("s3://bucket/destination")
SETTINGS = Settings()
WEIGHTS = Weights("embedded", None, "0" * 16)
IMAGES = (("0" * 32, "a.png"), ("1" * 32, None))
PAYLOADS = (
    SlicePayload(PLACE, SETTINGS.catalog),
    MergePayload((PLACE,), (address(PLACE, "catalog", 1, "scope", "unit"),)),
    FeaturesPayload(PLACE, SETTINGS, WEIGHTS, IMAGES, deep=True),
    PositionPayload(SETTINGS, WEIGHTS),
    ClustersPayload(SETTINGS, PLACE, PLACE, "scope", ("unit",), "inputs", None, Regrade()),
    AtlasPayload(PLACE, PLACE, SETTINGS, PLACE, PLACE, "weights", "c1", "identity", None, IMAGES),
    TablesPayload(PLACE, 16, "scope", "embedded", "weights", (ClusterPart("c1", "unit", 0, 3),)),
    ImagesPayload(PLACE, PLACE, PLACE, "scope", ("unit",), (PLACE,)),
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
