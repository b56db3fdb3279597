"""What every stage does: plan (what is missing?), map over units on the engine, commit.

A unit names its inputs (locations, ids, settings); it never carries an array. What is committed is
skipped, and nothing but the commit marker decides that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

from congeal.errors import CongealError
from infra.commits import MARKER, Marker, UnitAddress, commit_unit, in_threads
from infra.engine import Engine
from infra.errors import DamagedError, StorageError, UserError
from infra.progress import Progress
from infra.provenance import PeakMemory, Provenance, Stopwatch
from infra.settings import Settings
from infra.storage import Location

T = TypeVar("T")


@dataclass(frozen=True)
class Unit:
    """One piece of work for the engine: where its results go, what it needs to know, how many items it holds.

    `threads` is the share of the cores that the unit may use; it is decided from the stage's whole plan, so
    that a resumed run computes with the same number of threads as an undisturbed one.
    """

    address: UnitAddress
    payload: Mapping[str, Any]
    items: int = 1
    threads: int = 1


@dataclass(frozen=True)
class UnitReport:
    """What the driver keeps of a committed unit."""

    scope: str
    unit: str
    content: str
    items: int
    seconds: float = 0.0
    timings: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0


@dataclass(frozen=True)
class StagePlan:
    """The units of a stage: those committed before (`done`) and those to make (`todo`)."""

    stage: str
    scope: str
    done: tuple[UnitReport, ...]
    todo: tuple[Unit, ...]
    gpu: bool = False

    @property
    def total(self) -> int:
        """How many units the stage has, made or not."""
        return len(self.done) + len(self.todo)


@dataclass(frozen=True)
class StageResult:
    """The outcome of a stage: its units, and what it cost. Seconds are wall time of this run."""

    stage: str
    units: tuple[UnitReport, ...]  # by unit name, round by round
    made: int = 0
    skipped: int = 0
    items_made: int = 0
    items_skipped: int = 0
    seconds: float = 0.0
    timings: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0

    @property
    def names(self) -> list[str]:
        """Each unit as "scope/unit", in order."""
        return [f"{entry.scope}/{entry.unit}" for entry in self.units]

    def __add__(self, other: StageResult) -> StageResult:
        """Two rounds of the same stage, the second after the first."""
        timings = dict(self.timings)
        for phase, seconds in other.timings.items():
            timings[phase] = timings.get(phase, 0.0) + seconds
        return StageResult(
            stage=self.stage,
            units=self.units + other.units,
            made=self.made + other.made,
            skipped=self.skipped + other.skipped,
            items_made=self.items_made + other.items_made,
            items_skipped=self.items_skipped + other.items_skipped,
            seconds=self.seconds + other.seconds,
            timings=timings,
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


class Run:
    """What the stages of one run share. A plain class, so that Prefect does not look into it."""

    def __init__(
        self, source: Location, destination: Location, settings: Settings, engine: Engine, progress: Progress
    ) -> None:
        self.source = source
        self.destination = destination
        self.settings = settings
        self.engine = engine
        self.progress = progress


@dataclass(frozen=True)
class Job:
    """A unit and the module-level function that makes it: what travels to a worker."""

    make: Callable[[Unit], Marker]
    unit: Unit


def execute(job: Job) -> UnitReport:
    """Make one unit where the engine says, and come back with a small record only.

    A unit that another run has made in the meantime is not made twice. Raises UserError for everything that
    the user can cure, whichever floor found it.
    """
    marker = job.unit.address.marker()
    if marker is not None:
        return report(marker)
    try:
        return report(job.make(job.unit))
    except CongealError as error:
        raise UserError(str(error)) from error


def report(marker: Marker) -> UnitReport:
    """The small record of a marker."""
    return UnitReport(
        scope=marker.scope,
        unit=marker.unit,
        content=marker.content,
        items=int(marker.record.get("items", 1)),
        seconds=marker.seconds,
        timings=dict(marker.timings),
        peak_memory_bytes=marker.peak_memory_bytes,
    )


class Work:
    """Times one unit from its first line to its commit."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.watch = Stopwatch()

    def commit(self, outputs: Mapping[str, bytes], record: Mapping[str, Any]) -> Marker:
        """Write the outputs, then the marker; if another run was first, its marker comes back."""
        record = {"items": self.unit.items, **record}
        return commit_unit(self.unit.address, outputs, record, Provenance.of(self.watch))


