"""Units of work and their markers: what is done, with what outputs. Nothing else is the ledger.

Outputs lie in a folder named by their own content, and the marker, written last and only if absent, names the
folder that counts; so runs at once cannot mix, and a run that was killed leaves nothing that anyone reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from congeal_floors.plurals import counted
from infra.errors import DamagedError, MissingError, UserError
from infra.ledger.provenance import Provenance
from infra.ledger.sealed_text import opened_text, sealed_text
from infra.storage import near_copies
from infra.storage.location import Location
from infra.storage.seals import BLOCK, below, block_sums, damaged
from infra.storage.usage import Usage
from infra.threads import in_threads, run_in_threads

LAYOUT = 2
CHECKED = 2  # from this layout on, records carry a checksum of themselves
MARKER = "_commit.json"
MARKERS = 4096  # whose outputs a process remembers
_WRITERS = 16
P = TypeVar("P")
R = TypeVar("R")


def digest(*parts: Any, length: int = 32) -> str:
    """``length`` hex digits (even, at most 128) of blake2b over ``parts`` as canonical JSON.

    Parts are JSON values, also nested; a tuple counts as a list. Numbers that are equal but of different
    types (1, 1.0) differ. Raises ``TypeError`` for anything else and ``ValueError`` for NaN.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=length // 2).hexdigest()


def digest_of_list(items: Iterable[Any]) -> str:
    """What ``digest`` says of a list of these items; one of them is in memory at a time."""
    found = hashlib.blake2b(b"[[", digest_size=16)
    for number, item in enumerate(items):
        text = json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        found.update(("," if number else "").encode() + text.encode("utf-8", "surrogatepass"))
    found.update(b"]]")
    return found.hexdigest()


class Frozen(BaseModel):
    """A stored record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OutputFile(Frozen):
    """Size in bytes and hex SHA-256 of one output; blocks: see `infra.storage.seals`, "": not known."""

    bytes: int
    sha256: str
    blocks: str = ""

    @classmethod
    def of(cls, path: str, data: Any) -> OutputFile:
        """Of an output's bytes. Chunks of arrays carry sums of their parts themselves."""
        parts = len(data) > BLOCK and ".zarr/" not in path
        return cls(
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            blocks=block_sums(data) if parts else "",
        )

    @model_serializer(mode="wrap")
    def _without_nothing(self, default: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in default(self).items() if value != ""}


class Marker(Frozen):
    """Proof that a unit is done. outputs: by path relative to the content folder.

    record: small facts that later stages need, the same in every run. From ``code_version`` on: how it was
    made, which differs from run to run; started: UTC; seconds, timings: wall time; requests: to stores, by
    protocol and kind. What earlier versions did not note is absent.
    """

    layout: int
    stage: str
    stage_version: int
    scope: str
    unit: str
    content: str
    outputs: dict[str, OutputFile]
    record: dict[str, Any]
    code_version: str
    host: str
    python: str
    platform: str
    started: str
    seconds: float
    timings: dict[str, float]
    peak_memory_bytes: int
    device: str = ""
    requests: dict[str, dict[str, int]] = {}
    read_bytes: int = 0
    written_bytes: int = 0

    @property
    def used(self) -> Usage:
        """What was asked of stores."""
        return Usage(self.requests, self.read_bytes, self.written_bytes)


@dataclass(frozen=True)
class UnitAddress:
    """Where a unit of work lies."""

    destination: Location
    stage: str
    stage_version: int
    scope: str
    unit: str

    @property
    def folder(self) -> Location:
        """The folder of the unit's marker and outputs."""
        return _unit_folder(self.destination, self.stage, self.scope, self.unit)

    def marker(self) -> Marker | None:
        """The unit's marker; None if it is not done; ``DamagedError`` if it is not what was written."""
        marker = _read_marker(self.folder / MARKER, self.stage, self.scope, self.unit)
        if marker is not None and marker.stage_version != self.stage_version:
            raise _damaged(self.folder / MARKER, f"it is of version {marker.stage_version} of its stage")
        return marker


def commit_unit(
    address: UnitAddress, outputs: Mapping[str, bytes], record: Mapping[str, Any], provenance: Provenance
) -> Marker:
    """Write ``outputs`` (relative path → bytes), then the marker; the marker that counts is returned.

    If another run was first, that is its marker, and what this one wrote is removed unless it is the same.
    """
    files = {path: OutputFile.of(path, data) for path, data in sorted(outputs.items())}
    marker = Marker(
        layout=LAYOUT,
        stage=address.stage,
        stage_version=address.stage_version,
        scope=address.scope,
        unit=address.unit,
        content=content_of(files),
        outputs=files,
        record=dict(record),
        **vars(provenance),
    )
    folder = address.folder / marker.content

    def put(path: str) -> None:
        (folder / path).write_bytes(outputs[path])
        near_copies.keep(files[path].sha256, outputs[path], folder.protocol)

    run_in_threads(put, files, threads=_WRITERS)
    text = _encoded(marker)
    place = address.folder / MARKER
    if place.put_if_absent(text):
        near_copies.keep(near_name(address), text, folder.protocol)
        return marker
    try:
        first = address.marker()
    except DamagedError:
        first = None
    if first is None:
        place.write_bytes(text)
        return marker
    if first.content != marker.content:
        folder.delete()
    return first


