"""DeepLabCut's labels as pandas keeps them in HDF5, read from the plain arrays of the file.

pandas may keep names as pickled objects, too: these are never read, as reading them would run what they hold.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from congeal.errors import CongealError
from congeal.transfer.formats.csv_text import joined, quoted
from congeal.transfer.formats.hdf5 import self_contained

MANY = 10_000_000  # cells


def csv_of(data: bytes, beside: str) -> str:
    """The text of the CSV file that DeepLabCut keeps beside it. beside: how that is called.

    Raises CongealError for a file that cannot be read without unpickling, and for anything else.
    """
    try:
        import h5py
    except ImportError as error:
        raise CongealError(
            f"HDF5 is read with h5py: pip install 'congeal[deeplabcut]', or give {beside}"
        ) from error
    try:
        self_contained(data)
        with h5py.File(io.BytesIO(data), "r") as file:
            return _text(h5py, file)
    except CongealError as error:
        raise CongealError(f"{error}: give {beside}, which DeepLabCut keeps beside it") from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeError) as error:
        raise CongealError(f"it is no HDF5 file that h5py reads ({error}): give {beside}") from error


def _text(h5py: Any, file: Any) -> str:
    tables = [name for name in file if isinstance(file.get(name), h5py.Group)]
    if len(tables) != 1:
        raise CongealError(f"it holds {len(tables)} tables, not one")
    group = file[tables[0]]
    if "table" in group:
        raise CongealError("it keeps its names as pickled objects, which are not read")
    columns = _axis(h5py, group, "axis0")
    frames = _axis(h5py, group, "axis1")
    if len(columns) not in (3, 4):
        raise CongealError(f"its columns have {len(columns)} names each, and labels three or four")
    width, height = len(columns[0]), len(frames[0])
    if width * height > MANY:
        raise CongealError(f"it is too large, {height} x {width} cells")
    place = {name: number for number, name in enumerate(zip(*columns, strict=True))}
    values = np.full((height, width), np.nan)
    for number in range(sum(name.endswith("_values") for name in group)):
        items = list(zip(*_axis(h5py, group, f"block{number}_items"), strict=True))
        block = _array(h5py, group, f"block{number}_values")
        if block.shape != (height, len(items)) or block.dtype.kind not in "fiu":
            raise CongealError("its values are no table of numbers")
        values[:, [place[item] for item in items]] = block
    heads = (
        ("scorer", "bodyparts", "coords")
        if len(columns) == 3
        else ("scorer", "individuals", "bodyparts", "coords")
    )
    blank = [""] * (len(frames) - 1)
    lines = [joined(map(quoted, [head, *blank, *names])) for head, names in zip(heads, columns, strict=True)]
    for names, row in zip(zip(*frames, strict=True), values.tolist(), strict=True):
        lines.append(
            joined([*map(quoted, names), *("" if math.isnan(value) else repr(value) for value in row)])
        )
    return "\n".join(lines) + "\n"


def _axis(h5py: Any, group: Any, name: str) -> list[list[str]]:
    """The names along an axis, a list for each of their levels."""
    if name in group:
        return [_names(_array(h5py, group, name))]
    levels: list[list[str]] = []
    while f"{name}_level{len(levels)}" in group:
        number = len(levels)
        known = _names(_array(h5py, group, f"{name}_level{number}"))
        codes = _array(h5py, group, f"{name}_label{number}")
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise CongealError("the names of its rows and columns are not numbered")
        if codes.size and (codes.min() < -1 or codes.max() >= len(known)):
            raise CongealError("it numbers names that it does not hold")
        levels.append(["" if code < 0 else known[code] for code in codes.tolist()])
    if not levels or len({len(level) for level in levels}) > 1:
        raise CongealError("the names of its rows and columns are missing")
    return levels


def _names(array: Any) -> list[str]:
    if array.ndim != 1 or array.dtype.kind != "S":
        raise CongealError("it keeps its names as pickled objects, which are not read")
    return [value.decode("utf-8") for value in array.tolist()]


def _array(h5py: Any, group: Any, name: str) -> Any:
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        raise CongealError(f"{name} in it is no array")
    if found.dtype.kind == "O":
        raise CongealError("it keeps its names as pickled objects, which are not read")
    return found[()]
