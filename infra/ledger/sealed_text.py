"""Small JSON records that carry a checksum of themselves, in their first line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

_FIRST = re.compile(rb'\{\n "checksum": "([0-9a-f]{64})",\n')


def sealed_text(content: Mapping[str, Any]) -> bytes:
    """``content`` (at least one key) as JSON, sorted by key, with the SHA-256 of all that follows it."""
    text = json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"
    rest = text.removeprefix(b"{\n")
    return b'{\n "checksum": "%s",\n%s' % (hashlib.sha256(rest).hexdigest().encode(), rest)


def opened_text(data: bytes) -> tuple[bytes, bool]:
    """The JSON without its checksum, and whether it had one. Raises ValueError if that does not fit."""
    first = _FIRST.match(data)
    if first is None:
        return data, False
    rest = data[first.end() :]
    if hashlib.sha256(rest).hexdigest().encode() != first[1]:
        raise ValueError("the checksum differs")
    return b"{\n" + rest, True