def rewrite_unit(
    destination: Location, marker: Marker, changed: Mapping[str, bytes | None], record: Mapping[str, Any]
) -> Marker:
    """Replace outputs of a unit (None: one that goes) and its record; all else of its marker stays.

    Nobody else may be at work. The new outputs are there before the marker names them, and the old ones go
    after that, so that the unit is whole whenever this is killed.
    """
    old = outputs_location(destination, marker)
    kept = {path: file for path, file in marker.outputs.items() if path not in changed}
    new = {path: OutputFile.of(path, data) for path, data in changed.items() if data is not None}
    files = dict(sorted((kept | new).items()))
    after = marker.model_copy(update={"outputs": files, "content": content_of(files), "record": dict(record)})
    folder = outputs_location(destination, after)
    if after.content != marker.content:

        def put(path: str) -> None:
            data = changed.get(path)
            (folder / path).write_bytes((old / path).read_bytes() if data is None else data)

        run_in_threads(put, files, threads=_WRITERS)
    place = _unit_folder(destination, marker.stage, marker.scope, marker.unit) / MARKER
    place.write_bytes(_encoded(after))
    if after.content != marker.content:
        old.delete()
    return after


def outputs_location(place: UnitAddress | Location, marker: Marker) -> Location:
    """The folder of the outputs that ``marker`` names; ``place``: the unit's address or the destination.

    What is read there is checked: it is what the marker names, or ``DamagedError``.
    """
    destination = place.destination if isinstance(place, UnitAddress) else place
    folder = _unit_folder(destination, marker.stage, marker.scope, marker.unit) / marker.content
    return folder.sealed(marker.outputs)


def sealed(place: Location) -> Location:
    """A place in a unit's outputs, by its path alone, so that what is read there is checked.

    The marker is read once a process. Raises ``MissingError`` if the unit is gone, or has other outputs.
    """
    home, mark, path = place.url.partition("/stages/")
    parts = path.split("/", 4)
    if place.seals or not mark or len(parts) < 4:
        return place
    stage, scope, unit, content, *inner = parts
    seals = _outputs(Location(home, place.options), stage, f"{scope}/{unit}", content)
    return place.sealed(below(seals, inner[0]) if inner else seals)


@lru_cache(maxsize=MARKERS)
def _outputs(destination: Location, stage: str, unit_path: str, content: str) -> Mapping[str, OutputFile]:
    marker = near_marker(destination, stage, unit_path)
    if marker is None or marker.content != content:
        raise MissingError(
            f"The outputs {content} of {destination}/stages/{stage}/{unit_path} vanished while they were "
            "used: run again."
        )
    return marker.outputs


def find_marker(destination: Location, stage: str, unit_path: str) -> Marker | None:
    """The marker of ``"scope/unit"``; None if it is not done."""
    scope, _, unit = unit_path.partition("/")
    return _read_marker(_unit_folder(destination, stage, scope, unit) / MARKER, stage, scope, unit)


def near_marker(destination: Location, stage: str, unit_path: str) -> Marker | None:
    """The same; of a unit that this run has committed on this machine, as it did."""
    scope, _, unit = unit_path.partition("/")
    near = None
    if near_copies.active() is not None:
        near = near_copies.read(near_name(UnitAddress(destination, stage, 0, scope, unit)))
    if near is None:
        return find_marker(destination, stage, unit_path)
    return _parsed(_unit_folder(destination, stage, scope, unit) / MARKER, near, stage, scope, unit)


def check_unit(destination: Location, marker: Marker, deep: bool = False) -> list[str]:
    """What is wrong with a unit's outputs, a sentence each: missing, another size, (deep) other bytes."""
    folder = outputs_location(destination, marker)

    def fault(path: str) -> str | None:
        place, expected = folder / path, marker.outputs[path]
        try:
            if deep:
                place.read_bytes()
            elif (size := place.size()) != expected.bytes:
                return str(damaged(place.url, f"it has {counted(size, 'byte')} instead of {expected.bytes}"))
        except MissingError:
            return str(damaged(place.url, "it is missing"))
        except DamagedError as error:
            return str(error)
        return None

    faults = [found for found in in_threads(fault, sorted(marker.outputs)) if found]
    if marker.content != content_of(marker.outputs):
        faults.append(f"{folder} is not named by the digest of its outputs.")
    return faults


def content_of(files: Mapping[str, OutputFile]) -> str:
    """The digest of outputs by path: the name of the folder that holds them."""
    return digest(sorted((path, file.sha256) for path, file in files.items()), length=16)


def newer(place: Location, layout: int) -> UserError:
    """The error for something that a newer congeal wrote."""
    return UserError(f"{place} was written by a newer congeal (layout {layout}): upgrade congeal to read it.")


def _unit_folder(destination: Location, stage: str, scope: str, unit: str) -> Location:
    return destination / f"stages/{stage}/{scope}/{unit}"


def near_name(address: UnitAddress) -> str:
    """What a near copy of a unit's marker is called."""
    return "marker-" + digest(address.destination.url, address.stage, address.scope, address.unit)


def _encoded(record: Frozen) -> bytes:
    return sealed_text(record.model_dump(mode="json"))


def _read_marker(place: Location, stage: str, scope: str, unit: str) -> Marker | None:
    try:
        data = place.read_bytes()
    except MissingError:
        return None
    return _parsed(place, data, stage, scope, unit)


def _parsed(place: Location, data: bytes, stage: str, scope: str, unit: str) -> Marker:
    try:
        text, checked = opened_text(data)
        marker = Marker.model_validate_json(text)
    except ValueError as fault:
        raise _damaged(place, "it is not the record that was written") from fault
    if marker.layout > LAYOUT:
        raise newer(place, marker.layout)
    if marker.layout >= CHECKED and not checked:
        raise _damaged(place, "it has lost its checksum")
    if (marker.stage, marker.scope, marker.unit) != (stage, scope, unit):
        raise _damaged(place, f"it names the unit {marker.stage}/{marker.scope}/{marker.unit}")
    return marker


def _damaged(place: Location, what: str) -> DamagedError:
    return damaged(place.url, what)
