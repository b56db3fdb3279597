"""Rows that travel with a unit, packed: the driver holds those of all units of a stage in memory at once."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any


def pack_rows(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows of JSON values as bytes; a row of ids, names and sizes takes 30 to 90 of them."""
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode("ascii"), level=1)


def unpack_rows(data: bytes) -> list[list[Any]]:
    """The rows that were packed, in their order."""
    rows: list[list[Any]] = json.loads(zlib.decompress(data))
    return rows
