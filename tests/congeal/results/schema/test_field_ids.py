from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from congeal.results.schema.field_ids import COLUMNS, field_id
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import TABLES


def test_every_column_of_every_table_has_a_number_of_its_own() -> None:
    for name, schema in TABLES.items():
        assert set(schema.names) <= set(COLUMNS[name])
        assert len(set(COLUMNS[name])) == len(COLUMNS[name])
        stored = pq.read_schema(pa.BufferReader(encode_table(schema.empty_table(), schema)))
        numbers = {field.name: int(field.metadata[b"PARQUET:field_id"]) for field in stored}
        assert numbers == {column: field_id(name, column) for column in schema.names}


def test_numbers_that_were_given_stay() -> None:
    """As files and Iceberg tables out there have them."""
    assert (field_id("images", "image_id"), field_id("images", "features_row")) == (1, 13)
    assert (field_id("clusters", "cluster_id"), field_id("clusters", "atlas_unit")) == (1, 17)
    assert (field_id("alignments", "outlier_reason"), field_id("correspondences", "visible")) == (14, 9)


def test_a_column_without_a_number_is_named() -> None:
    with pytest.raises(ValueError, match="add the column colour of images"):
        field_id("images", "colour")
