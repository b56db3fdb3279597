"""Digests of what a run left at a destination, and what differs first between two of them.

Only files are read: commit markers, the published version, Parquet, Zarr. So destinations of any build can be
compared. What says when, where and with what a result was made is left out (NOT_COMPARED), nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zarr

MARKER = "_commit.json"
# Fields of records, by the kind of record. Tables and arrays have none: everything in them is compared.
NOT_COMPARED = {
    "marker": (
        "code_version", "host", "python", "platform",  # where and with what
        "started", "seconds", "timings*", "peak_memory_bytes",  # when, how long, at what cost
        "device", "requests*", "read_bytes", "written_bytes",  # … and what was asked of stores
        "record.device", "record.made*",  # the device; seconds and device of each cluster's atlas
        "content", "outputs*", "checksum",  # digests of the files, which are compared themselves, and of it
    ),
    "version": (
        "created", "code_version", "checksum",
        "source",  # where the images lie
        "settings*",  # with what: those that bear on a result are in run_key and in the names of the units
    ),
    "iceberg": (
        "location", "table-uuid", "snapshots.*.manifest-list",  # where: the identifier follows from the place
        "last-updated-ms", "snapshots.*.timestamp-ms", "snapshot-log*", "metadata-log*",  # when
        "snapshots.*.summary.congeal.publication",  # named by a digest that has the time in it
    ),
}  # fmt: skip
# Not read at all: tables/*/metadata/*.avro repeat files and statistics of the tables under absolute URLs, and
# published/current.json is but the name of the version's file; published/cost.json says what a run took.


@dataclass(frozen=True)
class Part:
    """A table, an array, a picture or a record. unit: what tells it from its like, the same in every build.

    path: relative to the destination. digests: by aspect; what a reader would notice first comes first.
    """

    group: str
    unit: str
    path: str
    digests: dict[str, str]


@dataclass(frozen=True)
class Snapshot:
    """Everything that is compared of a destination. root: where it lay."""

    root: str
    parts: tuple[Part, ...]

    def groups(self) -> dict[str, dict[str, Part]]:
        """Parts by group and unit."""
        found: dict[str, dict[str, Part]] = {}
        for part in self.parts:
            found.setdefault(part.group, {})[part.unit] = part
        return found


@dataclass(frozen=True)
class Line:
    """The comparison of a group. count: its parts. difference: what differs first; empty: nothing."""

    group: str
    count: int
    digest: str
    difference: str


def inspect(destination: Path) -> Snapshot:
    """Digests of all committed units and of the published version.

    Raises SystemExit if nothing is published there.
    """
    pointer = destination / "published/current.json"
    if not pointer.is_file():
        raise SystemExit(f"{destination} has no published version: give the destination of a finished run.")
    version = destination / "published/versions" / json.loads(pointer.read_text())["version"]
    number = json.loads(version.read_text())["number"]
    told = {pointer, pointer.with_name("cost.json")}
    plain = [path for folder in (destination, pointer.parent) for path in folder.glob("*.json")]
    described = destination.glob(f"tables/*/metadata/v{number}.metadata.json")
    parts = [
        _record(destination, version, "version", "published/version", ""),
        *(_plain(destination, path, _below(destination, path), "") for path in plain if path not in told),
        *(_record(destination, path, "iceberg", "iceberg", path.parts[-3]) for path in sorted(described)),
    ]
    names: dict[str, dict[str, str]] = {}
    for path in sorted(destination.glob(f"stages/*/*/*/{MARKER}")):
        stage, scope, name = path.parts[-4:-1]
        marker = json.loads(path.read_text())
        names.setdefault(stage, {})[f"{scope}/{name}"] = "committed"
        unit = _unit(marker)
        parts.append(_record(destination, path, "marker", f"{stage}/{MARKER}", unit))
        parts += _outputs(destination, path.parent / marker["content"], marker["outputs"], stage, unit)
    parts += [Part("names of units", stage, "", units) for stage, units in names.items()]
    return Snapshot(str(destination.resolve()), tuple(_numbered(parts)))


def save(snapshot: Snapshot, file: Path) -> None:
    """Keep it as JSON."""
    file.write_text(json.dumps(asdict(snapshot), indent=1) + "\n")


def load(place: Path) -> Snapshot:
    """A snapshot that was kept, or that of a destination."""
    if place.is_dir():
        return inspect(place)
    kept = json.loads(place.read_text())
    return Snapshot(kept["root"], tuple(Part(**part) for part in kept["parts"]))


def compare(before: Snapshot, after: Snapshot) -> list[Line]:
    """A line a group, of both. Where the files are there, a difference is told down to the value."""
    old, new = before.groups(), after.groups()
    lines = []
    for group in sorted(old.keys() | new.keys()):
        here, there = old.get(group, {}), new.get(group, {})
        differing = [unit for unit in (here | there) if _digests(here, unit) != _digests(there, unit)]
        text = ""
        if differing:
            first = differing[0]
            text = _difference(before.root, after.root, here.get(first), there.get(first))
            text = f"{first}: {text}" if first else text
            text += f" ({len(differing)} of {len(here | there)} differ)" if len(here | there) > 1 else ""
        digest = _digest({unit: part.digests for unit, part in sorted((there or here).items())})
        lines.append(Line(group, len(here | there), digest, text))
    return lines


def _unit(marker: Mapping[str, Any]) -> str:
    # By what it is of rather than by its name, so that units are compared even where names differ.
    record = marker["record"]
    ids = record.get("image_ids") or [""]
    return str(record.get("cluster_id") or ids[0])


def _numbered(parts: Iterable[Part]) -> Iterator[Part]:
    """Parts of one group that are of the same thing, told apart by their order."""
    seen: Counter[tuple[str, str]] = Counter()
    for part in parts:
        seen[part.group, part.unit] += 1
        number = seen[part.group, part.unit]
        yield part if number == 1 else replace(part, unit=f"{part.unit} {number}".strip())


def _outputs(root: Path, folder: Path, names: Sequence[str], stage: str, unit: str) -> Iterator[Part]:
    nodes = {name: json.loads((folder / name).read_text()) for name in names if name.endswith("/zarr.json")}
    arrays = [name.removesuffix("zarr.json") for name, node in nodes.items() if node["node_type"] == "array"]
    for name in sorted(names):
        path, group = folder / name, f"{stage}/{name.removesuffix('/zarr.json')}"
        if name in nodes:
            digests = {"metadata": _digest(nodes[name])}
            if nodes[name]["node_type"] == "array":
                inside = [
                    one for one in names if one.startswith(name.removesuffix("zarr.json")) and one != name
                ]
                values = np.asarray(zarr.open_array(path.parent, mode="r")[...])
                digests = {
                    "values": _digest([str(values.dtype), values.shape], values.tobytes()),
                    **digests,
                    "stored bytes": _digest(
                        [(one, _sha((folder / one).read_bytes())) for one in sorted(inside)]
                    ),
                }
            yield Part(group, unit, _below(root, path), digests)
        elif name.endswith(".parquet"):
            table = pq.read_table(path)
            columns = {
                f"column {field.name}": _digest(repr(table.column(index).to_pylist()))
                for index, field in enumerate(table.schema)
            }
            digests = {**columns, "schema": _sha(bytes(table.schema.serialize()))}
            digests["stored bytes"] = _sha(path.read_bytes())
            yield Part(group, unit, _below(root, path), digests)
        elif not any(name.startswith(array) for array in arrays):
            yield _plain(root, path, group, unit)


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _plain(root: Path, path: Path, group: str, unit: str) -> Part:
    return Part(group, unit, _below(root, path), {"bytes": _sha(path.read_bytes())})


def _record(root: Path, path: Path, kind: str, group: str, unit: str) -> Part:
    return Part(group, unit, _below(root, path), {f"{kind} record": _digest(_kept(path, kind))})


def _kept(path: Path, kind: str) -> dict[str, Any]:
    found = _flat(json.loads(path.read_text()))
    left_out = NOT_COMPARED.get(kind, ())
    return {key: value for key, value in found.items() if not any(fnmatchcase(key, p) for p in left_out)}


def _flat(value: Any, before: str = "") -> dict[str, Any]:
    """Nested JSON as one mapping from dotted keys to plain values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    flat: dict[str, Any] = {}
    for key, one in inner:
        flat |= _flat(one, f"{before}{key}.")
    return flat or {before.rstrip("."): value}


