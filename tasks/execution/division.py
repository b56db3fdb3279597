"""The work of a unit that kills its worker, divided: pieces done one by one, joined under the unit's key.

The pieces lie in the unit's folder until the unit is committed, beside a list of what has killed a worker, so
that a resumed run goes on from there. Pieces are worked on one after the other, with no other work at the
same time: a piece during which a worker dies is the one that killed it.
"""

from __future__ import annotations

import json
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from congeal.errors import CongealError
from infra.compute.engine import TRIES, Engine
from infra.compute.worker_death import Killed
from infra.errors import MissingError, UserError
from infra.ledger.commits import Marker, digest
from infra.storage.location import Location
from tasks.execution.units import Unit

PIECES = "pieces"
DEATHS = "deaths.json"
DEFECTS = "defects.json"
WHOLE, JOIN, FAIL = "whole", "join", "fail"
PROBES = 4  # items that are tried where nothing has come through yet
CURE = "give workers more (engine.memory, fewer engine.workers) and run with --set engine.retry_failed=true"
RAISE = "raise that limit and run with --set engine.retry_failed=true"
KILLED = f"its worker ran out of memory or died each time it worked on this image alone: {CURE}"
KILLED_CLUSTER = f"the worker ran out of memory or died each time it made this atlas: {CURE}"

DEFECT = "an error of congeal's own came up each time ({}): please report it"

Items = tuple[int, ...]
P = TypeVar("P")
V = TypeVar("V")
W = TypeVar("W")
R = TypeVar("R")
Q = ParamSpec("Q")


@dataclass(frozen=True)
class Division(Generic[P]):
    """How the work of a unit is divided; all are functions of a module.

    Attributes:
        items: into how many items the work can be divided.
        make: does the work on some items and keeps it in `place_of`.
        join: of the unit, the pieces that were made and the items that kill, a commit of the whole.
        grain: items that the whole works on together; pieces are cut between those while they are larger.
        fail: commits that the unit could not be made, if the run goes on without it.
    """

    items: Callable[[Unit[P]], int]
    make: Callable[[Unit[P], Items], None]
    join: Callable[[Unit[P], Sequence[Items], Items], Marker]
    grain: Callable[[Unit[P]], int] | None = None
    fail: Callable[[Unit[P]], Marker] | None = None


@dataclass(frozen=True)
class _MakePiece(Generic[P]):
    """What travels to a worker: `Division.make` of a piece."""

    make: Callable[[Unit[P], Items], None]
    unit: Unit[P]
    items: Items


@dataclass(frozen=True)
class _JoinPieces(Generic[P]):
    """`Division.join` of the pieces that were made, and the items that kill."""

    join: Callable[[Unit[P], Sequence[Items], Items], Marker]
    unit: Unit[P]
    pieces: tuple[Items, ...]
    killers: Items


@dataclass(frozen=True)
class _Fail(Generic[P]):
    """`Division.fail` of a unit that cannot be made."""

    fail: Callable[[Unit[P]], Marker]
    unit: Unit[P]


class Deaths:
    """How often each piece has killed a worker; written down at each death."""

    def __init__(self, unit: Unit[object]) -> None:
        self._place = unit.address.folder / PIECES / DEATHS
        self._counts = _read(self._place, int)
        self._defects_place = unit.address.folder / PIECES / DEFECTS
        self.defects = _read(self._defects_place, str)

    def of(self, name: str) -> int:
        """Of a piece."""
        return self._counts.get(name, 0)

    def add(self, name: str, deaths: int, error: Exception | None = None) -> None:
        """Another death, or several; or an error instead."""
        self._counts[name] = self.of(name) + deaths
        if error is not None:
            self.defects[name] = reason(error)
            self._defects_place.write_bytes(json.dumps(self.defects, sort_keys=True).encode())
        self._place.write_bytes(json.dumps(self._counts, sort_keys=True).encode())


