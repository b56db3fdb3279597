"""TPS: the files of landmarks of geometric morphometrics (Rohlf, *The tps series of software*, Hystrix 2015).

A file is text: for every specimen LM=k and k lines of x y, perhaps CURVES=, then IMAGE=, ID=, SCALE= and
others. Its y points up from the bottom of the image: here, in reading and in writing, from the centre of the
lowest row of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError

Doubles = npt.NDArray[np.float64]

MISSING = "NA"


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
    """

    image: str
    landmarks: Doubles
    curves: Sequence[Doubles] = ()
    name: str = ""
    scale: float | None = None
    comment: str = ""


def read(data: bytes) -> list[Specimen]:
    """Read a TPS file. Raises CongealError, naming the line, for anything that is not that."""
    text = data.decode("utf-8-sig", "replace")
    lines = _Lines(line.strip() for line in text.splitlines())
    specimens: list[Specimen] = []
    for number, line in lines:
        if not line:
            continue
        key, value = _key(number, line)
        if key == "LM3":
            raise CongealError(f"line {number} has landmarks in three dimensions, which images have not")
        if key != "LM":
            raise CongealError(f"line {number} ({line:.40}) comes before any LM=")
        specimens.append(_specimen(lines, number, value))
    if not specimens:
        raise CongealError("it is no TPS file: there is no LM= in it")
    return specimens


def write(specimens: Iterable[Specimen]) -> bytes:
    """A TPS file; missing landmarks are written as NA NA."""
    lines: list[str] = []
    for number, specimen in enumerate(specimens):
        lines += [f"LM={len(specimen.landmarks)}", *_coordinates(specimen.landmarks)]
        if specimen.curves:
            lines.append(f"CURVES={len(specimen.curves)}")
            for curve in specimen.curves:
                lines += [f"POINTS={len(curve)}", *_coordinates(curve)]
        lines += [f"IMAGE={_line(specimen.image)}", f"ID={_line(specimen.name) or number}"]
        if specimen.scale is not None:
            lines.append(f"SCALE={specimen.scale:.9g}")
        if specimen.comment:
            lines.append(f"COMMENT={_line(specimen.comment)}")
    return ("\n".join(lines) + "\n").encode()


def flipped(points: Doubles, height: int) -> Doubles:
    """Points [k, 2] from y up to y down in an image of ``height`` pixels, or back."""
    return np.asarray(points * [1.0, -1.0] + [0.0, height - 1.0])


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


def _specimen(lines: _Lines, number: int, count: str) -> Specimen:
    landmarks = _points(lines, number, count)
    curves: list[Doubles] = []
    facts: dict[str, str] = {}
    for here, line in lines:
        if not line:
            continue
        key, value = _key(here, line)
        if key in ("LM", "LM3"):
            lines.give_back((here, line))
            break
        if key == "POINTS":
            curves.append(_points(lines, here, value))
        else:
            facts[key] = value
    return Specimen(
        facts.get("IMAGE", ""),
        landmarks,
        curves,
        facts.get("ID", ""),
        _scale(facts.get("SCALE")),
        facts.get("COMMENT", ""),
    )


def _points(lines: _Lines, number: int, count: str) -> Doubles:
    if not count.isdigit():
        raise CongealError(f"line {number} counts {count!r:.40}, which is no number")
    points = []
    for _ in range(int(count)):
        here, line = next(lines, (number, ""))
        parts = line.split()
        try:
            x, y = (math.nan if part == MISSING else float(part) for part in parts)
        except ValueError as error:
            raise CongealError(f"line {here} ({line:.40}) is no pair of coordinates") from error
        missing = math.isnan(x) or math.isnan(y) or (x < 0 and y < 0)
        points.append((math.nan, math.nan) if missing else (x, y))
    return np.array(points, np.float64).reshape(-1, 2)


def _key(number: int, line: str) -> tuple[str, str]:
    key, mark, value = line.partition("=")
    if not mark:
        raise CongealError(
            f"line {number} ({line:.40}) is neither a pair of coordinates in place nor KEY=VALUE"
        )
    return key.strip().upper(), value.strip()


def _scale(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError as error:
        raise CongealError(f"SCALE={value:.40} is no number") from error


def _coordinates(points: Doubles) -> Iterator[str]:
    for x, y in points.tolist():
        yield f"{MISSING} {MISSING}" if math.isnan(x) or math.isnan(y) else f"{x:.5f} {y:.5f}"


def _line(text: str) -> str:
    return " ".join(text.split())
