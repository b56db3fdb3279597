"""Units of a stage in a temporary file, where there are too many to be held in memory."""

from __future__ import annotations

import io
import pickle
import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import IO, Any, Generic, TypeVar, overload

from infra.ledger.commits import UnitAddress
from infra.settings import Section, ServiceSettings
from infra.storage.location import Location
from tasks.execution.units import Unit

HELD = 1_024  # units up to which they stay in memory
_COMMON = (Section, ServiceSettings, Location)  # what units have in common
_MOST_COMMON = 256

P = TypeVar("P")


class _Spool:
    """A file without a name, closed with whoever reads it; common: what units name by number."""

    def __init__(self) -> None:
        file = tempfile.TemporaryFile(prefix="congeal-")  # noqa: SIM115 - see below
        weakref.finalize(self, file.close)
        self.common: list[object] = []
        self._file = file
        self._end = 0
        self._lock = threading.Lock()

    def append(self, data: bytes) -> tuple[int, int]:
        """Start and size of the data in the file."""
        self._file.write(data)
        self._end += len(data)
        return self._end - len(data), len(data)

    def read(self, start: int, size: int) -> bytes:
        """Some of it; nothing is appended any more."""
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)


class Addresses(Sequence[UnitAddress]):
    """Addresses of many units, which differ in little but the units' names: a tenth of the memory of so many
    objects.
    """

    def __init__(self) -> None:
        self._kinds: list[UnitAddress] = []
        self._kind = array("L")
        self._names: list[str] = []

    def append(self, address: UnitAddress) -> None:
        """One more."""
        last = self._kinds[-1] if self._kinds else None
        if last is None or replace(last, unit=address.unit) != address:
            self._kinds.append(address)
        self._kind.append(len(self._kinds) - 1)
        self._names.append(address.unit)

    def some(self, positions: Iterable[int]) -> Addresses:
        """Those at some positions."""
        part = type(self)()
        part._kinds = self._kinds
        for position in positions:
            part._kind.append(self._kind[position])
            part._names.append(self._names[position])
        return part

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, position: int) -> UnitAddress: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[UnitAddress]: ...
    def __getitem__(self, position: int | slice) -> UnitAddress | Sequence[UnitAddress]:
        if isinstance(position, slice):
            return self.some(range(len(self))[position])
        return replace(self._kinds[self._kind[position]], unit=self._names[position])


class SpooledUnits(Sequence[Unit[P]], Generic[P]):
    """Units in their order, each read when it is wanted; addresses and counts of items are in memory.

    The file has no name and goes with the last of those who read it. What several units have in common
    (settings, places) is kept once, as the objects that they are.
    """

    def __init__(self, spool: _Spool) -> None:
        self.addresses = Addresses()
        self.items = array("L")
        self._spool = spool
        self._starts = array("Q")
        self._sizes = array("L")

    @classmethod
    def of(cls, units: Iterable[Unit[P]]) -> SpooledUnits[P]:
        """All of them, one after the other."""
        made = cls(_Spool())
        known: dict[int, int] = {}
        for unit in units:
            buffer = io.BytesIO()
            _Pickler(buffer, made._spool.common, known).dump(unit)
            made._add(unit.address, unit.items, *made._spool.append(buffer.getvalue()))
        return made

    def _add(self, address: UnitAddress, items: int, start: int, size: int) -> None:
        self.addresses.append(address)
        self.items.append(items)
        self._starts.append(start)
        self._sizes.append(size)

    def some(self, positions: Sequence[int]) -> SpooledUnits[P]:
        """Those at some positions, in the same file."""
        part = type(self)(self._spool)
        part.addresses = self.addresses.some(positions)
        for position in positions:
            part.items.append(self.items[position])
            part._starts.append(self._starts[position])
            part._sizes.append(self._sizes[position])
        return part

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, position: int) -> Unit[P]: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Unit[P]]: ...
    def __getitem__(self, position: int | slice) -> Unit[P] | Sequence[Unit[P]]:
        if isinstance(position, slice):
            return self.some(range(len(self))[position])
        data = self._spool.read(self._starts[position], self._sizes[position])
        unit: Unit[P] = _Unpickler(io.BytesIO(data), self._spool.common).load()
        return unit

    def __iter__(self) -> Iterator[Unit[P]]:
        return (self[position] for position in range(len(self)))


def spooled(units: Iterable[Unit[P]], held: int = HELD) -> Sequence[Unit[P]]:
    """Units as a sequence: a tuple of a few, many in a file. Raises what the units do."""
    if isinstance(units, SpooledUnits | tuple):
        return units
    following = iter(units)
    first = tuple(islice(following, held + 1))
    return first if len(first) <= held else SpooledUnits.of(chain(first, following))


def addresses(units: Sequence[Unit[P]]) -> Sequence[UnitAddress]:
    """Where the units lie."""
    return units.addresses if isinstance(units, SpooledUnits) else [unit.address for unit in units]


def items_of(units: Sequence[Unit[P]]) -> int:
    """How many items they hold."""
    return sum(units.items if isinstance(units, SpooledUnits) else (unit.items for unit in units))


def some(units: Sequence[Unit[P]], positions: Sequence[int]) -> Sequence[Unit[P]]:
    """Units at some positions."""
    if isinstance(units, SpooledUnits):
        return units.some(positions)
    return tuple(units[position] for position in positions)


class _Pickler(pickle.Pickler):
    """Names what units have in common by its number."""

    def __init__(self, file: IO[bytes], common: list[object], known: dict[int, int]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._common = common
        self._known = known

    def persistent_id(self, thing: Any) -> int | None:
        if not isinstance(thing, _COMMON):
            return None
        number = self._known.get(id(thing))
        if number is None and len(self._common) < _MOST_COMMON:
            # The list holds it, so that nothing else gets its id.
            number = self._known[id(thing)] = len(self._common)
            self._common.append(thing)
        return number


class _Unpickler(pickle.Unpickler):
    """Of what this process has written, to a file that nobody else can open."""

    def __init__(self, file: IO[bytes], common: list[object]) -> None:
        super().__init__(file)
        self._common = common

    def persistent_load(self, number: Any) -> object:
        return self._common[number]
