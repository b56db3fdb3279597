"""CUB-200-2011 as it is downloaded (Wah, Branson, Welinder, Perona, Belongie 2011): one class of birds.

`images.txt`, `bounding_boxes.txt`, `parts/parts.txt`, `parts/part_locs.txt` and `images/<class>/*.jpg`.
Left and right are the bird's own.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from congeal.errors import CongealError, ImageError
from congeal.evaluation.datasets.files import below, chosen, frame_of, read_text
from congeal.evaluation.datasets.types import AnnotatedImage, AnnotatedSet, mirrored_by_name
from congeal_floors.plurals import counted

FORM = "CUB-200-2011"
FILES = ("images.txt", "bounding_boxes.txt", "parts/parts.txt", "parts/part_locs.txt")


def recognise(folder: Path) -> bool:
    """True if the folder is, or is meant to be, such a download."""
    return (folder / "images.txt").is_file() or (folder / "parts").is_dir()


def load(folder: Path, category: str | None = None) -> AnnotatedSet:
    """Read one class. Raises CongealError for a file that is missing or no table, or an unknown class."""
    for file in FILES:
        if not (folder / file).is_file():
            raise CongealError(f"{folder} looks like CUB-200-2011, but its file {file} is missing")
    listed = _table(folder / "images.txt", 2)
    kind = chosen(category, {name.partition("/")[0] for _, name in listed}, str(folder))
    files = {number: name.partition("/")[2] for number, name in listed if name.startswith(f"{kind}/")}
    named = _table(folder / "parts" / "parts.txt", 2)
    parts = [name for _, name in named]
    numbered = {number: position for position, (number, _) in enumerate(named)}
    places = {number: np.full((len(parts), 2), math.nan) for number in files}
    for number, part, x, y, visible in _table(folder / "parts" / "part_locs.txt", 5):
        if number in places and part in numbered and visible != "0":
            places[number][numbered[part]] = _numbers((x, y), folder / "parts" / "part_locs.txt")
    boxes = {}
    for number, *box in _table(folder / "bounding_boxes.txt", 5):
        if number in files:
            left, top, width, height = _numbers(box, folder / "bounding_boxes.txt")
            boxes[number] = (left, top, left + width, top + height)
    images, unreadable = [], {}
    for number, name in sorted(files.items(), key=lambda item: item[1]):
        path = below(folder / "images" / kind, name)
        try:
            frame = frame_of(path)
        except ImageError as error:
            unreadable[name] = error.reason
            continue
        images.append(AnnotatedImage(name, path, frame, places[number], boxes.get(number)))
    return AnnotatedSet(
        name=f"CUB-200-2011 {kind}",
        form=FORM,
        protocol="cub",
        folder=folder / "images" / kind,
        keypoints=tuple(parts),
        mirrored=mirrored_by_name(parts),
        images=tuple(images),
        unreadable=unreadable,
    )


def _table(path: Path, columns: int) -> list[list[str]]:
    """Rows of a file whose columns are parted by blanks; the last column keeps its blanks."""
    rows = [line.split(maxsplit=columns - 1) for line in read_text(path).splitlines() if line.strip()]
    for position, row in enumerate(rows):
        if len(row) != columns:
            raise CongealError(
                f"{path}, line {position + 1}: {counted(columns, 'column')} are needed, not {len(row)}"
            )
        row[-1] = row[-1].strip()
    return rows


def _numbers(values: tuple[str, ...] | list[str], path: Path) -> list[float]:
    try:
        found = [float(value) for value in values]
    except ValueError as error:
        raise CongealError(f"{path} has {' '.join(values)!r} where numbers must stand") from error
    if not all(map(math.isfinite, found)):
        raise CongealError(f"{path} has {' '.join(values)!r} where finite numbers must stand")
    return found
