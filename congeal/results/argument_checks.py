"""Arguments of the reader, checked on entry: a wrong one is a sentence, not another library's error."""

from __future__ import annotations

import difflib
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infra.errors import UserError


def one_of(value: Any, allowed: Sequence[str], what: str) -> str:
    """The value, if it is one of the words; else UserError with the nearest of them."""
    if isinstance(value, str) and value in allowed:
        return value
    near = difflib.get_close_matches(str(value).lower(), allowed, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(allowed)}."
    raise UserError(f"There is no {what} {value!r}: {hint}")


def name_of(value: Any, what: str) -> str:
    """A name as text; a path is taken, too. what: such as "image", for the sentence."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise UserError(f"{_shown(value)} names no {what}: a name is text.")
    return str(value)


def names_of(values: Any, what: str) -> list[str]:
    """One name or several as a list."""
    if isinstance(values, (str, os.PathLike)):
        return [name_of(values, what)]
    if not isinstance(values, Iterable) or isinstance(values, (bytes, Mapping)):
        raise UserError(f"{_shown(values)} names no {what}: give a name or a list of names.")
    return [name_of(value, what) for value in values]


def targets_of(value: Any) -> Literal["all"] | list[str]:
    """ "all", or a list of images."""
    if value is None:
        raise UserError('None names no image: give "all", a name or a list of names.')
    return "all" if isinstance(value, str) and value == "all" else names_of(value, "image")


def count_of(value: Any, what: str) -> int:
    """A whole number."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise UserError(f"{_shown(value)} is no number of {what}: give a whole number.")
    return int(value)


def points_of(value: Any, several: bool = False) -> npt.NDArray[np.float64]:
    """Points, float64 [k, 2]; of a DataFrame its columns x and y. several: also [s, k, 2].

    Raises UserError for what is no array of numbers, or of another shape.
    """
    columns = getattr(value, "columns", None)
    if columns is not None and {"x", "y"} <= {str(name) for name in columns}:
        value = value[["x", "y"]]
    try:
        # NumPy reads None as NaN; a caller who passes it has no points.
        found = np.asarray(value, np.float64) if value is not None else np.array(np.nan)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"The points are no array of numbers ({_one_line(error)}): give x and y of each, [k, 2]."
        ) from error
    if found.size == 0 and found.ndim < 3:
        return found.reshape(0, 2)
    if not several and found.shape == (2,):
        return found[None]
    if found.ndim not in ((2, 3) if several else (2,)) or found.shape[-1] != 2:
        wanted = "[k, 2], or of several images [images, k, 2]" if several else "[k, 2]"
        raise UserError(f"Points have the shape {wanted}, x and y of each; these have {list(found.shape)}.")
    return found


def labels_of(names: Any) -> list[str] | list[int] | None:
    """What landmarks are called: texts or whole numbers, each once."""
    if names is None:
        return None
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise UserError(f"{_shown(names)} is no list of names: give one name for each point.")
    labels: list[Any] = [label.item() if isinstance(label, np.generic) else label for label in names]
    if len({type(label) for label in labels}) > 1 or not all(type(label) in (str, int) for label in labels):
        wrong = next((label for label in labels if type(label) not in (str, int)), labels[0])
        raise UserError(f"{_shown(wrong)} is no name beside the others: names are all text, or all numbers.")
    for number, label in enumerate(labels):
        if label in labels[:number]:
            raise UserError(f"Two landmarks are called {label!r}: give each a name of its own.")
    return labels


def condition(field: pa.Field, value: Any) -> pc.Expression:
    """That a column has the value, or one of a list of values; None and NaN stand for no value.

    Raises UserError for values of another kind than the column's.
    """
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        value = value.to_pylist()
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    values = list(value) if several else [value]
    values = [one.item() if isinstance(one, np.generic) else one for one in values]
    given = [one for one in values if not _missing(one)]
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    for one in given:
        if not _fits(one, kind):
            raise UserError(f"The column {field.name} holds {_kind_name(kind)}, and {_shown(one)} is none.")
    wanted = pc.field(field.name).isin(pa.array(given).cast(kind) if given else pa.array([], kind))
    return wanted | pc.field(field.name).is_null() if len(given) < len(values) else wanted


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value  # noqa: PLR0124


def _fits(value: Any, kind: pa.DataType) -> bool:
    if pa.types.is_string(kind):
        return isinstance(value, str)
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        pa.array([value]).cast(kind)
    except (pa.ArrowInvalid, OverflowError):
        # Half a pixel is no width, and neither is a number beyond its type.
        return False
    return True


def _kind_name(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "true or false"
    return f"numbers ({kind})"


def _shown(value: Any) -> str:
    text = _one_line(repr(value))
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"


def _one_line(what: object) -> str:
    return " ".join(str(what).split())
