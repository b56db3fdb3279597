"""DeepLabCut's labels, CollectedData_SCORER.csv: a row a frame, an x and a y for every body part.

Three header rows name scorer, body part and coordinate of every column, four with the individual. The frame's
path stands in the first column, or its parts in the first three. A cell that is empty is not labelled. Places
count from the centre of the top-left pixel, as Congeal's do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from congeal.errors import CongealError
from congeal.transfer.annotations import FIRST, OWN, Annotation
from congeal.transfer.formats.csv_text import Record, joined, line_end, quoted, records
from congeal.transfer.formats.frame_names import FrameNames, parts_of
from congeal.transfer.formats.labels import Entry, Size, encoded, with_lines
from congeal.transfer.formats.tps import decoded
from congeal_floors.plurals import counted

CATEGORY = "animal"  # where the file names no individuals
NOBODY = "single"  # whose body parts are of no individual: corners of the arena, for example
HEADER = ("scorer", "individuals", "bodyparts", "coords")
COORDINATES = ("x", "y", "likelihood")
EMPTY = {"", "nan", "na", "n/a", "#n/a", "null", "none", "<na>"}


@dataclass(frozen=True)
class Part:
    """A body part of an individual, and the columns of its x, its y and, if there is one, its likelihood."""

    name: str
    x: int
    y: int
    likelihood: int | None = None


@dataclass(frozen=True)
class Header:
    """rows: as they stand. index: how many columns name the frame. parts: by individual, in their order."""

    rows: Sequence[Record]
    index: int
    parts: Mapping[str, Sequence[Part]]

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.rows[-1].cells)


@dataclass(frozen=True)
class DeepLabCutFile:
    """text: the file. encoding: of it. frames: its rows below the header."""

    text: str
    encoding: str
    header: Header
    frames: Sequence[Record]

    @property
    def images(self) -> Mapping[str, Size | None]:
        """Every frame that the file names; it says no sizes."""
        return {self._name(frame): None for frame in self.frames}

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """The individuals on each frame as things with keypoints.

        A frame without any label waits to be filled; on one with labels, who has none is absent.
        """
        found: list[Entry] = []
        seen: dict[tuple[str, ...], int] = {}
        for frame in self.frames:
            image = self._name(frame)
            first = seen.setdefault(tuple(parts_of(image)), frame.line)
            marks = [self._entry(frame, image, who, parts) for who, parts in self.header.parts.items()]
            marked = [one for one in marks if one.annotation is not None and not one.annotation.empty]
            if first != frame.line:
                problem = f"the frame has a row already, in line {first}"
                found += [replace(one, annotation=None, problems=[problem]) for one in marked]
            elif not marked and not any(one.problems for one in marks):
                name = f"the frame in line {frame.line}"
                found.append(Entry(name, image, Annotation(image, CATEGORY), waiting=True))
            else:
                found += [replace(one, absent=one not in marked and not one.problems) for one in marks]
        return found

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """The file with what is carried: see `congeal.transfer.formats.labels.LabelFile`.

        A frame without labels is filled; other frames are added at the end, named as the file names its own.
        What lies off the image stays empty. Cells that were filled stay as they are written.
        """
        filled, added = self._sorted(carried, found)
        end = line_end(self.text)
        pieces: list[str] = []
        done = 0
        for number, ones in filled.items():
            frame = self.frames[number]
            pieces += [self.text[done : frame.start], joined(self._filled(frame, ones))]
            done = frame.end
        text = "".join([*pieces, self.text[done:]])
        names = self._names(found)
        rows = [
            joined([*map(quoted, names.cells(uri, self.header.index)), *self._cells(ones)])
            for uri, ones in added.items()
        ]
        return encoded(with_lines(text, rows, end), self.encoding, "a frame")

    def likelihoods(self, carried: Iterable[Annotation], found: Mapping[str, str]) -> bytes:
        """The same rows with a likelihood beside every x and y, as DeepLabCut writes its own predictions.

        It is 1 where a person has labelled, unless the file itself says another, and the confidence where
        something was carried.
        """
        filled, added = self._sorted(carried, found)
        parts = [part for parts in self.header.parts.values() for part in parts]
        index = self.header.index
        lines = [
            joined(
                map(quoted, [*row.cells[:index], *(row.cells[part.x] for part in parts for _ in COORDINATES)])
            )
            for row in self.header.rows[:-1]
        ]
        coords = [*self.header.rows[-1].cells[: self.header.index], *COORDINATES * len(parts)]
        lines.append(joined(coords))
        for number, frame in enumerate(self.frames):
            cells = self._filled(frame, filled.get(number, []))
            values = self._likelihoods(cells, filled.get(number, []))
            lines.append(joined([*cells[: self.header.index], *values]))
        names = self._names(found)
        blank = [""] * self.header.index
        for uri, ones in added.items():
            values = self._likelihoods([*blank, *self._cells(ones)], ones)
            lines.append(joined([*map(quoted, names.cells(uri, self.header.index)), *values]))
        return ("\n".join(lines) + "\n").encode()

    def _name(self, frame: Record) -> str:
        return "/".join(cell for cell in frame.cells[: self.header.index] if cell)

    def _names(self, found: Mapping[str, str]) -> FrameNames:
        return FrameNames(found, [frame.cells[: self.header.index] for frame in self.frames])

    def _entry(self, frame: Record, image: str, who: str, parts: Sequence[Part]) -> Entry:
        name = f"{who or 'the labels'} in line {frame.line}"
        points = np.full((len(parts), 2), np.nan)
        sure = np.ones(len(parts))
        problems: list[str] = []
        cells = [*frame.cells, *[""] * (self.header.width - len(frame.cells))]
        for number, part in enumerate(parts):
            try:
                x, y = _number(cells[part.x]), _number(cells[part.y])
                likelihood = 1.0 if part.likelihood is None else _number(cells[part.likelihood])
            except ValueError as error:
                problems.append(f"{part.name} has {error}, which is no number")
                continue
            if math.isnan(x) != math.isnan(y):
                problems.append(f"{part.name} has an x or a y alone")
            elif not math.isnan(x):
                points[number] = x, y
                sure[number] = 1.0 if math.isnan(likelihood) else min(max(likelihood, 0.0), 1.0)
        annotation = Annotation(image, who or CATEGORY, instances=FIRST if who == NOBODY else OWN)
        if np.isfinite(points).any():
            annotation = replace(
                annotation,
                keypoints=points,
                keypoint_names=tuple(part.name for part in parts),
                keypoint_confidence=sure if any(part.likelihood is not None for part in parts) else None,
            )
        return Entry(name, image, annotation, problems)

    def _sorted(
        self, carried: Iterable[Annotation], found: Mapping[str, str]
    ) -> tuple[dict[int, list[Annotation]], dict[str, list[Annotation]]]:
        """What is carried to frames that the file has, by their number, and to others, by their path."""
        own: dict[str, int] = {}
        for number, frame in enumerate(self.frames):
            own.setdefault(found.get(self._name(frame), ""), number)
        filled: dict[int, list[Annotation]] = {}
        added: dict[str, list[Annotation]] = {}
        for one in carried:
            if one.place:  # an individual is one
                continue
            if one.image in own:
                filled.setdefault(own[one.image], []).append(one)
            else:
                added.setdefault(one.image, []).append(one)
        return dict(sorted(filled.items())), added

    def _filled(self, frame: Record, ones: Sequence[Annotation]) -> list[str]:
        missing = [""] * (self.header.width - len(frame.cells))
        said, cells = [*frame.cells, *missing], [*frame.written, *missing]
        for column, value in enumerate(self._cells(ones), self.header.index):
            if value and _blank(said[column]):
                cells[column] = value
        return cells

    def _cells(self, ones: Sequence[Annotation]) -> list[str]:
        """The columns after those that name the frame."""
        cells = [""] * self.header.width
        for part, (x, y), sure in self._placed(ones):
            cells[part.x], cells[part.y] = f"{x:.3f}", f"{y:.3f}"
            if part.likelihood is not None:
                cells[part.likelihood] = f"{sure:.4f}"
        return cells[self.header.index :]

    def _likelihoods(self, cells: Sequence[str], ones: Sequence[Annotation]) -> list[str]:
        sure = {part.x: f"{value:.4f}" for part, _, value in self._placed(ones)}
        values: list[str] = []
        for parts in self.header.parts.values():
            for part in parts:
                x, y = cells[part.x], cells[part.y]
                own = "" if part.likelihood is None else cells[part.likelihood]
                missing = _blank(x) or _blank(y)
                values += [x, y, "" if missing else sure.get(part.x, own or "1")]
        return values

    def _placed(self, ones: Sequence[Annotation]) -> list[tuple[Part, tuple[float, float], float]]:
        """Body parts, where they were carried to and how surely; not those that lie off the image."""
        found = []
        for one in ones:
            if one.keypoints is None or one.keypoint_confidence is None:
                continue
            named = one.category in self.header.parts
            parts = self.header.parts[one.category if named else ""]
            for part, (x, y), sure in zip(
                parts, one.keypoints.tolist(), one.keypoint_confidence.tolist(), strict=True
            ):
                if sure > 0 and math.isfinite(x) and math.isfinite(y):
                    found.append((part, (x, y), sure))
        return found


def read(data: bytes) -> DeepLabCutFile:
    """Read a file. Raises CongealError, naming the line, for anything that is not that."""
    text, encoding = decoded(data)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    found = records(text, len(mark))
    head = 0
    while head < len(found) and found[head].cells[0].strip().casefold() in HEADER:
        head += 1
    named = tuple(record.cells[0].strip().casefold() for record in found[:head])
    if named not in (HEADER, tuple(one for one in HEADER if one != "individuals")):
        raise CongealError(
            "it is no DeepLabCut file: its first rows begin with scorer, bodyparts and coords, for several "
            "animals with individuals after scorer, and cells are divided by commas"
        )
    frames = found[head:]
    header = _header(found[:head])
    for frame in frames:
        if len(frame.cells) > header.width and any(cell.strip() for cell in frame.cells[header.width :]):
            raise CongealError(
                f"line {frame.line} has {counted(len(frame.cells), 'cell')} and its header {header.width}"
            )
    if not frames:
        raise CongealError("it names no frames: there are no rows below its header")
    return DeepLabCutFile(text, encoding, header, frames)


def _header(rows: Sequence[Record]) -> Header:
    width = len(rows[-1].cells)
    levels = [[cell.strip() for cell in row.cells] for row in rows]
    for row, level in zip(rows, levels, strict=True):
        if len(level) != width:
            raise CongealError(
                f"line {row.line} has {counted(len(level), 'cell')} and line {rows[-1].line} "
                f"{width}: header rows are "
                "to be of one length"
            )
    coords = [cell.casefold() for cell in levels[-1]]
    index = next((n for n in range(1, width) if levels[-2][n]), width)
    columns: dict[tuple[str, str], dict[str, int]] = {}
    for column in range(index, width):
        who = levels[1][column] if len(rows) == len(HEADER) else ""
        if coords[column] not in COORDINATES:
            continue
        part = columns.setdefault((who, levels[-2][column]), {})
        if coords[column] in part:
            of = f" of {who}" if who else ""
            raise CongealError(f"two columns are the {coords[column]} of {levels[-2][column]!r}{of}")
        part[coords[column]] = column
    parts: dict[str, list[Part]] = {}
    for (who, name), places in columns.items():
        if "x" not in places or "y" not in places:
            raise CongealError(f"the body part {name!r} has no column {'y' if 'x' in places else 'x'}")
        parts.setdefault(who, []).append(Part(name, places["x"], places["y"], places.get("likelihood")))
    if not parts:
        raise CongealError("its header names no body part with an x and a y")
    return Header(rows, index, parts)


def _blank(cell: str) -> bool:
    return cell.strip().casefold() in EMPTY


def _number(cell: str) -> float:
    """NaN for an empty cell. Raises ValueError, with what it says, for anything but a finite number."""
    if _blank(cell):
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value) or "_" in cell:
        raise ValueError(repr(cell[:40]))
    return value
