"""Checkouts that are timed by turns, call by call, so that what else the machine does slows all of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple


class Build:
    """A process of a checkout, by the Python of its `.venv` if it has one, that repeats a call on demand.

    When the process is ready it writes a line of JSON, an object, with the place of its package at "file".
    Then, for every line that it reads, it makes the call and writes its seconds: [wall clock, CPU].

    Attributes:
        ready: what the first line says.
        wall, cpu: seconds of each turn.
    """

    def __init__(self, tree: Path, arguments: Sequence[str], threads: int) -> None:
        self._tree = tree.resolve()
        python = self._tree / ".venv" / "bin" / "python"
        environment = os.environ | {"PYTHONPATH": str(self._tree), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [str(python if python.exists() else sys.executable), *arguments],
            cwd=self._tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.ready: dict[str, Any] = self._answer()
        if not Path(self.ready["file"]).resolve().is_relative_to(self._tree):
            raise SystemExit(f"{self._tree} was asked for, and {self.ready['file']} answers.")

    def __enter__(self) -> Build:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # its input ends, and so does the process

    def turn(self) -> None:
        """One call more."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        wall, cpu = self._answer()
        self.wall.append(wall)
        self.cpu.append(cpu)

    @property
    def medians(self) -> tuple[float, float]:
        """Wall-clock and CPU seconds of a call; where there were no turns, of the first, as "first" says."""
        if not self.wall:
            wall, cpu = self.ready["first"]
            return wall, cpu
        return statistics.median(self.wall), statistics.median(self.cpu)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The process of {self._tree} ended: see its error above.")
        return json.loads(line)


class Beside(NamedTuple):
    """Medians of a build, in seconds, and how many times as fast it is as the first of them."""

    wall: float
    faster: float
    cpu: float
    cpu_faster: float


def beside_first(builds: Sequence[Build]) -> Iterator[Beside]:
    """What each has come to."""
    wall, cpu = builds[0].medians
    for build in builds:
        own, own_cpu = build.medians
        yield Beside(own, wall / own, own_cpu, cpu / own_cpu)


def take_turns(builds: Sequence[Build], rounds: int) -> None:
    """So many calls of each, one after the other."""
    for _ in range(rounds):
        for build in builds:
            build.turn()
