"""A process that decodes for this one, with a limit of memory and time: for images that may take much.

One a process, started when the first such image comes, gone with the process that started it. It is a plain
child with two pipes, since workers of Dask may not have children of multiprocessing. What is asked and what
is answered is a line of JSON and bytes; nothing is unpickled.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.errors import ImageError, ImageLimitError
from congeal.imaging.decoding_cost import Limits, too_much_memory, too_much_time
from congeal.imaging.pipe_messages import received, send

Pixels = npt.NDArray[np.uint8]

# A library that waits for what never comes uses no processor: by the clock it has longer.
PATIENCE, GRACE = 5.0, 30.0  # times as long, and seconds more
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from congeal.imaging.decoding_server import serve; serve()"
)
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# The last two are what Pillow says where libtiff and zlib find none.
_NO_MEMORY = (
    "out of memory",
    "insufficient memory",
    "memoryerror",
    "not enough memory",
    "cannot allocate",
    "decoder error -9",
    "codec configuration error",
)


@dataclass(frozen=True)
class Asked:
    """What is to be made of a file: `act` is inspect, decode, squares or window.

    The rest are arguments of the functions of `congeal.imaging.decoding`; window: x, y, half, size.
    reduced: less of the file is decoded, where that can be.
    """

    act: str
    max_pixels: int
    min_side: int
    value_range: tuple[float, float] | None = None
    target: int | None = None
    sizes: tuple[int, ...] = ()
    window: tuple[float, float, float, int] | None = None
    reduced: bool = False


def ask(data: bytes, asked: Asked, limits: Limits) -> tuple[dict[str, Any], list[Pixels]]:
    """What the process answers: facts and pictures. Raises `ImageError`; one image is decoded at a time."""
    with _only.lock:
        return _only.started().ask(data, asked, limits)


class _Decoder:
    """The process and its pipes."""

    def __init__(self) -> None:
        self._late = False
        self._process = subprocess.Popen(  # noqa: S603 - this Python, this module
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, asked: Asked, limits: Limits) -> tuple[dict[str, Any], list[Pixels]]:
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        clock = threading.Timer(PATIENCE * limits.seconds + GRACE, self._stop)
        clock.start()
        try:
            send(self._process.stdin, {**asdict(asked), **asdict(limits)}, [data])
            facts, parts = received(self._process.stdout)
        except (OSError, EOFError):
            raise self._death(limits) from None
        finally:
            clock.cancel()
        if facts["error"] is not None:
            text = str(facts["error"])
            if any(words in text.lower() for words in _NO_MEMORY):
                raise too_much_memory(limits)
            raise (ImageLimitError if facts["limit"] else ImageError)(text)
        shapes = facts.pop("shapes")
        pictures = [
            np.frombuffer(part, np.uint8).reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        ]
        return facts, pictures

    def end(self) -> None:
        """End the process, and close the pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what it has not read is of no use any more
                    continue

    def _death(self, limits: Limits) -> ImageLimitError:
        code = self._process.wait()
        self.end()
        if self._late or code == -signal.SIGXCPU:
            return too_much_time(limits)
        if code == -signal.SIGKILL:
            return ImageLimitError("the process that decoded it was ended, for want of memory most likely")
        return ImageLimitError(f"the process that decoded it has died ({_named(code)})")

    def _stop(self) -> None:
        self._late = True
        self._process.kill()


class _Only:
    """The one decoder of this process; a process forked from it has none yet, and a free lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._decoder: _Decoder | None = None
        self._of_others: list[_Decoder] = []  # kept, since Popen looks after its child when it goes

    def started(self) -> _Decoder:
        if self._decoder is not None and not self._decoder.alive:
            self.end()
        if self._decoder is None:
            self._decoder = _Decoder()
        return self._decoder

    def end(self) -> None:
        if self._decoder is not None:
            self._decoder.end()
            self._decoder = None

    def forked(self) -> None:
        self.lock = threading.Lock()
        if self._decoder is not None:
            self._of_others.append(self._decoder)
            self._decoder = None


_only = _Only()
os.register_at_fork(after_in_child=_only.forked)
atexit.register(_only.end)


def _named(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"
    except ValueError:
        return f"signal {-code}"
