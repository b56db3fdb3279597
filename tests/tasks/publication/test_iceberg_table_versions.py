"""Iceberg tables as versions come and go: what each says of the one before it, what pruning takes away."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from iceberg_readers import faults_of, republished, through
from known_index import known_index
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table import StaticTable

from congeal.results.schema.tables import TABLES
from infra.iceberg.table_metadata import Table, TableVersion
from infra.ledger.publications import published
from infra.storage.location import Location
from infra.storage.read_only_files import Sized
from tasks.maintenance.prune import prune
from tasks.publication import current_iceberg_tables

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pyiceberg")


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
    snapshot = table.current_snapshot()
    assert snapshot is not None
    (manifest,) = snapshot.manifests(table.io)
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
