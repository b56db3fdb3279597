"""Iceberg tables of a destination, read by pyiceberg, which knows nothing of congeal."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.table import Table as PyIcebergTable

import congeal
from congeal.results.schema.tables import TABLES
from infra.iceberg.file_io import LocationFiles
from infra.iceberg.table_metadata import Table
from infra.ledger.publications import Publication, publish, published
from infra.storage.location import Location
from tasks.publication import current_iceberg_tables


class Grown(NamedTuple):
    home: Path
    facts: list[dict[str, Any]]

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def destination(self) -> Path:
        return self.home / "out"


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
