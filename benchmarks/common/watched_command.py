"""A command, watched from its start to its end: seconds, processor, memory of all its processes.

`watched` starts this file in a process of its own, which takes in what the command leaves behind
(PR_SET_CHILD_SUBREAPER): no process is missed because its parent has gone, and the seconds of the processor
that the system counts are those of all. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

EVERY = 0.1  # seconds between two looks at memory
PSS_EVERY = 5  # looks between two at the proportional set size, which costs more
REAPER = 36  # PR_SET_CHILD_SUBREAPER
PATIENCE = 60  # seconds that what the command leaves behind may take to end
CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")


@dataclass
class Watched:
    """What a command took.

    Attributes:
        seconds: from the start to the exit of the command itself.
        first: until the first line that is not blank, None if none came; on stderr, or on the terminal.
        said: that line.
        ended: until the last of its processes had gone.
        processor: seconds, user and system, of all processes.
        rss, pss: peaks of the sums over all processes, bytes.
        processes: the most at one time.
    """

    seconds: float
    first: float | None
    said: str
    ended: float
    processor: float
    rss: int
    pss: int
    processes: int


def watched(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, terminal: bool = False
) -> Watched:
    """Run a command in ``folder`` with no other environment than the one given.

    terminal: with a pseudo-terminal for its output instead of pipes. Raises SystemExit, with what the command
    wrote, if it fails.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".json") as told:
        job = {"command": list(command), "environment": dict(environment), "terminal": terminal}
        watcher = [sys.executable, __file__, told.name, json.dumps(job | {"folder": str(folder)})]
        done = subprocess.run(watcher, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return Watched(**json.load(told))


class _Reading:
    """What comes from the command, as it comes."""

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.text = ""
        self.first: float | None = None
        self.said = ""

    def take(self, data: bytes) -> None:
        self.text += data.decode(errors="replace")
        if self.first is None:
            seen = [line.strip() for line in CONTROL.sub("", self.text).splitlines() if line.strip()]
            if seen:
                self.first, self.said = time.perf_counter() - self.begin, seen[0]


class _Memory:
    """The peaks over all processes below this one."""

    def __init__(self) -> None:
        self.own = psutil.Process()
        self.rss = self.pss = self.processes = self.looks = 0

    def look(self) -> None:
        below = self.own.children(recursive=True)
        self.processes = max(self.processes, len(below))
        self.rss = max(self.rss, sum(_rss(one) for one in below))
        if self.looks % PSS_EVERY == 0:
            self.pss = max(self.pss, sum(_pss(one) for one in below))
        self.looks += 1


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _pss(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def watch(command: list[str], environment: dict[str, str], folder: str, terminal: bool) -> Watched:
    """The command, in this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(REAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
    begin = time.perf_counter()
    if terminal:
        mine, theirs = pty.openpty()
        child = subprocess.Popen(command, env=environment, cwd=folder, stdout=theirs, stderr=theirs)
        os.close(theirs)
        watched_pipe, pipes = mine, [mine]
    else:
        child = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stderr is not None
        watched_pipe, pipes = child.stderr.fileno(), [child.stdout.fileno(), child.stderr.fileno()]
    said = {pipe: _Reading(begin) for pipe in pipes}
    memory, seconds = _Memory(), None
    looked = begin
    while seconds is None:
        ready, _, _ = select.select(pipes, [], [], 0.005 if pipes else 0)
        _drain(ready, pipes, said)
        if child.poll() is not None:
            seconds = time.perf_counter() - begin
        if time.perf_counter() - looked >= EVERY:
            memory.look()
            looked = time.perf_counter()
        if not pipes:
            time.sleep(0.005)
    while select.select(pipes, [], [], 0)[0]:
        _drain(pipes, pipes, said)
    ended = _reap(begin)
    if child.returncode:
        raise SystemExit("".join(reading.text for reading in said.values()))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = said[watched_pipe]
    return Watched(
        seconds=seconds,
        first=told.first,
        said=told.said,
        ended=ended,
        processor=used.ru_utime + used.ru_stime,
        rss=memory.rss,
        pss=memory.pss,
        processes=memory.processes,
    )


def _drain(ready: list[int], pipes: list[int], said: dict[int, _Reading]) -> None:
    for pipe in list(ready):
        try:
            data = os.read(pipe, 65536)
        except OSError:  # a terminal whose other side has been closed
            data = b""
        if data:
            said[pipe].take(data)
        else:
            pipes.remove(pipe)


def _reap(begin: float) -> float:
    """Wait for all that the command has left behind; the seconds until it had gone."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return time.perf_counter() - begin
    left = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
    raise SystemExit(f"Still there {PATIENCE} s after the command: {'; '.join(left)}")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asdict(watch(**json.loads(sys.argv[2])))))
