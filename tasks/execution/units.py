"""Units of work, and what the driver keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from infra.ledger.commits import Marker, UnitAddress
from infra.storage.usage import NOTHING, Usage

Keep = Callable[[Marker], object]  # a function of a module: what later stages need of a marker

NO_TIMINGS: Mapping[str, float] = {}

P_co = TypeVar("P_co", covariant=True)


@dataclass(frozen=True)
class Unit(Generic[P_co]):
    """One piece of work for the engine: where its results go, what it needs to know, how many items it holds.

    `payload` is a frozen dataclass of the stage; it travels to a worker by pickle, holds locations, settings
    and ids, and is no part of the unit's name: that is the address.

    `threads` is the share of the cores that the unit may use; it is decided from the stage's whole plan, so
    that a resumed run computes with the same number of threads as an undisturbed one.
    """

    address: UnitAddress
    payload: P_co
    items: int = 1
    threads: int = 1


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What the driver keeps of a committed unit.

    Attributes:
        content: the folder of its outputs.
        identity: digest of those outputs that later units are computed from.
        failed: it says no more than that it could not be made.
        kept: what its stage hands to later stages, small; so they need not read the marker again.
        timings, used: of those that this run has made, until they are added up.
    """

    scope: str
    unit: str
    content: str
    identity: str
    items: int
    failed: bool = False
    seconds: float = 0.0
    timings: Mapping[str, float] = field(default_factory=lambda: NO_TIMINGS)
    peak_memory_bytes: int = 0
    kept: object = None
    device: str = ""
    used: Usage = NOTHING


@dataclass(frozen=True)
class StagePlan(Generic[P_co]):
    """The units of a stage: those committed before (`done`) and those to make (`todo`).

    keep: what later stages need of a marker, see `UnitReport`. begun: names of units that had a folder when
    they were looked for; None: not known.
    """

    stage: str
    scope: str
    done: tuple[UnitReport, ...]
    todo: Sequence[Unit[P_co]]
    gpu: bool = False
    keep: Keep | None = None
    begun: frozenset[str] | None = None

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
    unit_seconds: float = 0.0  # of the units that were made, added up
    used: Usage = NOTHING
    devices: frozenset[str] = frozenset()

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
            unit_seconds=self.unit_seconds + other.unit_seconds,
            used=self.used + other.used,
            devices=self.devices | other.devices,
        )
