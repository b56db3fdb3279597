"""Objects of a listing: what is known of one, and many of them as tables."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from infra.storage.location import ObjectInfo

if TYPE_CHECKING:
    import pyarrow as pa


class ListingEntry(NamedTuple):
    """One object of the source whose name ends like an image's. `fault`: why it cannot be read at all."""

    path: str
    bytes: int
    token: str
    etag: str | None
    fault: str | None


def table_of(entries: list[ListingEntry]) -> pa.Table:
    """A row an object, with the names of `ListingEntry`."""
    import pyarrow as pa

    kinds = {"path": pa.string(), "bytes": pa.int64()}
    columns = zip(ListingEntry._fields, zip(*entries, strict=True), strict=True)
    return pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns})


def others_table(others: list[tuple[str, str | None]]) -> pa.Table:
    """Paths of what is no image by its name, and why, as far as a name says it."""
    import pyarrow as pa

    paths, reasons = zip(*others, strict=True)
    return pa.table({"path": pa.array(paths, pa.string()), "reason": pa.array(reasons, pa.string())})


def entry_of(item: ObjectInfo, lead: str = "") -> ListingEntry:
    """An object as a listing has it. lead: what its path begins with in the source."""
    # Names that are no UTF-8 are listed with escapes, and nothing is read by a name with a backslash.
    fault = "its name holds a backslash or is not valid UTF-8: rename it" if "\\" in item.path else None
    return ListingEntry(lead + item.path, item.bytes, item.token, item.etag, fault)


def name_of(path: str) -> str:
    """The last part of a path, as `PurePosixPath.name` says it, in a fifth of the time: a source may have
    millions."""
    while path.endswith(("/", "/.")):
        path = path.rstrip("/").removesuffix("/.")
    name = path.rpartition("/")[2]
    return "" if name == "." else name


def ending_of(path: str) -> str:
    """What a file's name ends with from its last dot on, in lower case; empty for none, as of ".hidden"."""
    name = name_of(path)
    at = name.rfind(".")
    return name[at:].lower() if 0 < at < len(name) - 1 else ""


def number_of(text: str, size: int) -> int:
    """A number of so many bytes by which a text is known."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")
