"""The tables as Iceberg tables: read by path alone, by pyiceberg, which knows nothing of congeal."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from iceberg_readers import Grown, same, tables_of
from known_index import known_index
from pyiceberg.table import StaticTable
from sample_runs import units

import congeal
from congeal.results.schema.tables import TABLES
from infra.ledger.publications import published
from infra.settings import StorageSettings
from infra.storage.location import Location
from tasks.publication import current_iceberg_tables

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pyiceberg")


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
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        assert snapshot.summary["congeal.version"] == "2"


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
