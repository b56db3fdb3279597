"""What tables of earlier schema versions had and meant: they are read with today's columns.

A column that they lack is null there. A column that meant something else keeps its old meaning, and its
description says so: values of two meanings are never mixed in one table.
"""

from __future__ import annotations

import pyarrow as pa

# By version: the columns that came with it, by table.
ADDED: dict[int, dict[str, tuple[str, ...]]] = {
    3: {"clusters": ("error", "deformation")},
    4: {"clusters": ("fixed_camera",)},
    5: {"clusters": ("name",), "images": ("excluded",)},
    6: {"clusters": ("match_agreement",)},
    7: {
        "alignments": ("instance_id",),
        "correspondences": ("instance_id",),
        "clusters": ("maps_from",),
    },
}
# By version: columns that mean something else since, by table and name, and what they meant before.
MEANT = {
    3: {
        ("images", "outlier"): (
            "true if the image has no cluster; schema version 2: images that do not fit their cluster's "
            "atlas are not among them, see alignments.outlier"
        ),
        ("clusters", "cycle_error"): (
            "median cycle error of the images; schema version 2: as in alignments, not of the maps"
        ),
        ("alignments", "cycle_error"): (
            "schema version 2: from the atlas to the image and back by free matching of features, atlas "
            "units; it does not look at the published maps, and is not to be compared with later versions'"
        ),
    }
}


def lacking(table: str, version: int) -> frozenset[str]:
    """The columns of today that a table of a version does not have."""
    return frozenset(
        name for since, tables in ADDED.items() if since > version for name in tables.get(table, ())
    )


def as_of(schema: pa.Schema, version: int) -> pa.Schema:
    """Today's schema of a table, its metadata and descriptions those of a version."""
    table = schema.metadata[b"congeal.table"].decode()
    # The earliest change after the version says what held in it.
    meant: dict[str, str] = {}
    for since in sorted(MEANT, reverse=True):
        if since > version:
            meant |= {name: text for (of, name), text in MEANT[since].items() if of == table}
    fields = [
        field.with_metadata({"description": meant[field.name]}) if field.name in meant else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata | {b"congeal.schema_version": str(version).encode()})
