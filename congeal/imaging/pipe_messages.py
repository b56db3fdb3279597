"""What a process and the one that decodes for it say to each other: a line of JSON, and bytes."""

from __future__ import annotations

import json
from typing import IO, Any


def send(pipe: IO[bytes], facts: dict[str, Any], parts: list[bytes]) -> None:
    """Write facts that JSON knows, and parts, to a pipe. Raises OSError where nobody reads."""
    head = json.dumps({**facts, "lengths": [len(part) for part in parts]}).encode()
    pipe.write(len(head).to_bytes(8) + head)
    for part in parts:
        pipe.write(part)
    pipe.flush()


def received(pipe: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """What `send` wrote at the other end. Raises EOFError where it ends before all has come."""
    head = json.loads(_exactly(pipe, int.from_bytes(_exactly(pipe, 8))))
    return head, [_exactly(pipe, length) for length in head.pop("lengths")]


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data
