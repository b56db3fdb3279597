"""The work of units that kill their workers, on toy units: what is tried, found, joined and remembered."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.settings import Settings
from infra.compute.engine import LoopEngine, open_engine
from infra.compute.progress import Progress
from infra.errors import UserError
from infra.ledger.commits import Marker
from infra.settings import EngineSettings
from infra.storage.location import Location
from tasks.execution.division import Division, Items, divide, place_of, reason_of_whole, reasons
from tasks.execution.stage_runner import Run, Unit, Work, address, plan_units, run_units

SCOPE = "5" * 16
LIMIT = 10**6


def a_unit(place: Path | Location, count: int, number: int = 0) -> Unit:
    """Squares of `count` numbers."""
    here = Location.parse(place) if isinstance(place, Path) else place
    return Unit(address(here, "toys", 1, SCOPE, f"{number:032}"), {"count": count}, items=count)


def text(items: Sequence[int]) -> bytes:
    return "".join(f"{item * item}\n" for item in items).encode()


def make(unit: Unit) -> Marker:
    return Work(unit).commit({"squares": text(range(unit.payload["count"]))}, {})


class Toy:
    """A division that notes what is tried, and runs out of memory for some items or for too many at once."""

    def __init__(self, killers: Sequence[int] = (), most: int = LIMIT, grain: int = 1) -> None:
        self.killers = set(killers)
        self.most = most
        self.tried: list[Items] = []
        self.joined: tuple[Sequence[Items], Items] | None = None
        self.division = Division(
            items=lambda unit: int(unit.payload["count"]),
            make=self.piece,
            join=self.join,
            grain=lambda _: grain,
        )

    def whole(self, unit: Unit) -> Marker:
        self._bear(tuple(range(unit.payload["count"])))
        return make(unit)

    def piece(self, unit: Unit, items: Items) -> None:
        self.tried.append(items)
        self._bear(items)
        place_of(unit, items).write_bytes(text(items))

    def join(self, unit: Unit, pieces: Sequence[Items], killers: Items) -> Marker:
        self.joined = pieces, killers
        lines: dict[int, bytes] = {}
        for items in pieces:
            found = place_of(unit, items).read_bytes().splitlines(keepends=True)
            lines |= dict(zip(items, found, strict=True))
        data = b"".join(lines[item] for item in sorted(lines))
        return Work(unit).commit({"squares": data}, {"killed": list(killers)} if killers else {})

    def _bear(self, items: Items) -> None:
        if self.killers & set(items) or len(items) > self.most:
            raise MemoryError


def run_of(place: Path | Location, engine: Any, **settings: Any) -> Run:
    here = Location.parse(place) if isinstance(place, Path) else place
    return Run(here, here, Settings(engine=EngineSettings(**settings)), engine, Progress(quiet=True))


def run_toy(toy: Toy, units: Sequence[Unit], **settings: Any) -> None:
    run = run_of(units[0].address.destination, LoopEngine(), **settings)
    run_units(plan_units("toys", SCOPE, units, run.progress), toy.whole, run, division=toy.division)


def files(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }


def outputs(place: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(place).items() if not name.endswith("_commit.json")}


@pytest.mark.parametrize("most", [1, 2, 3, 7, 19])
def test_too_much_at_once_is_done_in_pieces_and_has_the_same_bytes(tmp_path: Path, most: int) -> None:
    make(a_unit(tmp_path / "undisturbed", 20))
    toy = Toy(most=most)
    run_toy(toy, [a_unit(tmp_path / "divided", 20)])
    assert outputs(tmp_path / "divided") == outputs(tmp_path / "undisturbed")
    marker = a_unit(tmp_path / "divided", 20).address.marker()
    assert marker is not None
    assert "killed" not in marker.record


@settings(max_examples=60)
@given(data=st.data())
def test_what_kills_is_found_and_the_rest_is_joined(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    killers = data.draw(st.sets(st.integers(0, count - 1), max_size=6))
    grain = data.draw(st.integers(1, 7))
    most = data.draw(st.sampled_from([1, grain, 2 * grain, LIMIT]))
    place = Location.parse(f"memory://division-{data.draw(st.uuids())}")
    toy = Toy(sorted(killers), most, grain)
    divide(a_unit(place, count), toy.division, LoopEngine(), gpu=False, others_succeed=True)
    place.delete()
    assert toy.joined is not None
    pieces, found = toy.joined
    assert set(found) == killers
    assert sorted(item for piece in pieces for item in piece) == sorted(set(range(count)) - killers)
    if most >= grain:
        # What the whole works on together is never torn apart, but for those who kill.
        for start in range(0, count, grain):
            block = set(range(start, min(start + grain, count))) - killers
            assert not block or any(block <= set(piece) for piece in pieces)


@pytest.mark.parametrize(("count", "most_deaths"), [(2, 3), (16, 6), (256, 10)])
def test_one_killer_costs_few_deaths(tmp_path: Path, count: int, most_deaths: int) -> None:
    for killer in {0, count // 3, count - 1}:
        toy = Toy([killer])
        divide(
            a_unit(tmp_path / str(killer), count), toy.division, LoopEngine(), gpu=False, others_succeed=True
        )
        deaths = [items for items in toy.tried if killer in items]
        assert len(deaths) <= most_deaths
        assert deaths.count((killer,)) == 2
        assert len(toy.tried) <= 2 * most_deaths


def test_who_dies_alone_once_has_not_killed(tmp_path: Path) -> None:
    # A host may go away at any moment, whatever it works on.
    toy, seen = Toy(), []

    def unlucky(unit: Unit, items: Items) -> None:
        seen.append(items)
        if 3 in items and sum(3 in known for known in seen) <= 3:
            raise MemoryError
        Toy.piece(toy, unit, items)

    division = Division(items=lambda _: 8, make=unlucky, join=toy.join)
    divide(a_unit(tmp_path, 8), division, LoopEngine(), gpu=False, others_succeed=True)
    assert seen.count((3,)) == 2
    assert toy.joined is not None
    assert toy.joined[1] == ()


def test_where_nothing_comes_through_it_is_not_the_items(tmp_path: Path) -> None:
    toy = Toy(range(100))
    units = [a_unit(tmp_path, 100)]
    with pytest.raises(UserError, match=r"any of 4 images.*lower engine\.workers, or raise engine\.memory"):
        run_toy(toy, units)
    assert len(toy.tried) == 8
    # With more memory the next run is as if nothing had been.
    assert files(tmp_path) == {}
    run_toy(Toy(), units)
    assert units[0].address.marker() is not None


def test_what_is_known_of_deaths_outlives_the_run(tmp_path: Path) -> None:
    class EndOfRun(BaseException):
        pass

    unit = a_unit(tmp_path, 32)
    first = Toy([5])

    def cut(*_: Any) -> Marker:
        raise EndOfRun

    first.division = Division(first.division.items, first.piece, cut)
    with pytest.raises(EndOfRun):
        run_toy(first, [unit])
    made = set(first.tried)
    again = Toy([5])
    run_toy(again, [unit])
    assert not [items for items in again.tried if 5 in items]
    assert not made & set(again.tried)
    marker = unit.address.marker()
    assert marker is not None
    assert marker.record["killed"] == [5]
    assert not (unit.address.folder / "pieces").is_prefix()


def test_a_ledger_that_was_damaged_does_not_count(tmp_path: Path) -> None:
    unit = a_unit(tmp_path, 8)
    (unit.address.folder / "pieces" / "deaths.json").write_bytes(b'["5"')
    toy = Toy([5])
    run_toy(toy, [unit])
    assert toy.joined is not None
    assert toy.joined[1] == (5,)


def test_a_unit_that_cannot_be_divided_is_named(tmp_path: Path) -> None:
    units, toy = [a_unit(tmp_path, 3)], Toy(most=1)
    run = run_of(tmp_path, LoopEngine())
    with pytest.raises(UserError, match=r"each time it computed the same unit \(toys, all\).*engine\.memory"):
        run_units(plan_units("toys", SCOPE, units, run.progress), toy.whole, run, title="toys, all")


def test_a_whole_that_cannot_be_joined_is_named_and_tried_anew(tmp_path: Path) -> None:
    toy = Toy(most=2)

    def heavy(*_: Any) -> Marker:
        raise MemoryError

    toy.division = Division(toy.division.items, toy.piece, heavy)
    with pytest.raises(UserError, match="each time it put together the unit"):
        run_toy(toy, [a_unit(tmp_path, 8)])
    assert files(tmp_path) == {}


def test_a_unit_that_may_fail_is_committed_as_failed(tmp_path: Path) -> None:
    toy = Toy(most=2)

    def heavy(*_: Any) -> Marker:
        raise MemoryError

    def fail(unit: Unit) -> Marker:
        return Work(unit).commit({"sorry": b""}, {"killed": ["all"]})

    toy.division = Division(toy.division.items, toy.piece, heavy, fail=fail)
    unit = a_unit(tmp_path, 8)
    run_toy(toy, [unit])
    assert list(outputs(tmp_path).values()) == [b""]


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    with open_engine(EngineSettings(workers=2)) as engine:
        yield engine


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_die_and_the_run_goes_on(dask: Any, tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()

    def die(name: str) -> None:
        (deaths / f"{name}-{len(list(deaths.iterdir()))}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def whole(unit: Unit) -> Marker:
        if unit.address.unit.endswith("1"):
            die("whole")
        data = "".join(f"{item * item}\n" for item in range(unit.payload["count"])).encode()
        return Work(unit).commit({"squares": data}, {})

    def piece(unit: Unit, items: Items) -> None:
        if 3 in items and unit.address.unit.endswith("1"):
            die(str(len(items)))
        place_of(unit, items).write_bytes("".join(f"{item * item}\n" for item in items).encode())

    def join(unit: Unit, pieces: Sequence[Items], killers: Items) -> Marker:
        data = b"".join(place_of(unit, items).read_bytes() for items in sorted(pieces))
        return Work(unit).commit({"squares": data}, {"killed": list(killers)} if killers else {})

    units = [a_unit(tmp_path / "place", 8, number) for number in range(6)]
    run = run_of(tmp_path / "place", dask)
    division = Division(lambda unit: int(unit.payload["count"]), piece, join)
    result = run_units(plan_units("toys", SCOPE, units, run.progress), whole, run, division=division)
    assert result.made == 6
    for unit in units[:1] + units[2:]:
        # Whoever worked beside a worker that died is as if nothing had been, or was divided.
        marker = unit.address.marker()
        assert marker is not None
        assert marker.record == {"items": 8}
        assert (unit.address.folder / marker.content / "squares").read_bytes() == text(range(8))
    marker = units[1].address.marker()
    assert marker is not None
    assert marker.record["killed"] == [3]
    rest = [item for item in range(8) if item != 3]
    assert (units[1].address.folder / marker.content / "squares").read_bytes() == text(rest)
    died = sorted(path.name.partition("-")[0] for path in deaths.iterdir())
    assert died == ["1", "1", "2", "4", "whole", "whole"]


DRIVER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_division import Toy, a_unit, run_toy

class Mortal(Toy):
    def piece(self, unit, items):
        super().piece(unit, items)
        if len(self.tried) > 8:
            os.kill(os.getpid(), signal.SIGKILL)

run_toy(Mortal([5]), [a_unit(Path(sys.argv[1]), 32)])
"""


