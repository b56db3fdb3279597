"""Points in a CSV file, carried from one image to others."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.settings import StorageSettings
from infra.storage.location import Location

COLUMNS = ("x", "y")
MAPS = ".npz"  # how files of maps end that `congeal fit` writes


@dataclass(frozen=True)
class Points:
    """A CSV file: its header, its rows, all text as it stands there, and where x and y are in them."""

    header: list[str]
    rows: list[list[str]]
    x: int
    y: int

    def xy(self) -> list[tuple[float, float]]:
        """The points."""
        return [(float(row[self.x]), float(row[self.y])) for row in self.rows]


def carry(
    collection: Any,
    source: str,
    targets: Sequence[str],
    points: Location,
    storage: StorageSettings | None = None,
    *,
    instances: bool = False,
    from_instance: int = 0,
) -> tuple[dict[str, Any], str]:
    """The rows of the CSV file with x and y in the target instead, and confidence and visible.

    Other columns are carried along as they are: where one has a name that is needed here, the new one is
    called carried_… instead. A source or target may be a file of maps that `congeal fit` wrote; storage: how
    such files are reached. With several targets, or "all", the rows come once for each, after a column
    target. instances: to every instance in each target, after the columns target and instance_id;
    from_instance: the one in the source that the points are on. Returns the facts and the CSV text.
    """
    table = read_points(points)
    target: str | Sequence[str] = targets[0] if len(targets) == 1 else list(targets)
    if "all" in targets and len(targets) > 1:
        raise UserError("Say --to all, or name the images; not both.")
    xy = table.xy()
    given = xy or [[0.0, 0.0]][:0]
    from_files = any(name.endswith(MAPS) for name in (source, *targets))
    if from_files and (instances or from_instance):
        raise UserError("A file of maps is of one thing: --instances and --from-instance go without it.")
    if instances or from_instance:
        moved = collection.transfer_to_instances(source, given, target, instance=from_instance)
        if not instances:
            moved = moved[moved["instance_id"] == 0].drop(columns=["instance_id"])
            moved = moved if len(targets) > 1 or "all" in targets else moved.drop(columns=["target"])
    elif from_files:
        moved = _through_files(collection, source, given, targets, storage)
    else:
        moved = collection.transfer(source, given, target)
    several = "target" in moved
    before = ["target", "instance_id"] if instances else ["target"] if several else []
    taken = {name.strip().casefold() for name in table.header}
    *first, confidence, visible = (_free(name, taken) for name in (*before, "confidence", "visible"))
    header = [*first, *table.header, confidence, visible]
    rows: list[list[Any]] = []
    for number, found in enumerate(moved.to_dict("records")):
        row: list[Any] = list(table.rows[number % len(xy)])
        row[table.x], row[table.y] = float(found["x"]), float(found["y"])
        rows.append(
            [
                *(found[name] for name in before),
                *row,
                float(found["confidence"]),
                bool(found["visible"]),
            ]
        )
    facts: dict[str, Any] = {"from": source, "to": target, "points": len(rows)}
    facts["visible"] = int(moved["visible"].sum())
    facts["doubtful"] = _is_doubtful(collection, source)
    names = _distinct(header)
    facts["rows"] = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if _plain(value) is None else value for value in row] for row in rows])
    return facts, text.getvalue()


def _is_doubtful(collection: Any, source: str) -> bool:
    """Whether the maps of an image's cluster are not borne out by matching; a file of maps does not say."""
    from congeal.results.outlier_counts import is_doubtful

    if source.endswith(MAPS):
        return False
    cluster = collection.find(source)["cluster_id"]
    rows = collection.table("clusters", as_="arrow").to_pylist()
    return any(is_doubtful(row) for row in rows if row["cluster_id"] == cluster)


