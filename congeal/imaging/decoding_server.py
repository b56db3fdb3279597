"""What the process does that `congeal.imaging.decoding_process` starts and asks."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

from congeal.errors import ImageError, ImageLimitError
from congeal.imaging import decoding
from congeal.imaging.decoding_cost import Limits
from congeal.imaging.decoding_process import Asked, Pixels
from congeal.imaging.pipe_messages import received, send


def serve() -> None:
    """Decode what comes in, until nothing more comes."""
    pipe_in = os.fdopen(os.dup(0), "rb")
    pipe_out = os.fdopen(os.dup(1), "wb")
    # What a library prints is no answer.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    here = _virtual_memory()
    while True:
        try:
            asked, (data,) = received(pipe_in)
        except EOFError:
            return
        limits = Limits(asked.pop("memory"), asked.pop("seconds"))
        _limit(here + len(data) + limits.memory, limits.seconds)
        try:
            info, pictures = _made(data, Asked(**asked))
        except ImageError as error:
            limit = isinstance(error, ImageLimitError)
            answer: dict[str, Any] = {"error": error.reason, "limit": limit}
            parts: list[bytes] = []
        except MemoryError:
            answer, parts = {"error": "out of memory", "limit": True}, []
        else:
            answer = {"error": None, "info": info, "shapes": [picture.shape for picture in pictures]}
            parts = [picture.tobytes() for picture in pictures]
        send(pipe_out, answer, parts)
        del data, parts


def _made(data: bytes, asked: Asked) -> tuple[list[Any] | None, list[Pixels]]:
    limits, less = (asked.max_pixels, asked.min_side), asked.reduced
    if asked.act == "inspect":
        info = decoding.inspect(data, *limits, limits=None, reduced=less)
        return [info.width, info.height, info.format, info.mode, info.depth], []
    span = None if asked.value_range is None else (asked.value_range[0], asked.value_range[1])
    if asked.act == "decode":
        return None, [decoding.decode(data, *limits, asked.target, span, limits=None, reduced=less)]
    if asked.act == "squares":
        return None, list(decoding.squares(data, asked.sizes, *limits, span, limits=None, reduced=less))
    assert asked.window is not None  # noqa: S101 - a window
    x, y, half, size = asked.window
    return None, [decoding.decode_window(data, (x, y), half, size, *limits, span, limits=None, reduced=less)]


def _virtual_memory() -> int:
    """Bytes of address space that this process has; 0 where that is not told."""
    for line in _status():
        if line.startswith("VmSize:"):
            return int(line.split()[1]) * 1024
    return 0


def _status() -> Iterator[str]:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            yield from file
    except OSError:
        return


def _limit(memory: int, seconds: float) -> None:
    """Limit this process's address space, and the processor time from now on."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = int(spent.ru_utime + spent.ru_stime + seconds) + 1
    _, hardest = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hardest))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
