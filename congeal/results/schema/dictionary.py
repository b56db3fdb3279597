"""The data dictionary: what the tables, columns and arrays mean, for readers of the files without Congeal.

`dictionary` and `dictionary_text` are what a destination holds; their bytes change with SCHEMA_VERSION only.
The arrays, which say themselves what they are, are described by `arrays_text`, for the documentation.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from congeal.results.schema.atlas_arrays import ATLAS_GROUP, FIRST_LOOK_GROUP, INSTANCES_GROUP
from congeal.results.schema.feature_arrays import FEATURE_GROUP, POSITION_GROUP, TARGET_GROUP
from congeal.results.schema.tables import COORDINATES, SCHEMA_VERSION, TABLES

GROUPS = (ATLAS_GROUP, INSTANCES_GROUP, FIRST_LOOK_GROUP, FEATURE_GROUP, POSITION_GROUP, TARGET_GROUP)
# Which column of which table names a row of another: how the tables are joined.
REFERENCES = (
    ("images", "cluster_id", "clusters", "cluster_id"),
    ("clusters", "medoid_image_id", "images", "image_id"),
    ("alignments", "image_id", "images", "image_id"),
    ("alignments", "cluster_id", "clusters", "cluster_id"),
    ("correspondences", "image_id", "images", "image_id"),
    ("correspondences", "cluster_id", "clusters", "cluster_id"),
)


def dictionary(own: Iterable[pa.Field] = ()) -> dict[str, Any]:
    """Every table and column as plain values: {"schema_version", "coordinates", "tables", "references"}.

    own: the columns of the collection's owner, in the table images.
    """
    described = {name: _described(schema) for name, schema in TABLES.items()}
    described["images"]["columns"] += [_column(field) for field in own]
    return {
        "schema_version": SCHEMA_VERSION,
        "coordinates": COORDINATES,
        "tables": described,
        "references": [f"{here}.{column} -> {there}.{key}" for here, column, there, key in REFERENCES],
    }


def dictionary_text(own: Iterable[pa.Field] = ()) -> str:
    """The same in Markdown, to be laid beside the data; the same text every time."""
    facts = dictionary(own)
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
            f"| {_cell(column['name'])} | {column['type']} | {column['description']} |"
            for column in table["columns"]
        ]
    lines += ["", "## References", *(f"- {reference}" for reference in facts["references"])]
    return "\n".join(lines) + "\n"


def arrays_text() -> str:
    """Every Zarr group, its arrays and its attributes, in Markdown: the page docs/arrays.md."""
    lines = [
        "# Arrays",
        "The Zarr groups of a destination, from `congeal.results.schema`. The first dimension of an array of "
        "images has the order of the attribute `image_ids`. Where units and axes are attributes of an array, "
        "they say what is said here. [operations.md](operations.md) says where the groups are.",
    ]
    for group in GROUPS:
        lines += ["", f"## `{group.name}`", group.about, ""]
        lines += ["| array | type | dimensions | units | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| `{array.path}` | {array.dtype} | {', '.join(array.dims)} | {array.units} | {array.about}"
            f"{' (not in every group)' if array.optional else ''} |"
            for array in group.arrays
        ]
        lines += ["", "| attribute | meaning |", "| --- | --- |"]
        lines += [f"| `{name}` | {about} |" for name, about in group.attributes.items()]
    return "\n".join(lines) + "\n"


def _described(schema: pa.Schema) -> dict[str, Any]:
    return {
        "description": schema.metadata[b"congeal.description"].decode(),
        "sorted_by": schema.metadata[b"congeal.sorted_by"].decode().split(", "),
        "columns": [_column(field) for field in schema],
    }


def _column(field: pa.Field) -> dict[str, str]:
    return {
        "name": field.name,
        "type": _type(field.type),
        "description": field.metadata[b"description"].decode(),
    }


def _cell(text: str) -> str:
    """Text in a table of Markdown; names of columns may be somebody else's."""
    return html.escape(text, quote=False).replace("|", "\\|")


def _type(kind: pa.DataType) -> str:
    # How a category is encoded is of no concern to a reader.
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)
