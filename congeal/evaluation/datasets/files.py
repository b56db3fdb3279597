"""Reading the files of annotated sets: small, untrusted, and often not where they should be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from congeal.errors import CongealError, ImageError
from congeal.evaluation.datasets.types import AnnotatedImage
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import DEFAULT_MAX_PIXELS, DEFAULT_MIN_SIDE
from congeal.imaging.pillow_io import open_image, orientation

LARGEST = 512 * 2**20  # bytes of an annotation file; the largest that is published has some 20 MB


def read_text(path: Path) -> str:
    """A UTF-8 text file. Raises CongealError if it is not there, too large or none."""
    try:
        if path.stat().st_size > LARGEST:
            raise CongealError(f"{path} has more than {LARGEST // 2**20} MiB: no annotations are so large")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CongealError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CongealError(f"{path} is no text file in UTF-8") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises CongealError for anything else."""
    try:
        document = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CongealError(f"{path} is no sound JSON file: {error}") from error
    if not isinstance(document, dict):
        raise CongealError(f"{path} holds no JSON object")
    return document


def below(folder: Path, name: str) -> Path:
    """The file of that name below a folder. Raises CongealError for a name that leads elsewhere."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise CongealError(f"{name!r} is no name of a file below {folder}")
    return folder.joinpath(*parts)


def numbers(values: Any, count: int, where: str) -> tuple[float, ...]:
    """`count` finite numbers. Raises CongealError, naming where they stand, for anything else."""
    plain = isinstance(values, list | tuple) and len(values) == count
    if not plain or not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        raise CongealError(f"{where} must be {count} numbers, not {str(values)[:60]}")
    return tuple(float(value) for value in values)


def points(values: Iterable[Any], where: str) -> Doubles:
    """Keypoints [x, y], or null where hidden, as float64 [k, 2]."""
    hidden = (math.nan, math.nan)
    rows = [hidden if value is None else numbers(value, 2, where) for value in values]
    return np.array(rows, np.float64).reshape(-1, 2)


def frame_of(path: Path) -> Frame:
    """The frame of an image file, from its header. Raises ImageError with the reason if there is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"it cannot be read: {error.strerror}") from error
    _, image = open_image(data, DEFAULT_MAX_PIXELS, DEFAULT_MIN_SIDE)
    width, height = image.size
    return Frame(height, width) if orientation(image) >= 5 else Frame(width, height)


def usable(images: Iterable[tuple[str, AnnotatedImage]]) -> tuple[list[AnnotatedImage], dict[str, str]]:
    """Those whose file is what their annotations were made for; and by name, why the others are not."""
    found, unreadable = [], {}
    for name, image in images:
        fault = _fault(image)
        if fault is None:
            found.append(image)
        else:
            unreadable[name] = fault
    return found, unreadable


def _fault(image: AnnotatedImage) -> str | None:
    try:
        found = frame_of(image.path)
    except ImageError as error:
        return error.reason
    return None if found == image.frame else other_size(found, image.frame)


def other_size(found: Frame, annotated: Frame) -> str:
    """What is said of an image whose annotations were made for another size."""
    return (
        f"it has {found.width} x {found.height} pixels, and its annotations are for "
        f"{annotated.width} x {annotated.height}"
    )


def folders(place: Path) -> list[str]:
    """The names of the folders in a place, sorted, hidden ones left out."""
    return sorted(entry.name for entry in place.iterdir() if entry.is_dir() and entry.name[0] != ".")


def chosen(category: str | None, known: Iterable[str], what: str) -> str:
    """The category that was asked for, by its whole name or the part before or after a dot ("001.Heron").

    Raises CongealError, naming those there are, if it is none of them or must be chosen.
    """
    names = sorted(known)
    if category is None and len(names) == 1:
        return names[0]
    listed = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
    if category is None:
        raise CongealError(f"{what} has {len(names)} categories: choose one with --category ({listed})")
    wanted = category.casefold()
    for name in names:
        number, _, rest = name.casefold().partition(".")
        if wanted in (name.casefold(), number, rest or number):
            return name
    raise CongealError(f"{what} has no category {category!r}: there are {listed}")
