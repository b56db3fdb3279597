"""TPS: the files of landmarks of geometric morphometrics (Rohlf, *The tps series of software*, Hystrix 2015).

A file is text: for every specimen LM=k and k lines of x y, perhaps CURVES= or OUTLINES=, then IMAGE=, ID=,
SCALE= and others. Its y points up from the bottom of the image: here, in reading and in writing, from the
centre of the lowest row of pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles

MISSING = "NA"
MARK = "\ufeff"  # of UTF-8, before the first line
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True)
class Specimen:
    """One specimen as it stands in a file: y up.

    Attributes:
        image: the file's name, or empty.
        landmarks: float64 [k, 2], NaN for a missing one (NA, or both coordinates negative, as tpsDig writes).
        curves: float64 [m, 2] each.
        name: what ID says.
        scale: units per pixel, or None.
        comment: one line, or empty.
        outlines: float64 [m, 2] each.
    """

    image: str
    landmarks: Doubles
    curves: Sequence[Doubles] = ()
    name: str = ""
    scale: float | None = None
    comment: str = ""
    outlines: Sequence[Doubles] = ()


@dataclass(frozen=True)
class Block:
    """A specimen and the lines of the file that it stands on: from ``start`` (its LM=) to before ``end``."""

    specimen: Specimen
    start: int
    end: int


def read(data: bytes) -> list[Specimen]:
    """Read a TPS file. Raises CongealError, naming the line, for anything that is not that."""
    return [block.specimen for block in blocks(split(decoded(data)[0]))]


def write(specimens: Iterable[Specimen]) -> bytes:
    """A TPS file; missing landmarks are written as NA NA, specimens without a name are numbered."""
    lines: list[str] = []
    for number, specimen in enumerate(specimens):
        lines += [*points_of(specimen), *facts_of(specimen, str(number))]
    return ("\n".join(lines) + "\n").encode()


def points_of(specimen: Specimen) -> list[str]:
    """The lines of its landmarks, curves and outlines."""
    lines = [f"LM={len(specimen.landmarks)}", *_coordinates(specimen.landmarks)]
    for key, parts in (("CURVES", specimen.curves), ("OUTLINES", specimen.outlines)):
        if len(parts):
            lines.append(f"{key}={len(parts)}")
            for part in parts:
                lines += [f"POINTS={len(part)}", *_coordinates(part)]
    return lines


def facts_of(specimen: Specimen, name: str) -> list[str]:
    """The lines after them. name: what it is called if it has no name."""
    lines = [f"IMAGE={_line(specimen.image)}", f"ID={_line(specimen.name) or name}"]
    if specimen.scale is not None:
        lines.append(f"SCALE={specimen.scale:.9g}")
    if specimen.comment:
        lines.append(f"COMMENT={_line(specimen.comment)}")
    return lines


def flipped(points: Doubles, height: int) -> Doubles:
    """Points [k, 2] from y up to y down in an image of ``height`` pixels, or back."""
    return np.asarray(points * [1.0, -1.0] + [0.0, height - 1.0])


def decoded(data: bytes) -> tuple[str, str]:
    """The text and its encoding: UTF-8, else what Windows programs write in western countries."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "latin-1"


def split(text: str) -> list[str]:
    """The lines with their ends. Other characters that Python takes for line ends stand in names."""
    return LINE.findall(text)


def blocks(lines: Sequence[str]) -> list[Block]:
    """The specimens in the lines of a file. Raises CongealError, naming the line."""
    numbered = _Lines(line.rstrip("\r\n").removeprefix(MARK) for line in lines)
    found: list[Block] = []
    for number, line in numbered:
        if not line.strip():
            continue
        key, value = _key(number, line)
        if key == "LM3":
            raise CongealError(f"line {number} has landmarks in three dimensions, which images have not")
        if key != "LM":
            raise CongealError(f"line {number} ({line:.40}) comes before any LM=")
        found.append(_block(numbered, number, value))
    if not found:
        raise CongealError("it is no TPS file: there is no LM= in it")
    return found


class _Lines:
    """Numbered lines, of which one can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, 1)
        self._kept: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        return self._kept.pop() if self._kept else next(self._lines)

    def give_back(self, line: tuple[int, str]) -> None:
        self._kept.append(line)


def _block(lines: _Lines, number: int, count: str) -> Block:
    landmarks, last = _points(lines, number, count)
    parts: dict[str, list[Doubles]] = {"CURVES": [], "OUTLINES": []}
    within = "CURVES"
    facts: dict[str, str] = {}
    for here, line in lines:
        if not line.strip():
            continue
        key, value = _key(here, line)
        if key in ("LM", "LM3"):
            lines.give_back((here, line))
            break
        last = here
        if key in parts:
            within = key
        elif key == "POINTS":
            points, last = _points(lines, here, value)
            parts[within].append(points)
        else:
            facts.setdefault(key, value)
    specimen = Specimen(
        facts.get("IMAGE", ""),
        landmarks,
        parts["CURVES"],
        facts.get("ID", "").strip(),
        _scale(facts.get("SCALE")),
        facts.get("COMMENT", "").strip(),
        parts["OUTLINES"],
    )
    return Block(specimen, number - 1, last)


def _points(lines: _Lines, number: int, count: str) -> tuple[Doubles, int]:
    """Points, and the number of the last line of them."""
    count = count.strip()
    if not (count.isascii() and count.isdigit()):
        raise CongealError(f"line {number} counts {count!r:.40}, which is no number")
    points = []
    here = number
    for _ in range(int(count[:18])):
        here, line = next(lines, (number, ""))
        try:
            x, y = (math.nan if part == MISSING else float(part) for part in line.split())
        except ValueError as error:
            raise CongealError(f"line {here} ({line:.40}) is no pair of coordinates") from error
        if math.isinf(x) or math.isinf(y):
            raise CongealError(f"line {here} ({line:.40}) is no pair of coordinates")
        missing = math.isnan(x) or math.isnan(y) or (x < 0 and y < 0)
        points.append((math.nan, math.nan) if missing else (x, y))
    return np.array(points, np.float64).reshape(-1, 2), here


def _key(number: int, line: str) -> tuple[str, str]:
    key, mark, value = line.partition("=")
    if not mark:
        raise CongealError(
            f"line {number} ({line:.40}) is neither a pair of coordinates in place nor KEY=VALUE"
        )
    return key.strip().upper(), value


def _scale(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError as error:
        raise CongealError(f"SCALE={value:.40} is no number") from error


def _coordinates(points: Doubles) -> Iterator[str]:
    for x, y in points.tolist():
        yield f"{MISSING} {MISSING}" if math.isnan(x) or math.isnan(y) else f"{x:.5f} {y:.5f}"


def _line(text: str) -> str:
    """One line; blanks, also two in a row, belong to names."""
    return re.sub(r"[\r\n]+", " ", text)
