"""The tables as Iceberg tables: read by path alone, by pyiceberg, which knows nothing of congeal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from known_index import known_index
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table import StaticTable
from pyiceberg.table import Table as PyIcebergTable
from sample_runs import folder, photographs, run, tiny, units

import congeal
from congeal.results.schema.tables import TABLES
from infra.iceberg.file_io import LocationFiles
from infra.iceberg.table_metadata import Table, TableVersion
from infra.ledger.publications import Publication, publish, published, versions
from infra.settings import StorageSettings
from infra.storage.location import Location
from infra.storage.read_only_files import Sized
from tasks.maintenance.prune import prune
from tasks.maintenance.verify import verify
from tasks.publication import current_iceberg_tables

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pyiceberg")


class Grown(NamedTuple):
    home: Path
    facts: list[dict[str, Any]]

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def destination(self) -> Path:
        return self.home / "out"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Grown:
    """Two versions: an image came. To be read only."""
    home = tmp_path_factory.mktemp("iceberg")
    source = folder(home / "source", photographs(2))
    facts = [run(source, home / "out", tiny(weights))]
    folder(source, {"c/new.png": photographs(3)["a/2.png"]})
    facts.append(run(source, home / "out", tiny(weights)))
    return Grown(home, facts)


def through(place: Location, name: str, number: int) -> PyIcebergTable:
    """A table of any store, its bytes read through the storage seam."""
    table = Table(place, f"tables/{name}")
    metadata = table.metadata(number)
    assert metadata is not None
    return PyIcebergTable(
        ("tables", name),
        metadata,
        table.described(number).url,
        LocationFiles(place),
        NoopCatalog("none"),
    )


def same(found: pa.Table, expected: pa.Table) -> None:
    """The same columns, values and nulls, in any order of the rows."""
    assert found.column_names == expected.column_names
    plain = pa.schema(
        (field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
        for field in expected.schema
    )
    order = [(name, "ascending") for name in found.column_names]
    assert found.cast(plain).sort_by(order).equals(expected.cast(plain).sort_by(order))


def faults_of(place: Location) -> list[str]:
    current = published(place)
    assert current is not None
    return list(current_iceberg_tables.faults(place, current, current=True))


def tables_of(place: Any, version: str | None = None, **storage: Any) -> dict[str, pa.Table]:
    tables = congeal.open(str(place), version=version, **storage).tables
    return {name: getattr(tables, name).to_table() for name in TABLES}


def test_every_version_is_found_by_path_alone(grown: Grown) -> None:
    """As Spark, DuckDB and pyiceberg find it: the folder, the hint in it, the metadata that it names."""
    for name in TABLES:
        table = StaticTable.from_metadata(f"file://{grown.destination}/tables/{name}")
        assert table.scan().to_arrow().num_rows > 0
        for version in ("1", "2"):
            expected = tables_of(grown.destination, version)[name]
            same(table.scan(snapshot_id=int(version)).to_arrow(), expected)
        same(table.scan().to_arrow(), tables_of(grown.destination)[name])
        assert [one.snapshot_id for one in table.snapshots()] == [1, 2]
        summary = table.current_snapshot().summary  # type: ignore[union-attr]
        assert summary["congeal.version"] == "2"  # type: ignore[index]


def test_a_reader_of_other_columns_and_rows(grown: Grown) -> None:
    table = StaticTable.from_metadata(f"file://{grown.destination}/tables/images")
    found = table.scan("status == 'ok'", selected_fields=("uri",)).to_arrow()
    assert sorted(found["uri"].to_pylist()) == ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "c/new.png"]
    assert table.scan("uri == 'c/new.png'", snapshot_id=1).to_arrow().num_rows == 0


def test_columns_say_what_they_mean_and_no_engine_may_clean_up(grown: Grown) -> None:
    for name, schema in TABLES.items():
        table = StaticTable.from_metadata(f"file://{grown.destination}/tables/{name}")
        docs = {field.name: field.doc for field in table.schema().fields}
        assert docs == {field.name: field.metadata[b"description"].decode() for field in schema}
        assert table.properties["gc.enabled"] == "false"
        assert "centre of the top-left pixel" in table.properties["congeal.coordinates"]


def test_the_numbers_of_all_tables_agree_with_the_one_pointer(grown: Grown) -> None:
    current = json.loads((grown.destination / "published/current.json").read_bytes())["version"]
    number = int(current.partition("-")[0])
    for name in TABLES:
        folder_ = grown.destination / "tables" / name / "metadata"
        assert (folder_ / "version-hint.text").read_text() == str(number)
        found = json.loads((folder_ / f"v{number}.metadata.json").read_bytes())
        assert found["snapshots"][-1]["summary"]["congeal.publication"] + ".json" == current


def test_nothing_is_copied(grown: Grown) -> None:
    there = {path.suffix for path in (grown.destination / "tables").rglob("*") if path.is_file()}
    assert there == {".json", ".avro", ".text"}


def republished(place: Location, units_: list[str], created: str) -> Publication:
    """Publish a version of these units of the index, as a run does."""
    before = published(place)
    assert before is not None
    publication = before.model_copy(update={"units": {"index": units_}, "created": created})
    faults: list[str | None] = []
    publish(
        place, publication, lambda one, name: faults.append(current_iceberg_tables.write(place, one, name))
    )
    then = published(place)
    assert then is not None
    assert faults == [None]
    assert current_iceberg_tables.point(place, then.number) is None
    return then


def test_in_every_store(location: Location) -> None:
    first = known_index(location)
    assert current_iceberg_tables.refresh(location, published(location) or first) is None
    second = republished(
        location, [first.units["index"][0], first.units["index"][2]], "2026-01-02T00:00:00+00:00"
    )
    third = republished(location, first.units["index"], "2026-01-01T12:00:00+00:00")
    assert (second.number, third.number) == (2, 3)
    counts = [
        {name: through(location, name, 3).scan(snapshot_id=number).to_arrow().num_rows for name in TABLES}
        for number in (1, 2, 3)
    ]
    assert counts[0] == counts[2]
    assert [count["clusters"] for count in counts] == [2, 1, 2]
    assert counts[0]["correspondences"] == 2 * counts[1]["correspondences"]
    log = through(location, "clusters", 3).metadata.snapshot_log
    assert [one.snapshot_id for one in log] == [1, 2, 3]
    # Times go up although the third version was made on a machine whose clock was behind.
    assert sorted(one.timestamp_ms for one in log) == [one.timestamp_ms for one in log]
    assert faults_of(location) == []
    facts = prune(location, keep=2, older_than=0)
    assert facts["iceberg_files"] == 4 * 3  # metadata, list and manifest of one version of four tables
    left = {item.path for item in (location / "tables").objects()}
    assert not any("v1.metadata.json" in path or "00001-" in path for path in left)
    assert [one.snapshot_id for one in through(location, "images", 3).snapshots()] == [2, 3]
    assert through(location, "images", 2).scan().to_arrow().num_rows == counts[1]["images"]
    assert faults_of(location) == []
    assert prune(location, keep=2, older_than=0)["iceberg_files"] == 0


def test_a_version_says_what_came_stayed_and_went(memory_location: Location) -> None:
    first = known_index(memory_location)
    one, other, images = first.units["index"]
    current_iceberg_tables.refresh(memory_location, published(memory_location) or first)
    republished(memory_location, [one, images], "2026-01-02T00:00:00+00:00")
    table = through(memory_location, "clusters", 2)
    (manifest,) = table.current_snapshot().manifests(table.io)  # type: ignore[union-attr]
    entries = manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    found = {entry.data_file.file_path.split("/")[-3]: entry for entry in entries}
    assert found[one.rpartition("/")[2]].status == ManifestEntryStatus.EXISTING
    assert found[one.rpartition("/")[2]].snapshot_id == 1
    assert found[other.rpartition("/")[2]].status == ManifestEntryStatus.DELETED
    assert manifest.existing_rows_count == manifest.deleted_rows_count == 1


def test_a_column_keeps_its_id_as_others_come_and_go(tmp_path: Path) -> None:
    place = Location.parse(tmp_path)
    table = Table(place, "tables/t")
    for number, columns in enumerate((["a", "b"], ["a", "c", "b"], ["c"]), 1):
        data = pa.table({name: [number, None] for name in columns})
        (tmp_path / f"{number}.parquet").parent.mkdir(exist_ok=True)
        pq.write_table(data, tmp_path / f"{number}.parquet")
        file = Sized(place / f"{number}.parquet", (tmp_path / f"{number}.parquet").stat().st_size)
        table.write(TableVersion(number, f"{number:05d}-x", number, [file], data.schema), range(1, number))
    metadata = table.metadata(3)
    assert metadata is not None
    ids = [{field.name: field.field_id for field in schema.fields} for schema in metadata.schemas]
    assert ids == [{"a": 1, "b": 2}, {"a": 1, "c": 3, "b": 2}, {"c": 3}]
    opened = StaticTable.from_metadata(table.described(3).url)
    assert opened.scan(snapshot_id=2).to_arrow().column_names == ["a", "c", "b"]
    assert opened.scan().to_arrow().to_pydict() == {"c": [3, None]}


def test_a_table_without_rows(tmp_path: Path) -> None:
    place = Location.parse(tmp_path)
    table = Table(place, "tables/images")
    table.write(TableVersion(1, "00001-x", 1, [], TABLES["images"]), [])
    opened = StaticTable.from_metadata(table.described(1).url)
    found = opened.scan().to_arrow()
    assert found.num_rows == 0
    assert found.column_names == TABLES["images"].names
    assert list(table.faults(1, [])) == []


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
    tests = str(Path(__file__).parents[2])
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


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Location]:
    place = Location.parse(tmp_path / "known")
    first = known_index(place)
    current_iceberg_tables.refresh(place, published(place) or first)
    return place


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


def test_prune_leaves_what_is_not_congeals(known: Location) -> None:
    first = published(known)
    assert first is not None
    republished(known, first.units["index"][:1], "2026-01-02T00:00:00+00:00")
    mine = ["tables/notes.txt", "tables/images/metadata/mine.avro", "tables/mine/metadata/v1.metadata.json"]
    for path in mine:
        (known / path).write_bytes(b"mine")
    dry = prune(known, older_than=0, dry_run=True)
    assert prune(known, older_than=0) == {**dry, "dry_run": False}
    assert all((known / path).exists() for path in mine)
    assert (known / "tables/images/metadata/v1.metadata.json").exists() is False
    assert through(known, "images", 2).scan().to_arrow().num_rows == 0


@pytest.mark.s3
def test_on_s3_by_an_engine_of_its_own(
    s3_location: Location, s3_settings: StorageSettings, s3_endpoint: str
) -> None:
    """pyiceberg's own S3 client, given the folder and nothing else."""
    first = known_index(s3_location)
    current_iceberg_tables.refresh(s3_location, published(s3_location) or first)
    properties = {
        "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
        "s3.endpoint": s3_endpoint,
        "s3.access-key-id": "testing",
        "s3.secret-access-key": "testing",
        "s3.region": "us-east-1",
    }
    table = StaticTable.from_metadata(f"{s3_location.url}/tables/correspondences", properties)
    expected = tables_of(s3_location.url, endpoint_url=s3_endpoint)["correspondences"]
    same(table.scan().to_arrow(), expected)


def test_pandas_gets_the_same_rows(grown: Grown) -> None:
    table = StaticTable.from_metadata(f"file://{grown.destination}/tables/clusters")
    found = table.scan().to_pandas()
    opened = congeal.open(grown.destination).clusters
    pd.testing.assert_series_equal(found["cluster_id"], opened["cluster_id"])


def test_units_are_untouched(grown: Grown) -> None:
    assert not [unit for unit in units(grown.destination) if (unit / "tables").exists()]
