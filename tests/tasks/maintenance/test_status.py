from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sample_runs import run, tiny, units

from infra.errors import StorageError, UserError
from infra.storage.location import Location
from tasks.clusters import clusters_stage
from tasks.maintenance.status import status


def test_a_finished_run(finished: Path) -> None:
    facts = status(Location.parse(finished / "destination"))
    assert {row["stage"]: row["done"] for row in facts["stages"]} == {
        stage: len(units(finished / "destination", [stage]))
        for stage in ("catalog", "features", "clusters", "atlases", "index")
    }
    assert not any(row["missing"] or row["damaged"] for row in facts["stages"])
    assert facts["images"] == {"ok": 10, "failed": 1, "duplicate": 1}
    assert facts["failures"] == [{"uri": "broken.jpg", "error": "not an image"}]
    assert (facts["version"], facts["clusters"], facts["outliers"]) == (1, 1, 10)


def test_what_is_missing_or_damaged_is_counted(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "destination", tmp_path / "out")
    first, second = units(tmp_path / "out", ["features"])[:2]
    (first / "_commit.json").unlink()
    (second / "_commit.json").write_bytes(b"{")
    rows = {row["stage"]: row for row in status(Location.parse(tmp_path / "out"))["stages"]}
    assert (rows["features"]["missing"], rows["features"]["damaged"]) == (1, 1)
    assert rows["index"]["missing"] == 0


def test_a_run_that_did_not_come_to_its_end(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("There is no space left.")

    monkeypatch.setattr(clusters_stage, "sort", full)
    with pytest.raises(StorageError):
        run(finished / "source", tmp_path / "out", tiny(weights))
    facts = status(Location.parse(tmp_path / "out"))
    done = {row["stage"]: row["done"] for row in facts["stages"]}
    assert done["features"] == len(units(finished / "destination", ["features"]))
    assert done["clusters"] == 0
    assert facts["version"] is None


def test_no_destination(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no destination of congeal's"):
        status(Location.parse(tmp_path))
