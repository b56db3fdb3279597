"""Of images that are frames of a video: clip, number and time, as columns of the table of images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from infra.storage.clip_source import FRAME, Clip
from infra.storage.image_source import ImageSource, places_of
from infra.storage.location import Location
from tasks.catalog.own_columns import OwnColumn, OwnColumns
from tasks.execution.duckdb_workspace import insert

if TYPE_CHECKING:
    import duckdb

ORIGIN, TABLE = "frames", "own_frames"
CLIP, FRAME_NUMBER, TIME = "clip", "frame", "time"
_SCHEMA = pa.schema([("key", pa.string()), ("c0", pa.string()), ("c1", pa.int64()), ("c2", pa.float64())])
_DIGITS = re.compile(r"(\d+)")
_BATCH = 20_000


class VideoFrame(NamedTuple):
    """An image that is a frame. clip: of which video. frame: its number, from 0. time: in seconds."""

    uri: str
    clip: str
    frame: int
    time: float


def load_frames(
    connection: duckdb.DuckDBPyConnection,
    source: Location,
    paths: Iterable[str],
    fps: float | None,
    known: Iterable[OwnColumns] = (),
) -> OwnColumns:
    """The columns of frames, in the table `own_frames` of the workspace.

    paths: of the listing. fps: images that are not of a clip are frames, too, of a video for each folder, in
    order of their names, so many a second; None: they are not. known: columns whose names are taken.
    """
    there = {one.name.lower() for own in known for one in own.columns}
    connection.execute(f"CREATE OR REPLACE TABLE {TABLE} (key VARCHAR, c0 VARCHAR, c1 BIGINT, c2 DOUBLE)")
    batch: list[VideoFrame] = []
    count = 0

    def enter() -> None:
        if batch:
            columns = list(zip(*batch, strict=True))
            arrays = [pa.array(list(column), one.type) for column, one in zip(columns, _SCHEMA, strict=True)]
            insert(connection, TABLE, pa.Table.from_arrays(arrays, schema=_SCHEMA))
            batch.clear()

    for one in frames(source, paths, fps):
        batch.append(one)
        count += 1
        if len(batch) == _BATCH:
            enter()
    enter()
    return OwnColumns(
        ORIGIN,
        TABLE,
        rows=count,
        columns=[
            OwnColumn(f"video_{name}" if name in there else name, kind, column)
            for name, kind, column in (
                (CLIP, pa.string(), "c0"),
                (FRAME_NUMBER, pa.int64(), "c1"),
                (TIME, pa.float64(), "c2"),
            )
        ],
    )


def frames(source: Location, paths: Iterable[str], fps: float | None) -> Iterator[VideoFrame]:
    """Every image that is a frame, see `load_frames`."""
    clips = {_lead(source, one): one for one in places_of(source) if isinstance(one, Clip)}
    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        clip = clips.get(folder)
        number = FRAME.fullmatch(name)
        if clip is not None and number is not None:
            index = int(number[1])
            yield VideoFrame(path, clip.name, index, clip.times().seconds(index))
        elif fps is not None:
            folders.setdefault(folder, []).append(path)
    for folder, inside in sorted(folders.items()):
        for index, path in enumerate(in_order(inside)):
            yield VideoFrame(path, folder, index, round(index / (fps or 1.0), 6))


def in_order(names: Sequence[str]) -> list[str]:
    """Names as a person counts: 9 before 10."""
    return sorted(names, key=_counted)


def _counted(name: str) -> tuple[list[tuple[int, str]], str]:
    # Numbers stand at odd places of the split: compared with numbers, text with text.
    parts = _DIGITS.split(name)
    return [(int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts)], name


def _lead(source: Location, clip: Clip) -> str:
    """What stands before the names of a clip's frames."""
    first = not isinstance(source, ImageSource) or clip == source.roots[0]
    return "" if first else clip.url