def _digests(parts: Mapping[str, Part], unit: str) -> dict[str, str] | None:
    return parts[unit].digests if unit in parts else None


def _difference(old_root: str, new_root: str, old: Part | None, new: Part | None) -> str:
    if old is None or new is None:
        return "only in the second" if old is None else "only in the first"
    aspects = [a for a in (old.digests | new.digests) if old.digests.get(a) != new.digests.get(a)]
    if not old.path:
        gone, come = (sum(a in one.digests for a in aspects) for one in (old, new))
        return f"{gone} names of the first are not in the second, {come} the other way round: {aspects[0]}"
    if aspects == ["stored bytes"]:
        return "the values are the same, but stored in other bytes"
    text = ", ".join(aspects)
    first, second = Path(old_root, old.path), Path(new_root, new.path)
    if not (first.is_file() and second.is_file()):
        return text
    detail = _detail(first, second, aspects[0])
    return f"{text}: {detail}" if detail else text


def _detail(first: Path, second: Path, aspect: str) -> str:
    """The first difference between two files that differ in an aspect."""
    if aspect.endswith(" record"):
        kind = aspect.removesuffix(" record")
        return _first(_kept(first, kind), _kept(second, kind))
    if aspect == "values":
        return _values(*(np.asarray(zarr.open_array(path.parent, mode="r")[...]) for path in (first, second)))
    if aspect == "schema":
        return _first(*(_texts(path) for path in (first, second)))
    if aspect.startswith("column "):
        name = aspect.removeprefix("column ")
        tables = [pq.read_table(path) for path in (first, second)]
        if not all(name in table.column_names for table in tables):
            return "there is one only in one of them"
        return _first(*({f"row {i}": v for i, v in enumerate(t.column(name).to_pylist())} for t in tables))
    if first.suffix == ".json":
        return _first(*(_flat(json.loads(path.read_text())) for path in (first, second)))
    return ""


