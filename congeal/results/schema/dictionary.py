"""The data dictionary: what the tables and columns mean, for whoever meets the files without congeal."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from congeal.results.schema.tables import COORDINATES, SCHEMA_VERSION, TABLES

# Which column of which table names a row of another: how the tables are joined.
REFERENCES = (
    ("images", "cluster_id", "clusters", "cluster_id"),
    ("clusters", "medoid_image_id", "images", "image_id"),
    ("alignments", "image_id", "images", "image_id"),
    ("alignments", "cluster_id", "clusters", "cluster_id"),
    ("correspondences", "image_id", "images", "image_id"),
    ("correspondences", "cluster_id", "clusters", "cluster_id"),
)


def dictionary() -> dict[str, Any]:
    """Every table and column as plain values: {"schema_version", "coordinates", "tables", "references"}."""
    return {
        "schema_version": SCHEMA_VERSION,
        "coordinates": COORDINATES,
        "tables": {name: _described(schema) for name, schema in TABLES.items()},
        "references": [f"{here}.{column} -> {there}.{key}" for here, column, there, key in REFERENCES],
    }


def dictionary_text() -> str:
    """The same in Markdown, to be laid beside the data; the same text every time."""
    facts = dictionary()
    lines = [
        "# Data dictionary",
        f"Parquet tables, schema version {facts['schema_version']}. Every file holds the description of its "
        "table and columns in its own metadata, too. Several files of one name in different folders are "
        "parts of one table; which of them make up the current version stands in `published/tables.json`.",
        "",
        f"Coordinates. {facts['coordinates']}",
    ]
    for name, table in facts["tables"].items():
        lines += ["", f"## {name}", table["description"] + f" Sorted by {', '.join(table['sorted_by'])}.", ""]
        lines += ["| column | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| {column['name']} | {column['type']} | {column['description']} |"
            for column in table["columns"]
        ]
    lines += ["", "## References", *(f"- {reference}" for reference in facts["references"])]
    return "\n".join(lines) + "\n"


def _described(schema: pa.Schema) -> dict[str, Any]:
    return {
        "description": schema.metadata[b"congeal.description"].decode(),
        "sorted_by": schema.metadata[b"congeal.sorted_by"].decode().split(", "),
        "columns": [
            {
                "name": field.name,
                "type": _type(field.type),
                "description": field.metadata[b"description"].decode(),
            }
            for field in schema
        ],
    }


def _type(kind: pa.DataType) -> str:
    # How a category is encoded is of no concern to a reader.
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)
