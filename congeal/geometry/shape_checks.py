"""Shapes and dtypes of arguments, checked where a user's call comes in, and nowhere inside.

Functions and dataclasses of the public surface write the shapes of their arrays into their annotations, as
jaxtyping has it: ``features: Float[Array, "n g g c"]``. `checked` holds a call to them: a size that has one
name in two arguments is the same in both. Only the outermost call is checked: what a checked function calls
in its loops is not, and pays about 2 µs for it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np
from jaxtyping import AbstractArray, AbstractDtype, Bool, Real

from congeal.errors import CongealError

if TYPE_CHECKING:
    from typing import Annotated as Numbers
else:

    class Numbers(AbstractDtype):
        """Real numbers of any kind, and truth values, which count as 0 and 1."""

        dtypes = (*Real.dtypes, *Bool.dtypes)


__all__ = ["Numbers", "check_fields", "checked", "require_fields"]

P = ParamSpec("P")
T = TypeVar("T")
Sizes = dict[str, tuple[int, str]]  # name of a dimension: its size, and the argument that has told it

KINDS = {
    "Numbers": "numbers",
    "Real": "numbers",
    "Float": "floating-point numbers",
    "Integer": "whole numbers",
    "Int": "whole numbers",
    "Complex": "complex numbers",
    "Shaped": "an array",
}

_inside: ContextVar[bool] = ContextVar("inside a checked call", default=False)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """The function, its arguments held to the shapes in its annotations if it is called from outside.

    Raises:
        CongealError: that names the argument, what it is and what it must be.
    """
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _inside.get():
            return function(*args, **kwargs)
        if not hints:
            # At the first call, when all names of the module are there.
            hints.update(_hints(function.__annotations__, function.__module__))
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # the call itself says it best
        _check(hints, given)
        token = _inside.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _inside.reset(token)

    return call


def check_fields(one: Any) -> None:
    """`require_fields` for a dataclass' ``__post_init__``: inside a checked call nothing is checked."""
    if not _inside.get():
        require_fields(one)


def require_fields(one: Any) -> None:
    """Raises CongealError unless the fields of a dataclass have the shapes in its annotations."""
    kind: Any = type(one)
    _check(_fields_of(kind), vars(one))


@functools.cache
def _fields_of(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        found |= _hints(inspect.get_annotations(base), base.__module__)
    return found


def _hints(annotations: Mapping[str, Any], module: str) -> dict[str, Any]:
    """The annotations that say a shape: name to jaxtyping's type, and whether None will do."""
    names = vars(sys.modules[module])
    found = {}
    for name, text in annotations.items():
        if name == "return" or (isinstance(text, str) and not {"'", '"'} & set(text)):
            continue
        hint = eval(text, names) if isinstance(text, str) else text  # noqa: S307 - our own annotations
        parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        for part in parts:
            if isinstance(part, type) and issubclass(part, AbstractArray):
                # What has a shape and a dtype will do, and what becomes an array by itself: a list of points.
                found[name] = (part.dtype[Any, part.dim_str], type(None) in parts)
    return found


def _check(hints: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    sizes: Sizes = {}
    for name, (hint, optional) in hints.items():
        if name not in given or (optional and given[name] is None):
            continue
        array = given[name]
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            try:
                array = np.asarray(array)
            except (ValueError, TypeError, RuntimeError):
                array = np.array(None)  # lists of different lengths, or of tensors that NumPy does not read
        if not isinstance(array, hint) or not _agree(name, hint, array.shape, sizes):
            raise CongealError(_sentence(name, hint, given[name], array, sizes))


def _agree(name: str, hint: Any, shape: tuple[int, ...], sizes: Sizes) -> bool:
    """Whether an array's sizes are those known by the same names; new ones are then known."""
    dims = hint.dim_str.split()
    if "..." in dims:
        # What is left of it counts from the front, what is right of it from the end.
        middle = dims.index("...")
        pairs = [*zip(dims[:middle], shape, strict=False), *zip(dims[:middle:-1], shape[::-1], strict=False)]
    else:
        pairs = list(zip(dims, shape, strict=True))
    return all(dim.isdigit() or sizes.setdefault(dim, (size, name))[0] == size for dim, size in pairs)


def _sentence(name: str, hint: Any, value: Any, array: Any, sizes: Sizes) -> str:
    dims = hint.dim_str.split()
    shape = f"[{', '.join(dims)}]"
    known = [f"{dim} = {sizes[dim][0]}" for dim in dict.fromkeys(dims) if dim in sizes]
    told = dict.fromkeys(sizes[dim][1] for dim in dims if dim in sizes and sizes[dim][1] != name)
    like = f" with {', '.join(known)} as in {', '.join(told)}" if told else ""
    kind = KINDS.get(hint.dtype.__name__, hint.dtype.__name__.lower())
    if array.dtype == object and array is not value:
        return f"{name} is {type(value).__name__}, not {kind} {shape}{like}"
    if not isinstance(array, hint.dtype[Any, "..."]):
        return f"{name} holds {str(array.dtype).removeprefix('torch.')}, not {kind} {shape}{like}"
    last = ": the channels come last" if _channels_first(dims, array.shape) else ""
    return f"{name} has the shape {list(array.shape)}, not {shape}{like}{last}"


def _channels_first(dims: list[str], shape: tuple[int, ...]) -> bool:
    """Whether an array would have the dimensions if its second axis, the channels, were its last."""
    if dims[-1] != "c" or "..." in dims or not 3 < len(dims) == len(shape):
        return False
    moved = list(zip(dims, (shape[0], *shape[2:], shape[1]), strict=True))
    return len(set(moved)) == len(set(dims))