def reason(error: Exception) -> str:
    """What is recorded of an error that nobody expected: what, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return DEFECT.format((text if len(text) <= 160 else text[:157] + "...") + where)


def reasons(unit: Unit[object], killers: Items) -> dict[int, str]:
    """Why each of the items that kill is left out."""
    if not killers:
        return {}
    known = _read(unit.address.folder / PIECES / DEFECTS, str)
    return {item: known.get(_name((item,)), KILLED) for item in killers}


def reason_of_whole(unit: Unit[object]) -> str:
    """Why a unit that cannot be divided could not be made."""
    return _read(unit.address.folder / PIECES / DEFECTS, str).get(JOIN, KILLED_CLUSTER)


def begun(unit: Unit[object]) -> bool:
    """Whether an earlier run has begun to divide a unit and was ended before it was through."""
    return (unit.address.folder / PIECES / DEATHS).exists()


def forget(unit: Unit[object]) -> None:
    """Remove the pieces of a unit, and what is known of deaths."""
    (unit.address.folder / PIECES).delete()


def place_of(unit: Unit[object], items: Items) -> Location:
    """Where a piece is kept until the unit is committed."""
    return unit.address.folder / PIECES / _name(items)


def in_users_words(function: Callable[Q, R], *arguments: Q.args, **named: Q.kwargs) -> R:
    """The function's result; what the science cannot do is raised as UserError."""
    try:
        return function(*arguments, **named)
    except CongealError as error:
        raise UserError(str(error)) from error


def divide(
    unit: Unit[P], division: Division[P], engine: Engine, *, gpu: bool, others_succeed: bool
) -> Marker:
    """Make a unit in pieces; items that kill alone are left out, and recorded.

    A range that kills is halved; an item is given up after killing alone twice. One such item among n costs
    about log2(n) + 1 deaths beside the two before. others_succeed: some other unit of the stage could be
    made. Raises UserError where nothing gets through, so that it cannot be the items, and where the whole
    cannot be joined or, having failed, be recorded.
    """
    deaths = Deaths(unit)
    if not deaths.of(WHOLE):
        # What kills a worker may take the run along: the next one is to know.
        deaths.add(WHOLE, TRIES)
    worker = _Worker(unit, division, engine, gpu, deaths)
    items = division.items(unit)
    if not others_succeed and division.fail is None and items > PROBES:
        _probe(worker, unit, items)
    pieces, killers = _sorted_out(worker, items, division.grain(unit) if division.grain else 1)
    marker = worker.join(pieces, killers) or worker.fail()
    if marker is None:
        if JOIN in deaths.defects:
            why = deaths.defects[JOIN]
            forget(unit)
            raise UserError(f"The unit {unit.address.folder.url} cannot be put together: {why}.")
        forget(unit)
        raise UserError(
            f"A worker died each time it put together the unit {unit.address.folder.url}, most likely for "
            "want of memory: lower engine.workers, or raise engine.memory."
        )
    forget(unit)
    return marker


class _Worker(Generic[P]):
    """Does one task of a unit at a time, with no other work at the same time."""

    def __init__(
        self, unit: Unit[P], division: Division[P], engine: Engine, gpu: bool, deaths: Deaths
    ) -> None:
        self._unit = unit
        self._division = division
        self._engine = engine
        self._gpu = gpu
        self._deaths = deaths

    def lives(self, items: Items, tries: int = 1) -> bool:
        """Whether a piece gets through; it is tried only if it has killed less often than `tries` times."""
        order = _MakePiece(self._division.make, self._unit, items)
        return self._tried(_make, order, _name(items), tries) is not None

    @property
    def defects(self) -> dict[str, str]:
        """Errors that nobody expected, by the name of the piece."""
        return self._deaths.defects

    def join(self, pieces: Sequence[Items], killers: Items) -> Marker | None:
        """The unit's marker; None if the whole kills."""
        order = _JoinPieces(self._division.join, self._unit, tuple(pieces), killers)
        return self._tried(_join, order, JOIN, TRIES)

    def fail(self) -> Marker | None:
        """The marker of a unit that could not be made; None if even that kills, or must not be."""
        if self._division.fail is None:
            return None
        return self._tried(_fail, _Fail(self._division.fail, self._unit), FAIL, TRIES)

    def _tried(self, function: Callable[[W], R], order: W, name: str, tries: int) -> R | None:
        while self._deaths.of(name) < tries:
            (outcome,) = self._engine.map(function, [order], gpu=self._gpu, tries=1, defects=True)
            if not isinstance(outcome, Killed):
                return outcome
            self._deaths.add(name, outcome.deaths, outcome.error)
        return None


