"""What every stage does: plan (what is missing?), map over units on the engine, commit.

A unit names its inputs (locations, ids, settings); it never carries an array. What is committed is
skipped, and nothing but the commit marker decides that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from congeal.alignment.outcomes import FAILED
from congeal.settings import LimitsSettings, Settings
from infra.compute.engine import Engine
from infra.compute.worker_death import Killed
from infra.errors import DamagedError, StorageError, UserError
from infra.ledger.commits import MARKER, Marker, UnitAddress, commit_unit, content_of, near_name
from infra.ledger.provenance import PeakMemory, Provenance, Stopwatch
from infra.storage import near_copies
from infra.storage.location import Location
from infra.storage.near_copies import Copies
from infra.storage.usage import NOTHING, PUT, Usage, meter
from infra.threads import in_threads
from tasks.corrections.corrections import NONE, Corrections
from tasks.execution.cost import Budget, cost_of
from tasks.execution.division import Division, begun, divide, forget, in_users_words, reason
from tasks.execution.spooled_units import addresses, items_of, some, spooled
from tasks.execution.units import NO_TIMINGS, Keep, P_co, StagePlan, StageResult, Unit, UnitReport

if TYPE_CHECKING:
    from infra.compute.progress import Progress

__all__ = [
    "APART",
    "IDENTITY",
    "Run",
    "StagePlan",
    "StageResult",
    "Unit",
    "UnitJob",
    "UnitReport",
    "Work",
    "address",
    "batched",
    "committed_marker",
    "execute",
    "plan_units",
    "read_markers",
    "record_of",
    "report",
    "run_units",
    "take_back",
    "worth_retrying",
]

IDENTITY = "identity_of_outputs"  # in a record: by what later units know outputs that were rewritten since
APART = "apart"  # in a record: the outputs, by how their paths begin, that no later unit is computed from

FEW = 4  # units of a stage from which on it is asked whether there are any
LISTED = 256  # and from which on its folder is listed

T = TypeVar("T")
P = TypeVar("P")


class Run:
    """What the stages of one run share. A plain class, so that Prefect does not look into it."""

    def __init__(
        self,
        source: Location,
        destination: Location,
        settings: Settings,
        engine: Engine,
        progress: Progress,
        corrections: Corrections = NONE,
        budget: Budget | None = None,
    ) -> None:
        self.source = source
        self.destination = destination
        self.settings = settings
        self.engine = engine
        self.progress = progress
        self.corrections = corrections
        self.budget = budget or Budget(LimitsSettings())


@dataclass(frozen=True)
class UnitJob(Generic[P]):
    """A unit and the module-level function that makes it: what travels to a worker.

    resumes: its work may have been divided by an earlier run, and is to be taken up there. keep: see
    `StagePlan`. copies: where the run keeps what need not be read again.
    """

    make: Callable[[Unit[P]], Marker]
    unit: Unit[P]
    resumes: bool = False
    keep: Keep | None = None
    copies: Copies | None = None


def execute(job: UnitJob[P]) -> UnitReport | Unit[P]:
    """Make one unit where the engine says, and come back with a small record only.

    A unit that another run has made in the meantime is not made twice; one whose work has been divided comes
    back itself. Raises UserError for everything that the user can cure.
    """
    near_copies.use(job.copies)
    marker = job.unit.address.marker()
    if marker is not None:
        return report(marker, job.keep)
    if job.resumes and begun(job.unit):
        return job.unit
    return _made(in_users_words(job.make, job.unit), job.keep)


def report(marker: Marker, keep: Keep | None = None) -> UnitReport:
    """The small record of a marker."""
    apart = tuple(marker.record.get(APART, ()))
    others = {path: file for path, file in marker.outputs.items() if not path.startswith(apart)}
    return UnitReport(
        scope=marker.scope,
        unit=marker.unit,
        content=marker.content,
        identity=marker.record.get(IDENTITY) or (content_of(others) if apart else marker.content),
        items=int(marker.record.get("items", 1)),
        failed=marker.record.get("status") == FAILED,
        seconds=marker.seconds,
        timings=dict(marker.timings),
        peak_memory_bytes=marker.peak_memory_bytes,
        kept=keep and keep(marker),
    )


def _settled(report: UnitReport) -> UnitReport:
    """What is kept of a unit to the end of a run, when its costs have been added up."""
    return replace(report, used=NOTHING, timings=NO_TIMINGS)


def _made(marker: Marker, keep: Keep | None) -> UnitReport:
    """Of a unit that was made just now: with what it has cost."""
    return replace(report(marker, keep), device=marker.device, used=marker.used)


def record_of(marker: Marker) -> Mapping[str, Any]:
    """What a marker says for later stages, to be kept of a stage of one unit."""
    return marker.record


class Work(Generic[P_co]):
    """Times one unit from its first line to its commit."""

    def __init__(self, unit: Unit[P_co]) -> None:
        self.unit = unit
        self.watch = Stopwatch()
        self._before = meter.total

    def commit(self, outputs: Mapping[str, bytes], record: Mapping[str, Any]) -> Marker:
        """Write the outputs, then the marker; if another run was first, its marker comes back."""
        record = {"items": self.unit.items, **record}
        # Its outputs and its marker are put after the marker is made up.
        puts = {self.unit.address.destination.protocol: {PUT: len(outputs) + 1}}
        used = meter.total - self._before + Usage(puts, 0, sum(len(data) for data in outputs.values()))
        return commit_unit(self.unit.address, outputs, record, Provenance.of(self.watch, used=used))


def address(destination: Location, stage: str, version: int, scope: str, unit: str) -> UnitAddress:
    """The place of a unit in a destination."""
    return UnitAddress(destination=destination, stage=stage, stage_version=version, scope=scope, unit=unit)


def worth_retrying(marker: Marker) -> bool:
    """Whether something in a unit failed because it killed its worker: with more memory it may do."""
    return bool(marker.record.get("killed"))


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
    units: Iterable[Unit[P]],
    progress: Progress,
    *,
    gpu: bool = False,
    remake: Callable[[Marker], bool] = lambda _: False,
    keep: Keep | None = None,
) -> StagePlan[P]:
    """Sort a stage's units into those committed before and those to make, both in the given order.

    A committed unit of which `remake` says that it may come out better now is taken back and made again.
    """
    wanted = spooled(units)
    every = addresses(wanted)
    begun = _begun(every)
    places = (place for place in every if begun is None or place.unit in begun)
    found = read_markers(places, progress)
    done, todo = [], []
    for position, place in enumerate(every):
        marker = next(found) if begun is None or place.unit in begun else None
        if marker is not None and not remake(marker):
            done.append(_settled(report(marker, keep)))
            continue
        if marker is not None:
            take_back(place)
        todo.append(position)
    known = None if begun is None else frozenset(begun)
    return StagePlan(stage, scope, tuple(done), some(wanted, todo), gpu, keep, known)


def _begun(places: Sequence[UnitAddress]) -> set[str] | None:
    """Which of many units have a folder; None for a few where there are others, or such of several scopes.

    A listing names a thousand, and markers that are not there need not be asked for one by one.
    """
    if len(places) < FEW or len({place.scope for place in places}) > 1:
        return None
    first = places[0]
    folder = first.destination / f"stages/{first.stage}/{first.scope}"
    if len(places) >= LISTED:
        return set(folder.children())
    return None if folder.is_prefix() else set()


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
    near_copies.drop(near_name(place))
    (place.folder / MARKER).delete()


def run_units(
    plan: StagePlan[P],
    make: Callable[[Unit[P]], Marker],
    run: Run,
    *,
    title: str = "",
    division: Division[P] | None = None,
) -> StageResult:
    """Make what the plan lacks on the run's engine.

    `make` is a module-level function: unit in, committed marker out. Units come back as they are completed;
    the result lists them by unit name, so that it does not depend on the order. A unit that kills its worker
    is divided when all others are done; without a `division` it is a UserError.
    """
    begin = time.perf_counter()
    title = title or plan.stage
    threads = run.engine.threads(plan.total)
    resumes = division is not None and not run.settings.engine.retry_failed
    copies = near_copies.active()
    jobs = (
        UnitJob(
            make,
            replace(unit, threads=threads),
            resumes and (plan.begun is None or unit.address.unit in plan.begun),
            plan.keep,
            copies,
        )
        for unit in plan.todo
    )
    made: list[UnitReport] = []
    timings: dict[str, float] = {}
    peak = 0
    used, devices, budget = NOTHING, set[str](), run.budget

    def add(found: UnitReport) -> None:
        nonlocal used, peak
        used += found.used
        peak = max(peak, found.peak_memory_bytes)
        for phase, seconds in found.timings.items():
            timings[phase] = timings.get(phase, 0.0) + seconds
        devices.add(found.device)
        budget.cost += cost_of(run.settings.plan, found.used, found.seconds, run.engine.workers)
        made.append(_settled(found))
        advance(found.items)

    if plan.todo:
        items = items_of(plan.todo)
        skipped = sum(entry.items for entry in plan.done)
        with (
            PeakMemory() as memory,
            run.progress.stage(title, total=items + skipped, done=skipped) as advance,
        ):
            killers: list[Unit[P]] = []
            errors: dict[str, Exception] = {}
            # Where a unit can be divided, one that fails stops no others.
            ways = {"gpu": plan.gpu, **({} if division is None else {"defects": True})}
            for outcome in run.engine.map(execute, budget.while_left(jobs), **ways):
                if isinstance(outcome, Killed):
                    killers.append(outcome.payload.unit)
                    if outcome.error is not None:
                        errors[outcome.payload.unit.address.unit] = outcome.error
                elif isinstance(outcome, Unit):
                    killers.append(outcome)
                else:
                    add(outcome)
            for unit in budget.while_left(sorted(killers, key=lambda unit: unit.address.unit)):
                error = errors.get(unit.address.unit)
                add(_divided(unit, division, run, title, plan, bool(made), error))
        budget.require_done(title, len(plan.done) + len(made), plan.total)
        peak = max(memory.bytes, peak)
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
        unit_seconds=sum(entry.seconds for entry in made),
        used=used,
        devices=frozenset(devices),
    )


def _divided(
    unit: Unit[P],
    division: Division[P] | None,
    run: Run,
    title: str,
    plan: StagePlan[P],
    others_succeed: bool,
    error: Exception | None,
) -> UnitReport:
    alone = division is not None and division.fail is not None and not (others_succeed or plan.done)
    if error is not None and (division is None or alone):
        # Nothing says that it is this unit's doing.
        raise error
    if division is None:
        raise UserError(
            f"A worker died each time it computed the same unit ({title}), most likely for want of memory: "
            "lower engine.workers, or raise engine.memory."
        )
    if run.settings.engine.retry_failed:
        forget(unit)
    what = "a worker died, or its memory ran out," if error is None else reason(error)
    run.progress.note(
        f"{title}: {what} each time it computed the same unit of {unit.items:,}; the work is divided, to go "
        "on without what kills."
        if error is None
        else f"{title}: {what}; the work of that unit of {unit.items:,} is divided, to go on without it."
    )
    made = divide(unit, division, run.engine, gpu=plan.gpu, others_succeed=others_succeed)
    return _made(made, plan.keep)
