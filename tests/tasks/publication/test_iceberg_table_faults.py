"""Iceberg tables that were copied, not written, or damaged: who says so, and what mends them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from iceberg_readers import Grown, faults_of, same, tables_of
from pyiceberg.table import StaticTable
from sample_runs import folder, photographs, run, tiny

import congeal
from congeal.results.schema.tables import TABLES
from infra.iceberg.table_metadata import Table
from infra.ledger.publications import published, versions
from infra.storage.location import Location
from tasks.maintenance.verify import verify
from tasks.publication import current_iceberg_tables

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pyiceberg")


def copied(grown: Grown, tmp_path: Path, weights: Path) -> Path:
    """A destination of its own, whose tables are of its place."""
    shutil.copytree(grown.destination, tmp_path / "out")
    run(grown.source, tmp_path / "out", tiny(weights))
    return tmp_path / "out"


def test_a_copy_is_told_and_mended_by_a_run_with_nothing_to_do(
    grown: Grown, tmp_path: Path, weights: Path
) -> None:
    shutil.copytree(grown.destination, tmp_path / "out")
    facts = verify(Location.parse(tmp_path / "out"))
    assert facts["faults"] == []
    (note,) = facts["notes"]
    assert f"were written for file://{grown.destination}/tables/images" in note
    assert run(grown.source, tmp_path / "out", tiny(weights))["up_to_date"]
    assert verify(Location.parse(tmp_path / "out"))["notes"] == []
    table = StaticTable.from_metadata(f"file://{tmp_path}/out/tables/correspondences")
    same(table.scan().to_arrow(), tables_of(tmp_path / "out")["correspondences"])
    assert all(f"{tmp_path}/out/" in task.file.file_path for task in table.scan().plan_files())


def test_a_run_with_nothing_to_do_looks_and_imports_nothing(grown: Grown, weights: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (grown.destination / "tables").rglob("*")}
    code = (
        "import sys; sys.path[:0] = sys.argv[1:2]; from pathlib import Path; "
        "from sample_runs import run, tiny; "
        "facts = run(Path(sys.argv[2]), Path(sys.argv[3]), tiny(Path(sys.argv[4]))); "
        "print(facts['up_to_date'], facts['iceberg_fault'], 'pyiceberg' in sys.modules)"
    )
    tests = str(Path(__file__).parents[2] / "helpers")
    arguments = [tests, str(grown.source), str(grown.destination), str(weights)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "None", "False"]
    assert {path: path.stat().st_mtime_ns for path in (grown.destination / "tables").rglob("*")} == before


@pytest.mark.parametrize("moment", ["write", "point"])
def test_a_failure_costs_a_run_nothing_and_the_next_one_mends_it(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    source = folder(tmp_path / "source", photographs(2))

    def fail(*_: object) -> None:
        raise OSError("no more room")

    with monkeypatch.context() as patch:
        patch.setattr(Table, moment, fail)
        facts = run(source, tmp_path / "out", tiny(weights))
    assert facts["published"]
    assert "were not brought up to date (OSError: no more room)" in facts["iceberg_fault"]
    assert len(congeal.open(tmp_path / "out").images) == 4
    again = run(source, tmp_path / "out", tiny(weights))
    assert (again["up_to_date"], again["iceberg_fault"]) == (True, None)
    found = StaticTable.from_metadata(f"file://{tmp_path}/out/tables/images").scan().to_arrow()
    assert found.num_rows == 4


def test_they_can_be_done_without(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    facts = run(source, tmp_path / "out", tiny(weights, "publish.iceberg=false"))
    assert facts["iceberg_fault"] is None
    assert not (tmp_path / "out/tables").exists()
    assert verify(Location.parse(tmp_path / "out"))["faults"] == []
    # It bears on no result: switched on, it is no new version.
    assert run(source, tmp_path / "out", tiny(weights))["up_to_date"]
    assert (tmp_path / "out/tables/images/metadata/version-hint.text").read_text() == "1"


def test_the_pointers_move_after_the_version_is_there(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between: the version counts, all tables are described, and the next run moves the pointers."""
    source = folder(tmp_path / "source", photographs(2))

    class Killed(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Table, "point", stop)
        with pytest.raises(Killed):
            run(source, tmp_path / "out", tiny(weights))
    assert len(versions(Location.parse(tmp_path / "out"))) == 1
    for name in TABLES:
        described = tmp_path / "out/tables" / name / "metadata/v1.metadata.json"
        assert StaticTable.from_metadata(f"file://{described}").scan().to_arrow().num_rows > 0
    assert run(source, tmp_path / "out", tiny(weights))["iceberg_fault"] is None
    assert verify(Location.parse(tmp_path / "out"))["faults"] == []


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("images/metadata/version-hint.text", b"7", "version-hint.text does not name version 1: delete"),
        ("images/metadata/version-hint.text", None, "version-hint.text does not name version 1: delete"),
        ("clusters/metadata/v1.metadata.json", None, "v1.metadata.json is missing, damaged"),
        ("clusters/metadata/v1.metadata.json", b"{}", "v1.metadata.json is missing, damaged"),
        ("alignments/metadata/*-m0.avro", None, "or what it names cannot be read"),
        ("alignments/metadata/snap-*.avro", b"no avro", "or what it names cannot be read"),
    ],
)
def test_verify_names_what_is_broken(known: Location, file: str, content: bytes | None, words: str) -> None:
    path = next(Path(str(known.local_path()) + "/tables").glob(file))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    (fault,) = faults_of(known)
    assert words in fault
    assert str(known) in fault
    if not file.endswith(("json", "text")):
        (known / "tables").delete()
    current = published(known)
    assert current is not None
    assert current_iceberg_tables.refresh(known, current) is None
    assert faults_of(known) == []


def test_verify_names_files_of_an_older_version_that_are_gone(
    grown: Grown, tmp_path: Path, weights: Path
) -> None:
    destination = copied(grown, tmp_path, weights)
    (tmp_path / "out2").mkdir()
    folder(tmp_path / "source2", photographs(2))
    place = Location.parse(tmp_path / "three")
    for each in (2, 3):
        run(folder(tmp_path / "source2", photographs(each)), tmp_path / "three", tiny(weights))
    old = congeal.open(tmp_path / "three", version="1").publication.units["index"]
    new = congeal.open(tmp_path / "three").publication.units["index"]
    (gone, *_) = (unit for unit in old if unit not in new)
    shutil.rmtree(tmp_path / "three/stages/index" / gone)
    faults = verify(place)["faults"]
    assert faults
    assert all("which is missing" in fault for fault in faults)
    assert verify(Location.parse(destination))["faults"] == []
