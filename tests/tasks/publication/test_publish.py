from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sample_runs import folder, photographs, run, tiny, units

from infra.ledger.publications import published, versions
from infra.storage.location import Location
from tasks.catalog.source_listing import Survey
from tasks.publication.publish import run_key, up_to_date, weights_key


def key(source: Path, weights: Path, *more: str) -> str:
    settings = tiny(weights, *more)
    with Survey(Location.parse(source), settings.catalog) as survey:
        return run_key(survey, settings, weights_key(settings))


def test_the_key_tells_what_bears_on_the_results(finished: Path, weights: Path, tmp_path: Path) -> None:
    source = finished / "source"
    first = key(source, weights)
    assert key(source, weights) == first
    for same in ("engine.kind=dask", "engine.threads=2", "features.batch_size=1", "storage.region=eu"):
        assert key(source, weights, same) == first
    for other in (
        "seed=1",
        "features.layer=-2",
        "clusters.smallest=5",
        "previews.size=64",
        "index.lattice=5",
    ):
        assert key(source, weights, other) != first
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(weights.read_bytes())
    assert key(source, moved) == first
    moved.write_bytes(weights.read_bytes() + b" ")
    assert key(source, moved) != first


def test_a_publication_names_every_unit(finished: Path) -> None:
    publication = published(Location.parse(finished / "destination"))
    assert publication is not None
    named = {f"{stage}/{name}" for stage, names in publication.units.items() for name in names}
    there = {
        "/".join(unit.relative_to(finished / "destination" / "stages").parts)
        for unit in units(finished / "destination")
    }
    assert named == there
    assert publication.counts == {
        "ok": 10,
        "failed": 1,
        "duplicate": 1,
        "outliers": 10,  # random weights see nothing that these pictures have in common
        "misfits": 10,
        "unread": 0,
        "clusters": 1,
    }
    assert publication.backbone == "test_vit.r160_in1k"


def test_other_results_are_another_version_and_the_old_one_stays(tmp_path: Path, weights: Path) -> None:
    source, destination = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    run(source, destination, tiny(weights))
    run(source, destination, tiny(weights, "seed=1"))
    place = Location.parse(destination)
    assert [name[:5] for name in versions(place)] == ["00001", "00002"]
    for number, seed in (("1", 0), ("2", 1)):
        publication = published(place, number)
        assert publication is not None
        assert publication.settings["seed"] == seed


def test_a_run_that_changes_nothing_publishes_nothing(finished: Path, tmp_path: Path, weights: Path) -> None:
    shutil.copytree(finished / "destination", tmp_path / "out")
    (units(tmp_path / "out", ["index"])[0] / "_commit.json").unlink()
    facts = run(finished / "source", tmp_path / "out", tiny(weights))
    assert not facts["up_to_date"]
    assert not facts["published"]
    assert len(versions(Location.parse(tmp_path / "out"))) == 1


def test_a_missing_or_damaged_marker_is_not_up_to_date(finished: Path, tmp_path: Path, weights: Path) -> None:
    shutil.copytree(finished / "destination", tmp_path / "out")
    place = Location.parse(tmp_path / "out")
    current = published(place)
    assert current is not None
    assert up_to_date(place, current.run_key) is not None
    assert up_to_date(place, "another") is None
    marker = units(tmp_path / "out", ["clusters"])[0] / "_commit.json"
    kept = marker.read_bytes()
    marker.write_bytes(b"{")
    assert up_to_date(place, current.run_key) is None
    marker.unlink()
    assert up_to_date(place, current.run_key) is None
    marker.write_bytes(kept)
    assert up_to_date(place, current.run_key) is not None


@pytest.mark.parametrize("damaged", ["pointer", "version"])
def test_a_damaged_publication_is_published_anew(
    finished: Path, tmp_path: Path, weights: Path, damaged: str
) -> None:
    shutil.copytree(finished / "destination", tmp_path / "out")
    home = tmp_path / "out" / "published"
    (home / "current.json" if damaged == "pointer" else next((home / "versions").iterdir())).write_bytes(b"{")
    facts = run(finished / "source", tmp_path / "out", tiny(weights))
    assert facts["published"]
    assert not any(stage["units_made"] for stage in facts["stages"])
    assert run(finished / "source", tmp_path / "out", tiny(weights))["up_to_date"]


def test_no_secret_is_recorded(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "out", tiny(weights, "storage.secret=hush-hush", "storage.key=me-myself"))
    for path in (tmp_path / "out").rglob("*.json"):
        json.loads(path.read_bytes())
        assert b"hush-hush" not in path.read_bytes()
        assert b"me-myself" not in path.read_bytes()
