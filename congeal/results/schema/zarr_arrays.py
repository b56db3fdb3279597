"""How a Zarr array and a Zarr group of a destination are described.

The groups themselves are in `congeal.results.schema.feature_arrays` and
`congeal.results.schema.atlas_arrays`: writers take from there what they store, readers what they ask for, and
no array is named anywhere else. What is stored changes with the version of the stage that stores it
(`tasks.execution.stage_versions`).

An array with `axes` describes itself: its units and axes are its attributes. The others are stored without
attributes, and `congeal.results.schema.dictionary.arrays_text` describes them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NotRequired, get_args, get_origin, get_type_hints

PIXELS = "pixels of the original image"
ATLAS_UNITS = "atlas units: the atlas is the square [-1, 1]^2"
FRAME_UNITS = "frame units: the square frame around the image is [-1, 1]^2"
SHARE = "1, from 0 to 1"
PLAIN = "1"  # a number without a unit
# Axes whose entries have a meaning each: how many there are; windows that are turned have more.
FIXED: Mapping[str, tuple[int, ...]] = {
    "xy": (2,),
    "uv": (2,),
    "uvs": (3,),
    "rgb": (3,),
    "pose": (6,),
    "uvhtm": (3, 5),
    "turn": (7,),
}
# Types that may stand for each other: what is read is converted.
_KINDS = {"float16": "float", "float32": "float", "float64": "float", "int32": "int", "int64": "int"}


@dataclass(frozen=True)
class ZarrArray:
    """One array of a group.

    Attributes:
        path: below the group; "/" makes nested groups.
        dtype: NumPy's name of the type.
        dims: a name for each axis.
        units: what the numbers are.
        about: one sentence.
        axes: what the axes go over, stored with the units as attributes; None: nothing is stored with it.
        by_image: chunks hold the first axis' entries one by one, since readers ask for single images.
        optional: not every group of the kind has it.
    """

    path: str
    dtype: str
    dims: tuple[str, ...]
    units: str
    about: str
    axes: str | None = None
    by_image: bool = False
    optional: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def attributes(self) -> Mapping[str, str]:
        """What is stored with the array."""
        return {} if self.axes is None else {"units": self.units, "axes": self.axes}

    def misfit(self, shape: tuple[int, ...], dtype: str, count: int | None = None) -> str | None:
        """What is wrong with an array of this shape and type, as the middle of a sentence; None: nothing.

        count: of entries of the first axis, where that is known.
        """
        wanted = [FIXED.get(dim, ()) for dim in self.dims]
        fits = len(shape) == len(wanted) and all(
            not allowed or size in allowed for size, allowed in zip(shape, wanted, strict=True)
        )
        same_kind = _KINDS.get(dtype, dtype) == _KINDS.get(self.dtype, self.dtype)
        if fits and same_kind and (count is None or shape[0] == count):
            return None
        dims = [
            " or ".join(map(str, allowed)) or (str(count) if count is not None and not axis else dim)
            for axis, (dim, allowed) in enumerate(zip(self.dims, wanted, strict=True))
        ]
        return f"its array {self.path} is {dtype} {list(shape)}, not {self.dtype} [{', '.join(dims)}]"

    def chunks(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """What a reader fetches at once of an array of a shape; None: the whole."""
        return (1, *shape[1:]) if self.by_image else None


@dataclass(frozen=True)
class ZarrGroup:
    """One kind of group.

    Attributes:
        name: of its folder, in a unit's outputs.
        about: one sentence.
        arrays: all that it can hold.
        attributes: of the group; the keys are names, the values one sentence each.
    """

    name: str
    about: str
    arrays: tuple[ZarrArray, ...]
    attributes: Mapping[str, str]


def described(attributes: type) -> Mapping[str, str]:
    """The keys of a TypedDict whose types are annotated with a sentence."""
    hints = get_type_hints(attributes, include_extras=True)
    annotated = {
        name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for name, hint in hints.items()
    }
    return {name: str(hint.__metadata__[0]) for name, hint in annotated.items()}
