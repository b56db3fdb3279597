from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from congeal.errors import CongealError
from congeal.settings import Settings
from infra.compute.progress import Progress
from infra.errors import UserError
from infra.ledger.commits import Marker, commit_unit
from infra.ledger.provenance import Provenance, Stopwatch
from infra.storage.location import Location
from tasks.execution.stage_runner import (
    LISTED,
    Run,
    StageResult,
    Unit,
    UnitJob,
    Work,
    address,
    batched,
    execute,
    plan_units,
    run_units,
)


class Recorder:
    """An engine that notes how it was asked."""

    workers = 2

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.gpu: list[bool] = []

    def map(
        self, function: Callable[[Any], Any], payloads: Sequence[Any], *, gpu: bool = False
    ) -> Iterator[Any]:
        self.gpu.append(gpu)
        # As completed, which is not as given.
        return map(function, reversed(list(payloads)))

    def threads(self, units: int) -> int:
        self.totals.append(units)
        return units


def units(place: Path, count: int) -> list[Unit]:
    return [
        Unit(address(Location.parse(place), "toys", 1, "5" * 16, f"{n:032}"), {"number": n}, items=n + 1)
        for n in range(count)
    ]


def make(unit: Unit) -> Marker:
    data = f"{unit.payload['number']} {unit.threads}".encode()
    return Work(unit).commit({"number.txt": data}, {"number": unit.payload["number"]})


def a_run(place: Path, engine: Any) -> Run:
    here = Location.parse(place)
    return Run(here, here, Settings(), engine, Progress(quiet=True))


def test_only_what_is_missing_is_made_and_the_result_is_in_order(tmp_path: Path) -> None:
    first, engine = units(tmp_path, 5), Recorder()
    made = [make(unit) for unit in first[1:3]]
    plan = plan_units("toys", "5" * 16, first, Progress(quiet=True), gpu=True)
    result = run_units(plan, make, a_run(tmp_path, engine))
    assert (result.made, result.skipped, result.items_made, result.items_skipped) == (3, 2, 1 + 4 + 5, 2 + 3)
    assert [entry.unit for entry in result.units] == [unit.address.unit for unit in first]
    assert {entry.content for entry in result.units} >= {marker.content for marker in made}
    assert engine.gpu == [True]


def test_threads_follow_from_all_units_and_not_from_those_left(tmp_path: Path) -> None:
    # Sums of floating-point numbers depend on how many threads add them up.
    first, engine = units(tmp_path, 4), Recorder()
    run = a_run(tmp_path, engine)
    run_units(plan_units("toys", "5" * 16, first[:1], run.progress), make, run)
    run_units(plan_units("toys", "5" * 16, first, run.progress), make, run)
    assert engine.totals == [1, 4]
    written = [next(tmp_path.glob(f"stages/toys/*/{unit.address.unit}/*/number.txt")) for unit in first]
    assert [path.read_text() for path in written] == ["0 1", "1 4", "2 4", "3 4"]


def test_a_unit_that_somebody_else_made_meanwhile_is_not_made_twice(tmp_path: Path) -> None:
    (unit,) = units(tmp_path, 1)
    plan = plan_units("toys", "5" * 16, [unit], Progress(quiet=True))
    assert len(plan.todo) == 1
    marker = make(unit)
    report = execute(UnitJob(lambda _: pytest.fail("made twice"), plan.todo[0]))
    assert report.content == marker.content


def test_what_is_worth_another_try_is_taken_back(tmp_path: Path) -> None:
    first = units(tmp_path, 3)
    for unit in first:
        make(unit)
    plan = plan_units(
        "toys", "5" * 16, first, Progress(quiet=True), remake=lambda marker: marker.record["number"] == 1
    )
    assert [unit.payload["number"] for unit in plan.todo] == [1]
    assert first[1].address.marker() is None


def test_the_errors_of_the_science_are_the_users(tmp_path: Path) -> None:
    def refuse(_: Unit) -> Marker:
        raise CongealError("the weights do not fit")

    with pytest.raises(UserError, match="the weights do not fit"):
        execute(UnitJob(refuse, units(tmp_path, 1)[0]))


def test_rounds_of_a_stage_add_up() -> None:
    first = StageResult(
        "toys", (), made=1, items_made=3, seconds=1.5, timings={"a": 1.0}, peak_memory_bytes=7
    )
    second = StageResult("toys", (), made=2, skipped=1, seconds=0.5, timings={"a": 0.5, "b": 2.0})
    both = first + second
    assert (both.made, both.skipped, both.items_made, both.seconds, both.peak_memory_bytes) == (
        3,
        1,
        3,
        2.0,
        7,
    )
    assert both.timings == {"a": 1.5, "b": 2.0}


def test_batches() -> None:
    assert list(batched(range(5), 2)) == [(0, 1), (2, 3), (4,)]
    assert list(batched([], 2)) == []


@pytest.mark.parametrize("count", [LISTED - 1, LISTED + 40])
def test_markers_that_are_not_there_are_not_asked_for_one_by_one(
    memory_location: Location, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [Unit(address(memory_location, "features", 1, "scope", f"u{n:04}"), None) for n in range(count)]
    made = Provenance.of(Stopwatch())
    for unit in units[::50]:
        commit_unit(unit.address, {"a": b"1"}, {}, made)
    (memory_location / "stages/features/scope/u0001/pieces/x").write_bytes(b"begun, not committed")
    asked: list[str] = []
    real = Location.read_bytes

    def counted(place: Location) -> bytes:
        asked.append(place.url)
        return real(place)

    monkeypatch.setattr(Location, "read_bytes", counted)
    plan = plan_units("features", "scope", units, Progress(quiet=True))
    assert [entry.unit for entry in plan.done] == [unit.address.unit for unit in units[::50]]
    assert [unit.address.unit for unit in plan.todo] == [
        unit.address.unit for number, unit in enumerate(units) if number % 50
    ]
    assert len(asked) == (count if count < LISTED else len(units[::50]) + 1)