def address(destination: Location, stage: str, version: int, scope: str, unit: str) -> UnitAddress:
    """The place of a unit in a destination."""
    return UnitAddress(destination=destination, stage=stage, stage_version=version, scope=scope, unit=unit)


def read_markers(
    addresses: Iterable[UnitAddress], progress: Progress | None = None
) -> Iterator[Marker | None]:
    """Each address's marker, in order, or None where there is none; read concurrently.

    A marker that does not parse or names another unit does not count: it is removed, with a warning, so that
    the unit is made again. Without `progress` it is reported as DamagedError instead.
    """

    def read(place: UnitAddress) -> Marker | None:
        try:
            return place.marker()
        except DamagedError as error:
            if progress is None:
                raise
            progress.note(f"{error} The unit is made again.")
            take_back(place)
            return None

    yield from in_threads(read, addresses)


def plan_units(
    stage: str,
    scope: str,
    units: Iterable[Unit],
    progress: Progress,
    *,
    gpu: bool = False,
    remake: Callable[[Marker], bool] = lambda _: False,
) -> StagePlan:
    """Sort a stage's units into those committed before and those to make, both in the given order.

    A committed unit of which `remake` says that it may come out better now is taken back and made again.
    """
    wanted = list(units)
    markers = read_markers((unit.address for unit in wanted), progress)
    done, todo = [], []
    for unit, marker in zip(wanted, markers, strict=True):
        if marker is not None and not remake(marker):
            done.append(report(marker))
            continue
        if marker is not None:
            take_back(unit.address)
        todo.append(unit)
    return StagePlan(stage, scope, tuple(done), tuple(todo), gpu)


def committed_marker(place: UnitAddress) -> Marker:
    """The marker of a unit that was committed a moment ago."""
    marker = place.marker()
    if marker is None:
        raise StorageError(f"{place.folder.url} vanished while it was used: run again.")
    return marker


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """The items in tuples of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch


def take_back(place: UnitAddress) -> None:
    """Remove a unit's marker, so that the unit is made again."""
    (place.folder / MARKER).delete()


def run_units(plan: StagePlan, make: Callable[[Unit], Marker], run: Run, *, title: str = "") -> StageResult:
    """Make what the plan lacks on the run's engine.

    `make` is a module-level function: unit in, committed marker out. Units come back as they are completed;
    the result lists them by unit name, so that it does not depend on the order.
    """
    begin = time.perf_counter()
    threads = run.engine.threads(plan.total)
    jobs = [Job(make, replace(unit, threads=threads)) for unit in plan.todo]
    made: list[UnitReport] = []
    peak = 0
    if jobs:
        items = sum(unit.items for unit in plan.todo)
        skipped = sum(entry.items for entry in plan.done)
        with (
            PeakMemory() as memory,
            run.progress.stage(title or plan.stage, total=items + skipped, done=skipped) as advance,
        ):
            for unit_report in run.engine.map(execute, jobs, gpu=plan.gpu):
                made.append(unit_report)
                advance(unit_report.items)
        peak = max(memory.bytes, *(entry.peak_memory_bytes for entry in made))
    timings: dict[str, float] = {}
    for entry in made:
        for phase, seconds in entry.timings.items():
            timings[phase] = timings.get(phase, 0.0) + seconds
    everything = sorted((*plan.done, *made), key=lambda entry: entry.unit)
    return StageResult(
        stage=plan.stage,
        units=tuple(everything),
        made=len(made),
        skipped=len(plan.done),
        items_made=sum(entry.items for entry in made),
        items_skipped=sum(entry.items for entry in plan.done),
        seconds=time.perf_counter() - begin,
        timings=timings,
        peak_memory_bytes=peak,
    )