def _probe(worker: _Worker[P], unit: Unit[P], items: int) -> None:
    """Raise UserError if a few items, from all over the unit, kill one and all."""
    for number in range(PROBES):
        if worker.lives((number * (items - 1) // (PROBES - 1),), TRIES):
            return
    defects = worker.defects
    forget(unit)
    if defects:
        raise UserError(
            f"Of {PROBES} images of the stage {unit.address.stage}, worked on one at a time, none came "
            f"through: {next(iter(defects.values()))}."
        )
    raise UserError(
        f"A worker died each time it worked on any of {PROBES} images, one at a time, in the stage "
        f"{unit.address.stage}: it is not the images, most likely it is want of memory; lower "
        "engine.workers, or raise engine.memory."
    )


def _sorted_out(worker: _Worker[P], items: int, grain: int) -> tuple[list[Items], Items]:
    """Pieces that get through, in order, and the items that belong to none."""
    made: list[Items] = []
    killers: list[int] = []
    # The whole has killed already.
    waiting = deque(_halves(range(items), grain) if items > 1 else [range(items)] if items else [])
    while waiting:
        part = waiting.popleft()
        if worker.lives(tuple(part), TRIES if len(part) == 1 else 1):
            made.append(tuple(part))
        elif len(part) == 1:
            killers.append(part[0])
        else:
            waiting.extend(_halves(part, grain))
    return list(_together(worker, sorted(made), set(killers), items, grain)), tuple(sorted(killers))


def _halves(part: range, grain: int) -> Iterator[range]:
    middle = part.start + len(part) // 2
    if len(part) > grain:
        middle = min(max(round(middle / grain), part.start // grain + 1) * grain, part.stop - 1)
    yield from (range(part.start, middle), range(middle, part.stop))


def _together(
    worker: _Worker[P], made: Sequence[Items], killers: set[int], items: int, grain: int
) -> Iterator[Items]:
    """The pieces with what the whole works on together put together again, wherever that gets through.

    Numbers that are computed together may differ in the last bit from the same ones computed apart.
    """
    whole = [
        piece
        for piece in made
        if piece[0] % grain == 0 and ((piece[-1] + 1) % grain == 0 or piece[-1] + 1 == items)
    ]
    covered = {item for piece in whole for item in piece}
    yield from whole
    for start in range(0, items, grain):
        block = range(start, min(start + grain, items))
        parts = [piece for piece in made if piece[0] in block and piece not in whole]
        rest = tuple(item for item in block if item not in killers and item not in covered)
        if len(parts) > 1 and worker.lives(rest, TRIES):
            yield rest
        else:
            yield from parts


def _name(items: Items) -> str:
    return f"{items[0]}-{items[-1]}-{digest(items, length=8)}"


def _read(place: Location, kind: Callable[[Any], V]) -> dict[str, V]:
    try:
        found = json.loads(place.read_bytes())
        return {str(name): kind(value) for name, value in found.items()}
    except MissingError:
        return {}
    except (ValueError, AttributeError, TypeError):
        # What is known of deaths is lost: they will be seen again.
        return {}


def _make(order: _MakePiece[P]) -> bool:
    """On a worker: one piece, unless it is there, or the unit is committed."""
    if order.unit.address.marker() is None and not place_of(order.unit, order.items).exists():
        in_users_words(order.make, order.unit, order.items)
    return True


def _join(order: _JoinPieces[P]) -> Marker:
    """On a worker: the whole, unless another run has committed it and cleared the pieces away."""
    marker = order.unit.address.marker()
    if marker is not None:
        return marker
    return in_users_words(order.join, order.unit, order.pieces, order.killers)


def _fail(order: _Fail[P]) -> Marker:
    return order.unit.address.marker() or in_users_words(order.fail, order.unit)
