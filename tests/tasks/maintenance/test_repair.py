"""Bit flips in every kind of stored file: readers say so in a sentence, and a repair and a run mend it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_runs import results, run, tiny, units

import congeal
from infra.errors import DamagedError, UserError
from infra.ledger.run_lock import PRUNE, REPAIR, RUN, locked
from infra.ledger.sealed_text import opened_text
from infra.storage.location import Location
from tasks.maintenance.repair import repair
from tasks.maintenance.verify import verify

# One file of every kind: where it lies, and the stage whose unit goes with it.
KINDS = {
    "features": "stages/features/*/*/*/features.zarr/features/c/0/0/0/0",
    "embeddings": "stages/features/*/*/*/features.zarr/embedding/c/0/0",
    "squares": "stages/features/*/*/*/features.zarr/preview/c/0/0/0/0",
    "an array's description": "stages/features/*/*/*/features.zarr/features/zarr.json",
    "what places look like": "stages/features/*/*/*/position.zarr/directions/c/0/0",
    "a slice": "stages/catalog/*/*/*/catalog.parquet",
    "the catalog": "stages/catalog/*/*/*/images.parquet",
    "members": "stages/clusters/*/*/*/members.parquet",
    "maps": "stages/atlases/*/*/*/atlas.zarr/maps/forward/c/0/0/0/0",
    "an atlas": "stages/atlases/*/*/*/atlas.zarr/atlas/features/c/0/0/0",
    "a group's description": "stages/atlases/*/*/*/atlas.zarr/zarr.json",
    "alignments": "stages/atlases/*/*/*/alignment.parquet",
    "a picture": "stages/atlases/*/*/*/previews/members.png",
    "correspondences": "stages/index/*/*/*/correspondences.parquet",
    "images": "stages/index/*/*/*/images.parquet",
    "clusters": "stages/index/*/*/*/clusters.parquet",
    "a marker of features": "stages/features/*/*/_commit.json",
    "a marker of tables": "stages/index/*/*/_commit.json",
}


@pytest.fixture
def home(aligned: Path, tmp_path: Path) -> Path:
    shutil.copytree(aligned / "destination", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def kept(aligned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which a file is damaged for as long as a test takes."""
    place: Path = tmp_path_factory.mktemp("flips") / "out"
    shutil.copytree(aligned / "destination", place)
    return place


def flip(path: Path, at: float = 0.5) -> bytes:
    """Turn one bit of a file over; its content before."""
    before = path.read_bytes()
    data = bytearray(before)
    data[int(len(data) * at)] ^= 1 << (len(data) % 8)
    path.write_bytes(data)
    return before


def first(place: Path, pattern: str) -> Path:
    return sorted(place.glob(pattern))[0]


@pytest.fixture
def flipped(kept: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = first(kept, request.param)
    before = flip(path)
    yield path
    path.write_bytes(before)


@pytest.mark.parametrize("flipped", KINDS.values(), ids=KINDS.keys(), indirect=True)
def test_a_flipped_bit_is_named_and_its_unit_removed(kept: Path, flipped: Path) -> None:
    place = Location.parse(kept)
    faults = verify(place)["faults"]
    assert [fault for fault in faults if str(flipped) in fault]
    assert all("\n" not in fault and "congeal repair" in fault for fault in faults)
    facts = repair(place, dry_run=True, only_damaged=True)
    stage, scope, unit = flipped.relative_to(kept / "stages").parts[:3]
    assert facts["removed"] == [f"{stage}/{scope}/{unit}"]
    assert sum(repair(place, dry_run=True)["units"].values()) >= 1


def shown(collection: Any) -> list[str]:
    """The images that have maps."""
    images = collection.images
    return list(images["uri"][images["cluster_id"].notna()])


READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sql": (KINDS["correspondences"], lambda c: c.sql("SELECT sum(x) FROM correspondences")),
    "sql of images": (KINDS["images"], lambda c: c.sql("SELECT count(DISTINCT uri) FROM images")),
    "a table": (KINDS["correspondences"], lambda c: c.correspondences()),
    "images": (KINDS["images"], lambda c: c.images),
    "clusters": (KINDS["clusters"], lambda c: c.clusters),
    "maps": (KINDS["maps"], lambda c: [c.maps(name) for name in shown(c)]),
    "transfer": (KINDS["maps"], lambda c: [c.transfer(name, [[30.0, 30.0]], "all") for name in shown(c)]),
    "atlas": (KINDS["an atlas"], lambda c: [c.atlas(name) for name in c.clusters["cluster_id"]]),
    "nearest": (KINDS["embeddings"], lambda c: c.nearest("a/0.png")),
    "a marker": (KINDS["a marker of tables"], lambda c: c.images),
    "opening": ("published/current.json", lambda c: c),
    "the version": ("published/versions/*.json", lambda c: c),
}


