"""Whatever happens to a run, the next one ends with the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sample_runs import folder, photographs, put, results, run, tiny, units

from infra.errors import UserError
from infra.settings import StorageSettings
from infra.storage.location import Location


@pytest.mark.parametrize("stage", ["catalog", "features", "clusters", "atlases", "index"])
def test_a_stage_without_its_markers_is_made_again_with_the_same_bytes(
    finished: Path, tmp_path: Path, weights: Path, stage: str
) -> None:
    destination = tmp_path / "destination"
    shutil.copytree(finished / "destination", destination)
    before = results(destination)
    for unit in units(destination, [stage]):
        shutil.rmtree(unit)
    facts = run(finished / "source", destination, tiny(weights))
    assert {row["stage"] for row in facts["stages"] if row["units_made"]} == {stage}
    assert not facts["published"]
    assert results(destination) == before


def test_a_second_run_does_nothing(finished: Path, weights: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "destination").rglob("*")}
    facts = run(finished / "source", finished / "destination", tiny(weights))
    assert facts["up_to_date"]
    assert {path: path.stat().st_mtime_ns for path in (finished / "destination").rglob("*")} == before


def test_a_damaged_marker_does_not_count(finished: Path, tmp_path: Path, weights: Path) -> None:
    destination = tmp_path / "destination"
    shutil.copytree(finished / "destination", destination)
    before = results(destination)
    marker = units(destination, ["atlases"])[0] / "_commit.json"
    marker.write_bytes(marker.read_bytes()[:40])
    facts = run(finished / "source", destination, tiny(weights))
    assert [row["units_made"] for row in facts["stages"] if row["stage"] == "atlases"] == [1]
    assert results(destination) == before


def test_outputs_without_a_marker_do_not_count(finished: Path, tmp_path: Path, weights: Path) -> None:
    # What a killed run leaves: half of a unit's files, some of them cut short, and no marker.
    destination = tmp_path / "destination"
    shutil.copytree(finished / "destination", destination)
    before = results(destination)
    unit = units(destination, ["features"])[0]
    (unit / "_commit.json").unlink()
    files = sorted(path for path in unit.rglob("*") if path.is_file())
    files[0].unlink()
    files[-1].write_bytes(files[-1].read_bytes()[:10])
    run(finished / "source", destination, tiny(weights))
    assert results(destination) == before


def test_features_resume_in_the_units_of_an_undisturbed_run(
    finished: Path, tmp_path: Path, weights: Path
) -> None:
    destination = tmp_path / "destination"
    shutil.copytree(finished / "destination", destination)
    before = results(destination)
    shards = units(destination, ["features"])
    assert len(shards) > 3
    for stage in ("clusters", "atlases", "index"):
        shutil.rmtree(destination / "stages" / stage)
    for shard in shards[::2]:
        shutil.rmtree(shard)
    run(finished / "source", destination, tiny(weights))
    assert results(destination) == before


def test_two_runs_at_once_make_one_result(finished: Path, tmp_path: Path, weights: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    destination = tmp_path / "destination"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, finished / "source", destination, tiny(weights)) for _ in range(2)]
        assert [run.result()["images"]["ok"] for run in runs] == [10, 10]
    assert results(destination) == results(finished / "destination")


def test_new_images_cost_only_themselves(finished: Path, tmp_path: Path, weights: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "destination"
    shutil.copytree(finished / "source", source)
    settings = tiny(weights)
    run(source, destination, settings)
    before = set(units(destination, ["features"]))
    folder(source, {"c/new.png": photographs(6)["a/5.png"]})
    facts = {row["stage"]: row for row in run(source, destination, settings)["stages"]}
    assert facts["features"]["items_made"] == 1
    assert len(set(units(destination, ["features"])) - before) == 1
    assert before < set(units(destination, ["features"]))
    assert facts["catalog"]["units_skipped"] > 0


@pytest.mark.slow
def test_every_store_gets_the_same_tables(
    finished: Path,
    weights: Path,
    s3_bucket: str,
    s3_settings: StorageSettings,
    memory_location: Location,
) -> None:
    expected = results(finished / "destination")
    files = {
        path.relative_to(finished / "source").as_posix(): path.read_bytes()
        for path in (finished / "source").rglob("*")
        if path.is_file()
    }
    root = Location.parse(f"s3://{s3_bucket}/stores", s3_settings)
    for place, storage in ((memory_location, None), (root, s3_settings)):
        put(place / "source", files)
        settings = tiny(weights, storage=storage)
        facts = run(place / "source", place / "destination", settings)
        assert not facts["up_to_date"]
        found = results(place / "destination")
        # The units of the catalog name their source; what comes out of them does not.
        tables = [digest for path, digest in found.items() if path.endswith((".parquet", ".png", "/0"))]
        assert set(tables) == {
            digest for path, digest in expected.items() if path.endswith((".parquet", ".png", "/0"))
        }
        assert run(place / "source", place / "destination", settings)["up_to_date"]


def test_memory_does_not_go_with_several_processes(memory_location: Location, weights: Path) -> None:
    put(memory_location / "source", photographs(1))
    with pytest.raises(UserError, match=r"memory of one process: set engine\.kind to loop"):
        run(memory_location / "source", memory_location / "out", tiny(weights, "engine.kind=dask"))
    assert run(memory_location / "source", memory_location / "out", tiny(weights, "engine.kind=auto"))
