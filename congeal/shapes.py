"""Shapes out of a table of landmarks: who can be measured, their alignment and their components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from congeal.morphometrics import Shapes, ShapeSpace

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredShapes:
    """Shapes of images: names, landmarks in pixels [n, k, 2], their alignment and components.

    left_out: image to the number of its landmarks that are not known or lie off the image.
    """

    images: tuple[str, ...]
    points: tuple[str, ...]
    landmarks: Doubles
    shapes: Shapes
    space: ShapeSpace
    left_out: dict[str, int]

    @property
    def table(self) -> pd.DataFrame:
        """One row an image: its centroid size in pixels, its distance to the mean shape, its scores."""
        import pandas as pd

        scores = {f"pc{number + 1}": column for number, column in enumerate(self.space.scores.T)}
        facts = {"image": self.images, "size": self.shapes.sizes, "distance": self.shapes.distances}
        return pd.DataFrame(facts | scores)


def measured(table: pa.Table, components: int | None) -> MeasuredShapes:
    """Shapes of a table with the columns image, point, x, y (and visible, confidence: not looked at).

    Raises UserError if a column is missing or holds no numbers, if a landmark is there twice, or if fewer
    than two images have all landmarks.
    """
    from congeal.morphometrics import principal_components, procrustes

    missing = [name for name in ("image", "point", "x", "y") if name not in table.column_names]
    if missing:
        raise UserError(f"There is no column {missing[0]} in the landmarks: see Collection.landmarks.")
    images, points, landmarks = as_array(table)
    unknown = (~np.isfinite(landmarks).all(2)).sum(1)
    left_out = {image: int(count) for image, count in zip(images, unknown, strict=True) if count}
    whole = [number for number, count in enumerate(unknown) if not count]
    if len(whole) < 2:
        raise UserError(f"Of {len(images)} images {len(whole)} have all landmarks: two are the least.")
    shapes = procrustes(landmarks[whole])
    return MeasuredShapes(
        tuple(images[number] for number in whole),
        points,
        landmarks[whole],
        shapes,
        principal_components(shapes, components),
        left_out,
    )


def as_array(table: pa.Table) -> tuple[tuple[str, ...], tuple[str, ...], Doubles]:
    """Images, points (as text) and landmarks float64 [images, points, 2], NaN where there is none."""
    image, point = (table[name].cast(pa.string()).combine_chunks() for name in ("image", "point"))
    images, points = image.dictionary_encode(), point.dictionary_encode()
    names, labels = images.dictionary.to_pylist(), points.dictionary.to_pylist()
    landmarks = np.full((len(names), len(labels), 2), np.nan)
    row, column = images.indices.to_numpy(), points.indices.to_numpy()
    places, counts = np.unique(row * len(labels) + column, return_counts=True)
    if (counts > 1).any():
        twice = int(places[np.argmax(counts > 1)])
        label, name = labels[twice % len(labels)], names[twice // len(labels)]
        raise UserError(f"The landmark {label!r} of the image {name!r} is there more than once: keep one.")
    for axis, name in enumerate(("x", "y")):
        try:
            values = table[name].cast(pa.float64()).to_numpy()
        except pa.ArrowException as error:
            raise UserError(f"The column {name} of the landmarks does not hold numbers: {error}.") from error
        landmarks[row, column, axis] = values
    return tuple(names), tuple(labels), landmarks