@pytest.mark.parametrize(("flipped", "read"), READERS.values(), ids=READERS.keys(), indirect=["flipped"])
def test_every_reader_says_one_sentence(kept: Path, flipped: Path, read: Callable[[Any], Any]) -> None:
    with pytest.raises(DamagedError) as caught:
        read(congeal.open(kept))
    assert "\n" not in str(caught.value)
    assert str(flipped.parent) in str(caught.value).replace("file://", "")
    assert f"`congeal repair {kept}`" in str(caught.value)


def again(aligned: Path, home: Path, weights: Path) -> dict[str, Any]:
    return run(aligned / "source", home, tiny(weights, "atlases.solver.outliers.least_shared_tokens=0"))


def test_what_is_repaired_is_made_anew_with_the_same_bytes(aligned: Path, home: Path, weights: Path) -> None:
    before, pointer = results(home), (home / "published/current.json").read_bytes()
    for pattern in KINDS.values():
        flip(first(home, pattern))
    repair(Location.parse(home))
    assert not (home / "stages/index").exists() or not list(home.glob("stages/index/*/*/_commit.json"))
    again(aligned, home, weights)
    assert results(home) == before
    assert (home / "published/current.json").read_bytes() == pointer
    assert verify(Location.parse(home))["faults"] == []
    assert repair(Location.parse(home))["faults"] == []


def test_a_stage_computes_from_nothing_that_is_damaged(aligned: Path, home: Path, weights: Path) -> None:
    before = results(home)
    flip(first(home, KINDS["features"]))
    for unit in units(home, ["atlases"]):
        (unit / "_commit.json").unlink()
    with pytest.raises(UserError, match=r"features/c/0/0/0/0 is damaged, .*`congeal repair"):
        again(aligned, home, weights)
    facts = repair(Location.parse(home), only_damaged=True)
    assert facts["units"]["features"] == 1
    again(aligned, home, weights)
    assert results(home) == before


def test_what_came_of_an_atlas_are_the_tables_of_its_cluster(home: Path) -> None:
    flip(first(home, KINDS["maps"]))
    facts = repair(Location.parse(home), dry_run=True)
    assert facts["units"]["atlases"] == 1
    assert facts["units"]["features"] == facts["units"]["catalog"] == facts["units"]["clusters"] == 0
    assert facts["units"]["index"] >= 2


def test_a_pointer_is_written_anew(home: Path) -> None:
    pointer = home / "published/current.json"
    before = flip(pointer, 0.9)
    assert repair(Location.parse(home))["pointer"]
    assert pointer.read_bytes() == before


def test_a_version_that_is_damaged_goes_and_is_published_anew(
    aligned: Path, home: Path, weights: Path
) -> None:
    before = results(home)
    version = first(home, "published/versions/*.json")
    flip(version)
    assert repair(Location.parse(home))["versions"] == [version.stem]
    again(aligned, home, weights)
    assert results(home) == before
    assert verify(Location.parse(home))["faults"] == []


def test_the_mark_of_a_destination_is_written_anew(home: Path) -> None:
    before = (home / "congeal.json").read_bytes()
    (home / "congeal.json").write_bytes(b"x" + before)
    assert repair(Location.parse(home), dry_run=True)["faults"]
    repair(Location.parse(home))
    assert json.loads((home / "congeal.json").read_bytes()) == json.loads(before)


def test_units_of_an_earlier_layout_are_named_too(home: Path) -> None:
    """What was made without a check may hold what is damaged."""
    for unit in units(home):
        marker = unit / "_commit.json"
        content = json.loads(opened_text(marker.read_bytes())[0])
        marker.write_text(json.dumps(content | {"layout": 1}))
    assert verify(Location.parse(home))["faults"] == []
    flip(first(home, KINDS["maps"]))
    faults = verify(Location.parse(home))["faults"]
    assert any("was computed from units that are damaged" in fault for fault in faults)
    assert repair(Location.parse(home), dry_run=True, only_damaged=True)["derived"] >= 2


@pytest.mark.parametrize("kind", [RUN, PRUNE])
def test_it_keeps_out_of_the_way_of_others(home: Path, kind: str) -> None:
    place = Location.parse(home)
    with locked(place, kind), pytest.raises(UserError, match=f"A {kind} is at work"):
        repair(place)
    with locked(place, REPAIR), pytest.raises(UserError, match="A repair is at work"), locked(place, RUN):
        pass


def test_nothing_to_repair(home: Path, tmp_path: Path) -> None:
    facts = repair(Location.parse(home))
    assert facts["faults"] == facts["removed"] == facts["versions"] == []
    with pytest.raises(UserError, match="nothing to repair"):
        repair(Location.parse(tmp_path / "elsewhere"))