def _texts(path: Path) -> dict[str, Any]:
    schema = pq.read_schema(path)
    found: dict[str, Any] = {"columns": schema.names, "metadata": schema.metadata}
    for field in schema:
        found |= {f"{field.name}: type": str(field), f"{field.name}: metadata": field.metadata}
    return found


def _first(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    keys = [k for k in {**old, **new} if k not in old or k not in new or repr(old[k]) != repr(new[k])]
    if not keys:
        return ""
    one, other = (repr(found[keys[0]])[:200] if keys[0] in found else "nothing" for found in (old, new))
    return f"{keys[0]}: {one} became {other}; {len(keys)} of {len({**old, **new})} differ"


def _values(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> str:
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"{old.dtype} {old.shape} became {new.dtype} {new.shape}"
    bits = [np.ascontiguousarray(one).reshape(-1, 1).view(np.uint8) for one in (old, new)]
    places = np.flatnonzero((bits[0] != bits[1]).any(1))
    index = tuple(int(i) for i in np.unravel_index(places[0], old.shape))
    by = np.abs(old.ravel()[places].astype(np.float64) - new.ravel()[places].astype(np.float64))
    most = by[np.isfinite(by)].max(initial=0)
    return (
        f"[{', '.join(map(str, index))}]: {old[index]} became {new[index]}; "
        f"{len(places)} of {old.size} differ, by at most {most:.3g}"
    )


def _digest(value: Any, more: bytes = b"") -> str:
    return _sha(json.dumps(value, sort_keys=True).encode() + more)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