def test_a_run_that_is_killed_in_the_midst_of_it_is_taken_up(tmp_path: Path) -> None:
    import subprocess
    import sys

    here = Path(__file__)
    environment = os.environ | {"PYTHONPATH": str(here.parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "a"), str(here.parent)],
        env=environment, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    unit = a_unit(tmp_path / "a", 32)
    known = json.loads((unit.address.folder / "pieces" / "deaths.json").read_bytes())
    assert known
    again = Toy([5])
    run_toy(again, [unit])
    # Nobody who was known to kill is tried as often again.
    assert sum(5 in items for items in again.tried) <= 6 + known["whole"] - sum(known.values())
    run_toy(Toy([5]), [a_unit(tmp_path / "b", 32)])
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b")


class Faulty(Toy):
    """One that runs into a defect for some items."""

    def __init__(self, killers: Sequence[int]) -> None:
        super().__init__(killers)
        self.told: dict[int, str] = {}

    def join(self, unit: Unit, pieces: Sequence[Items], killers: Items) -> Marker:
        self.told = reasons(unit, killers)
        return super().join(unit, pieces, killers)

    def _bear(self, items: Items) -> None:
        if self.killers & set(items):
            raise KeyError("depth")


def test_an_error_that_nobody_expected_is_one_items_reason(tmp_path: Path) -> None:
    toy = Faulty([5])
    run_toy(toy, [a_unit(tmp_path, 12)])
    assert toy.joined is not None
    assert toy.joined[1] == (5,)
    assert toy.told[5].startswith("an error of congeal's own came up each time (KeyError: 'depth', test_")
    marker = a_unit(tmp_path, 12).address.marker()
    assert marker is not None
    assert marker.record["killed"] == [5]  # tried again where engine.retry_failed asks for it


