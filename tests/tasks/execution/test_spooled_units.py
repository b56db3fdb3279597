"""Many units wait in a file; nobody can tell them from units in memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from congeal.settings import Settings
from infra.storage.location import Location
from tasks.execution.spooled_units import HELD, SpooledUnits, addresses, items_of, some, spooled
from tasks.execution.stage_runner import Unit, address

PLACE, SETTINGS = Location.parse("/there"), Settings()
Payload = tuple[Settings, Location, list[int]]


def units(count: int, size: int = 3) -> Iterator[Unit[Payload]]:
    for number in range(count):
        where = address(PLACE, "atlases", 1, "scope", f"u{number}")
        yield Unit(where, (SETTINGS, PLACE / f"{number}", [number] * size), items=number)


@given(
    count=st.integers(0, 30),
    held=st.integers(0, 40),
    positions=st.lists(st.integers(0, 29), max_size=40),
)
def test_units_are_what_they_were_wherever_they_wait(count: int, held: int, positions: list[int]) -> None:
    wanted = list(units(count))
    found = spooled(units(count), held)
    assert isinstance(found, tuple) == (count <= held)
    assert list(found) == wanted == list(found)
    assert list(addresses(found)) == [unit.address for unit in wanted]
    chosen = [position for position in positions if position < count]
    assert list(some(found, chosen)) == [wanted[position] for position in chosen]
    assert list(some(some(found, chosen), range(len(chosen)))) == [wanted[position] for position in chosen]
    assert list(found[1:-1]) == wanted[1:-1]
    assert len(spooled(found)) == count
    assert items_of(found) == sum(unit.items for unit in wanted)
    assert list(addresses(found)[1:]) == [unit.address for unit in wanted[1:]]


def test_what_units_have_in_common_is_there_once() -> None:
    found = SpooledUnits.of(units(HELD))
    assert all(unit.payload[0] is SETTINGS and unit.address.destination is PLACE for unit in found)


def test_memory_does_not_grow_with_what_units_carry() -> None:
    spooled(units(2))
    gc.collect()
    tracemalloc.start()
    found = spooled(units(2_000, size=2_000))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2_000_000  # of 32 million bytes in all
    assert found[1_999].payload[2] == [1_999] * 2_000
