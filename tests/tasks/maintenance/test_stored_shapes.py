"""Arrays whose bytes are those that were written, and that no reader can use: named, and mended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import LITTLE_IN_COMMON, results, run, tiny

import congeal
from congeal.results.schema.atlas_arrays import (
    ATLAS_BASIS,
    ATLAS_SALIENCY,
    EXEMPLAR_PLACES,
    FORWARD,
    POSE,
    WINDOWS,
)
from congeal.results.schema.feature_arrays import EMBEDDING, FEATURES
from infra.errors import DamagedError
from infra.ledger.commits import find_marker, rewrite_unit
from infra.storage.location import Location
from tasks.maintenance.changed_arrays import changed_group
from tasks.maintenance.repair import repair
from tasks.maintenance.verify import verify


@pytest.fixture
def out(aligned: Path, tmp_path: Path) -> Path:
    shutil.copytree(aligned / "destination", tmp_path / "out")
    return tmp_path / "out"


def rewritten(out: Path, group: str, path: str, change: Callable[[Any], Any]) -> str:
    """Write an array of a unit anew, with a marker that goes with it, as another program would; its unit."""
    place = Location.parse(out)
    found = sorted(out.glob(f"stages/*/*/*/*/{group}/{path}/zarr.json"))[0].relative_to(out / "stages").parts
    marker = find_marker(place, found[0], "/".join(found[1:3]))
    assert marker is not None
    changed = changed_group(
        place, marker, group, lambda at, data, dims: change(data) if at == path else data, lambda facts: facts
    )
    rewrite_unit(place, marker, changed, marker.record)
    return "/".join(found[:3])


CASES = {
    "too few columns of poses": ("atlas.zarr", POSE.path, lambda data: data[:, :4]),
    "maps of fewer images": ("atlas.zarr", FORWARD.path, lambda data: data[:-1]),
    "maps without x and y": ("atlas.zarr", FORWARD.path, lambda data: data[..., :1]),
    "a basis of fewer components": ("atlas.zarr", ATLAS_BASIS.path, lambda data: data[:, 1:]),
    "a basis of fewer channels": ("atlas.zarr", ATLAS_BASIS.path, lambda data: data[1:]),
    "an atlas that is no square": ("atlas.zarr", ATLAS_SALIENCY.path, lambda data: data[:, 1:]),
    "fewer exemplars": ("atlas.zarr", EXEMPLAR_PLACES.path, lambda data: data[:-1]),
    "places without saliency": ("atlas.zarr", EXEMPLAR_PLACES.path, lambda data: data[..., :2]),
    "features of another kind": (
        "features.zarr",
        FEATURES.path,
        lambda data: np.nan_to_num(data).astype("u1"),
    ),
    "embeddings of fewer images": ("features.zarr", EMBEDDING.path, lambda data: data[:-1]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_no_reader_can_use_is_named(out: Path, case: str) -> None:
    unit = rewritten(out, *CASES[case])
    place = Location.parse(out)
    faults = verify(place)["faults"]
    assert any(unit in fault and "congeal repair" in fault for fault in faults), faults
    assert verify(place, deep=False)["faults"] == []  # nothing is read for that but what is there
    assert repair(place, dry_run=True)["damaged"] == 1


@pytest.mark.parametrize("case", ["maps of fewer images", "features of another kind"])
def test_a_repair_and_a_run_make_it_anew(out: Path, aligned: Path, weights: Path, case: str) -> None:
    rewritten(out, *CASES[case])
    assert repair(Location.parse(out))["removed"]
    run(aligned / "source", out, tiny(weights, LITTLE_IN_COMMON))
    assert verify(Location.parse(out))["faults"] == []
    assert results(out) == results(aligned / "destination")


@pytest.mark.parametrize("case", [one for one in CASES if CASES[one][0] == "atlas.zarr"])
def test_readers_name_the_unit_and_the_cure(out: Path, aligned: Path, weights: Path, case: str) -> None:
    unit = rewritten(out, *CASES[case])
    cluster = congeal.open(out).clusters["cluster_id"][0]
    data = (aligned / "source/a/0.png").read_bytes()
    asked: list[Callable[[], Any]] = [
        lambda: congeal.open(out).maps("a/0.png"),
        lambda: congeal.open(out).cluster(cluster).fit(data, weights=str(weights), force=True),
    ]
    said = []
    for ask in asked:
        try:
            ask()
        except DamagedError as error:
            said.append(str(error))
    if case != "too few columns of poses":  # which those two do not read
        assert said
    assert all(unit in one and "congeal repair" in one and "\n" not in one for one in said), said


def test_neighbours_of_embeddings_that_lack_an_image(out: Path) -> None:
    unit = rewritten(out, *CASES["embeddings of fewer images"])
    with pytest.raises(DamagedError, match=rf"{unit}.*embedding is float32 .*congeal repair"):
        congeal.open(out).nearest("a/0.png")


def test_what_a_newer_congeal_has_made_is_left_alone(out: Path) -> None:
    unit = rewritten(out, *CASES["too few columns of poses"])
    stage, scope, name = unit.split("/")
    place = Location.parse(out)
    marker = find_marker(place, stage, f"{scope}/{name}")
    assert marker is not None
    newer = marker.model_copy(update={"stage_version": marker.stage_version + 1})
    rewrite_unit(place, newer, {}, json.loads(json.dumps(newer.record)))
    assert repair(place, dry_run=True)["faults"] == []


def test_windows_have_three_columns_or_five() -> None:
    assert WINDOWS.misfit((7, 3), "float32") is None
    assert WINDOWS.misfit((7, 5), "float32", 7) is None
    said = "its array windows is float32 [7, 4], not float32 [image, 3 or 5]"
    assert WINDOWS.misfit((7, 4), "float32") == said
    assert WINDOWS.misfit((7, 3), "float32", 6) == said.replace("[7, 4]", "[7, 3]").replace("image", "6")
    assert WINDOWS.misfit((7,), "float32") is not None
    assert WINDOWS.misfit((7, 3), "int32") is not None