def _through_files(
    collection: Any,
    source: str,
    points: Sequence[Sequence[float]],
    targets: Sequence[str],
    storage: StorageSettings | None,
) -> Any:
    """As `Collection.transfer`, where some of the images are files of maps."""
    import numpy as np
    import pandas as pd

    from congeal.results.new_images import read_maps
    from congeal.transfer.points import transfer

    if "all" in targets:
        raise UserError("A file of maps goes to images that are named: give them with --to.")

    def maps_of(name: str) -> tuple[Any, str]:
        if name.endswith(MAPS):
            return read_maps(Location.parse(name, storage).read_bytes())
        return collection.maps(name), collection.find(name)["cluster_id"]

    start, cluster = maps_of(source)
    parts = []
    for name in targets:
        end, other = maps_of(name)
        if other != cluster:
            raise UserError(
                f"{source} is of cluster {cluster} and {name} of {other}: no correspondence exists "
                "between them."
            )
        moved = transfer(np.asarray(points, np.float64).reshape(-1, 2), start, end)
        part = pd.DataFrame({"x": moved.xy[:, 0], "y": moved.xy[:, 1]})
        part["confidence"], part["visible"] = moved.confidence, moved.visible
        if len(targets) > 1:
            part.insert(0, "target", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def read_points(place: Location) -> Points:
    """A CSV file with the numeric columns x and y (any case of the header).

    Raises UserError, naming file and row, for everything that is not that.
    """
    if not place.exists():
        raise UserError(f"The file {place} does not exist: check --points.")
    try:
        text = place.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The file {place} is no CSV with a header: {error}.") from error
    header, rows = _table(place, text)
    where = {}
    for name in COLUMNS:
        same = [number for number, column in enumerate(header) if column.strip().lower() == name]
        if not same:
            raise UserError(f"The file {place} has no column {name}: its header must name x and y.")
        if len(same) > 1:
            raise UserError(
                f"The file {place} has {counted(len(same), 'column')} called {name}: one of them must go."
            )
        where[name] = same[0]
        header[same[0]] = name
    for number, row in enumerate(rows, 1):
        for name, column in where.items():
            if not _finite(row[column]):
                raise UserError(
                    f"The file {place} has {name}={row[column]!r} in row {number}: it must be a number."
                )
    return Points(header, rows, where["x"], where["y"])


def _table(place: Location, text: str) -> tuple[list[str], list[list[str]]]:
    # Blanks after a comma belong to a text, unless a quotation mark follows: then they must be skipped.
    for skip in (False, True):
        try:
            lines = csv.reader(io.StringIO(text, newline=""), skipinitialspace=skip, strict=True)
            header, *rows = [line for line in lines if line] or [[]]
        except csv.Error as error:
            raise UserError(f"The file {place} is no CSV with a header: {error}.") from error
        wrong = next(((n, row) for n, row in enumerate(rows, 1) if len(row) != len(header)), None)
        if wrong is None:
            break
    if not header:
        raise UserError(f"The file {place} is no CSV with a header: it is empty.")
    if wrong is not None:
        raise UserError(
            f"The file {place} has {len(wrong[1])} fields in row {wrong[0]} and {len(header)} in its header: "
            "each field needs a name."
        )
    return header, rows


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _free(name: str, taken: set[str]) -> str:
    """The name, or one that no column has."""
    while name in taken:
        name = f"carried_{name}"
    taken.add(name)
    return name


def _distinct(header: Sequence[str]) -> list[str]:
    """The names, the second of one name called name_2: a record has each name once."""
    names: list[str] = []
    for name in header:
        number, given = 1, name
        while given in names:
            number += 1
            given = f"{name}_{number}"
        names.append(given)
    return names


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def fresh(out: Location, points: Location, destination: Location, overwrite: bool) -> Location:
    """The file to write; UserError if that would replace what was given, or what is there unless asked to."""
    if out.contains(points):
        raise UserError(f"--out is the file of --points, {points}: write to another.")
    if destination.contains(out):
        raise UserError(f"The file {out} would lie in the destination {destination}: write somewhere else.")
    if out.exists() and not overwrite:
        raise UserError(f"The file {out} is there already: name another, or say --overwrite.")
    return out
