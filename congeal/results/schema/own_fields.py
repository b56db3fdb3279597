"""Columns of the table images that are the collection's owner's: after all others, marked as such."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from congeal.results.schema.tables import IMAGES

OWN_PREFIX = "own_"  # in front of a name that is also one of congeal's
OWN = b"congeal.own"
DESCRIPTION = "the collection's own: as its list or table has it"
FIRST_ID = 1_000  # numbers of columns below are congeal's
IDS = 2**24
KINDS = (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"))


def own_field(name: str, kind: pa.DataType) -> pa.Field:
    """A column of the owner's. Its number, by which engines follow it, is that of its name and type."""
    number = (
        FIRST_ID + int.from_bytes(hashlib.blake2b(f"{name}\0{kind}".encode(), digest_size=8).digest()) % IDS
    )
    about = {b"description": DESCRIPTION.encode(), OWN: b"1", b"PARQUET:field_id": str(number).encode()}
    return pa.field(name, kind, metadata=about)


def kind_of(text: str) -> pa.DataType:
    """The type of a column from its name, as "int64"; ValueError for one that such columns do not have."""
    try:
        return next(kind for kind in KINDS if str(kind) == text)
    except StopIteration:
        raise ValueError(f"{text} is no type of such a column") from None


def own_fields(schema: pa.Schema) -> list[pa.Field]:
    """The owner's columns of a schema, in order; of no other type than such columns have."""
    return [field for field in schema if OWN in (field.metadata or {}) and field.type in KINDS]


def with_own(schema: pa.Schema, fields: Iterable[pa.Field]) -> pa.Schema:
    """A schema with the owner's columns after its own."""
    return pa.schema([*schema, *fields], schema.metadata)


def taken(name: str) -> bool:
    """True for a name that a column of images has, upper case or lower."""
    return name.lower() in {column.lower() for column in IMAGES.names}
