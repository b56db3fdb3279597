"""Units of a stage in a temporary file, where there are too many to be held in memory."""

from __future__ import annotations

import io
import pickle
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
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


class SpooledUnits(Sequence[Unit[P]], Generic[P]):
    """Units in their order, each read when it is wanted; addresses are in memory.

    The file has no name and goes with the last of those who read it. What several units have in common
    (settings, places) is kept once, as the objects that they are.
    """

    def __init__(self, spool: _Spool) -> None:
        self.addresses: list[UnitAddress] = []
        self._spool = spool
        self._places: list[tuple[int, int]] = []

    @classmethod
    def of(cls, units: Iterable[Unit[P]]) -> SpooledUnits[P]:
        """All of them, one after the other."""
        made = cls(_Spool())
        known: dict[int, int] = {}
        for unit in units:
            buffer = io.BytesIO()
            _Pickler(buffer, made._spool.common, known).dump(unit)
            made._places.append(made._spool.append(buffer.getvalue()))
            made.addresses.append(unit.address)
        return made

    def some(self, positions: Iterable[int]) -> SpooledUnits[P]:
        """Those at some positions, in the same file."""
        part = type(self)(self._spool)
        for position in positions:
            part.addresses.append(self.addresses[position])
            part._places.append(self._places[position])
        return part

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, position: int) -> Unit[P]: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Unit[P]]: ...
    def __getitem__(self, position: int | slice) -> Unit[P] | Sequence[Unit[P]]:
        if isinstance(position, slice):
            return self.some(range(len(self))[position])
        data = self._spool.read(*self._places[position])
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


def addresses(units: Sequence[Unit[P]]) -> list[UnitAddress]:
    """Where the units lie."""
    return units.addresses if isinstance(units, SpooledUnits) else [unit.address for unit in units]


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
