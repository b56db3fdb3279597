"""Arguments of the networks' public calls as their callers give them, checked and made plain."""

from __future__ import annotations

from types import UnionType
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from congeal.alignment.inputs.solver_arguments import plain
from congeal.errors import CongealError


def require_kinds(**given: tuple[object, type[Any] | UnionType]) -> None:
    """Raises CongealError, naming the argument, for a value that is not of its class, or not one of several.

    given: by argument, the value and its class, as ``Turned | None``.
    """
    for name, (value, kinds) in given.items():
        classes = get_args(kinds) or (kinds,)
        if not issubclass(type(value), classes):
            wanted = next(one for one in classes if one is not type(None))
            raise CongealError(f"{name} is {type(value).__name__}, not {wanted.__module__}.{wanted.__name__}")


def checked_pixels(pixels: Any, count: int) -> npt.NDArray[np.uint8]:
    """Pictures of so many images, uint8 [count, s, s, 3]; raises CongealError for anything else."""
    found = plain(pixels, "pixels")
    shape = np.shape(found)
    if (
        getattr(found, "dtype", None) != np.uint8
        or len(shape) != 4
        or shape != (count, shape[1], shape[1], 3)
    ):
        raise CongealError(
            f"pixels are uint8 [{count}, s, s, 3], not {getattr(found, 'dtype', type(pixels).__name__)} "
            f"{list(shape)}"
        )
    return np.ascontiguousarray(found)
