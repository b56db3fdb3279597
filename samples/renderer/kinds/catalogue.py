"""How each kind of thing is shown: from where, in which surroundings, on what format of image."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

LANDSCAPE = ((352, 288), (384, 288), (336, 288), (320, 320))
PORTRAIT = ((288, 352), (288, 336), (320, 320), (272, 352))
SQUARE = ((320, 320), (336, 304), (304, 336), (336, 288))


@dataclass(frozen=True)
class Kind:
    """Attributes:
    name: also of its module and of its folder.
    azimuth: where the camera stands for a thing that looks to the right of the image.
    other: where it stands for one that looks to the left; the same for things that only look one way, since
        all their points lie on the left or on the right and would exchange names.
    spread: how far it may stray from there, either way, in degrees.
    elevation: lowest and highest, in degrees.
    places: surroundings, taken in turn.
    formats: (width, height), taken in turn.
    """

    name: str
    azimuth: float
    other: float
    spread: float
    elevation: tuple[float, float]
    places: tuple[str, ...]
    formats: tuple[tuple[int, int], ...] = SQUARE

    @property
    def module(self) -> ModuleType:
        """With ``build(rng, number)`` and ``PARTS``."""
        return importlib.import_module(f"kinds.{self.name}")


KINDS = (
    Kind("mug", -90, 90, 26, (12, 28), ("table", "table", "studio")),
    Kind("teapot", -90, 90, 26, (8, 24), ("table", "studio", "table"), LANDSCAPE),
    Kind("lamp", -90, 90, 24, (3, 14), ("table", "studio", "table"), PORTRAIT),
    Kind("chair", -42, -42, 22, (10, 24), ("studio", "table", "table"), PORTRAIT),
    Kind("car", -90, 90, 26, (9, 24), ("table", "studio", "table"), LANDSCAPE),
    Kind("fish", -90, 90, 26, (-6, 14), ("water",), LANDSCAPE),
    Kind("dog", -90, 90, 26, (3, 16), ("meadow", "meadow", "studio"), LANDSCAPE),
    Kind("butterfly", 0, 0, 28, (-10, 22), ("foliage",), SQUARE),
)