def test_where_every_item_runs_into_it_the_run_ends_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none came through: an error of congeal's own .*KeyError: 'depth'"):
        run_toy(Faulty(range(12)), [a_unit(tmp_path, 12)])


def test_an_error_in_a_unit_that_may_fail_is_its_own_only_beside_others(tmp_path: Path) -> None:
    toy, told = Faulty([5]), []

    def whole(unit: Unit) -> Marker:
        if unit.payload["count"] == 12:
            raise KeyError("depth")
        return make(unit)

    def join(unit: Unit, pieces: Sequence[Items], killers: Items) -> Marker:
        return whole(unit)

    def fail(unit: Unit) -> Marker:
        told.append(reason_of_whole(unit))
        return Work(unit).commit({"why": told[0].encode()}, {"killed": ["it"]})

    division = replace(toy.division, join=join, fail=fail)
    units = [a_unit(tmp_path, 12, 1), a_unit(tmp_path, 3, 2)]
    run = run_of(tmp_path, LoopEngine())
    with pytest.raises(KeyError):
        run_units(plan_units("toys", SCOPE, units[:1], run.progress), whole, run, division=division)
    run_units(plan_units("toys", SCOPE, units, run.progress), whole, run, division=division)
    assert "KeyError: 'depth'" in told[0]
