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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from congeal.errors import ImageError, ImageLimitError
from congeal.imaging.decoding_cost import Limits, too_much_memory, too_much_time

Pixels = npt.NDArray[np.uint8]

# A library that waits for what never comes uses no processor: by the clock it has longer.
PATIENCE, GRACE = 5.0, 30.0  # times as long, and seconds more
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from congeal.imaging.decoding_process import serve; serve()"
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
            _send(self._process.stdin, {**asdict(asked), **asdict(limits)}, [data])
            facts, parts = _received(self._process.stdout)
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


def _send(pipe: IO[bytes], facts: dict[str, Any], parts: list[bytes]) -> None:
    head = json.dumps({**facts, "lengths": [len(part) for part in parts]}).encode()
    pipe.write(len(head).to_bytes(8) + head)
    for part in parts:
        pipe.write(part)
    pipe.flush()


def _received(pipe: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    head = json.loads(_exactly(pipe, int.from_bytes(_exactly(pipe, 8))))
    return head, [_exactly(pipe, length) for length in head.pop("lengths")]


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def serve() -> None:
    """Decode what comes in, until nothing more comes."""
    pipe_in = os.fdopen(os.dup(0), "rb")
    pipe_out = os.fdopen(os.dup(1), "wb")
    # What a library prints is no answer.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    from congeal.imaging import decoding  # noqa: F401 - before memory is limited

    here = _virtual_memory()
    while True:
        try:
            asked, (data,) = _received(pipe_in)
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
        _send(pipe_out, answer, parts)
        del data, parts


def _made(data: bytes, asked: Asked) -> tuple[list[Any] | None, list[Pixels]]:
    from congeal.imaging import decoding

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
    import resource

    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = int(spent.ru_utime + spent.ru_stime + seconds) + 1
    _, hardest = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hardest))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
