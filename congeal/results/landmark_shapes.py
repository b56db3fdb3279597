"""Shapes out of a table of landmarks: who can be measured, their alignment and their components."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from congeal.geometry.arrays import Doubles
from congeal.results.schema.instances import INSTANCE
from congeal_floors.plurals import counted
from infra.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from congeal.geometry.procrustes import Shapes, ShapeSpace


SAME = 1e-5  # of their size: shapes that differ by less differ by the rounding of maps


@dataclass(frozen=True)
class MeasuredShapes:
    """Shapes of images: names, landmarks in pixels [n, k, 2], their alignment and components.

    left_out: image to the number of its landmarks that are not known, lie off the image, or were carried by
    rigid maps, which say nothing of its shape. groups: what every image belongs to, None for one that belongs
    nowhere; they are called `grouped_by`.
    """

    images: tuple[str, ...]
    points: tuple[str, ...]
    landmarks: Doubles
    shapes: Shapes
    space: ShapeSpace
    left_out: dict[str, int]
    groups: tuple[Any, ...] | None = None
    grouped_by: str = "group"

    @property
    def table(self) -> pd.DataFrame:
        """One row an image: centroid size in pixels, distance to the mean shape, scores, and its group."""
        import pandas as pd

        scores = {f"pc{number + 1}": column for number, column in enumerate(self.space.scores.T)}
        facts = {"image": self.images, "size": self.shapes.sizes, "distance": self.shapes.distances}
        # A group may be called like one of these columns.
        group = {} if self.groups is None else {self.grouped_by: list(self.groups)}
        table = pd.DataFrame(facts | scores)
        return pd.concat([table, pd.DataFrame(group)], axis=1) if group else table

    @property
    def group_means(self) -> dict[Any, Doubles]:
        """The mean shape [k, 2] of every group, of unit centroid size, by its value in sorted order.

        Raises UserError if the shapes were measured without groups.
        """
        found = {}
        for group, rows in self._members().items():
            mean = self.shapes.aligned[rows].mean(0)
            found[group] = mean / np.linalg.norm(mean)
        return found

    @property
    def group_table(self) -> pd.DataFrame:
        """One row a group: images, mean centroid size (pixels), mean distance to its mean shape (radians)."""
        import pandas as pd

        means = self.group_means
        rows = [
            {
                self.grouped_by: group,
                "images": len(rows),
                "mean size": float(self.shapes.sizes[rows].mean()),
                "mean distance": float(
                    np.mean([shape_distance(self.shapes.aligned[row], means[group]) for row in rows])
                ),
            }
            for group, rows in self._members().items()
        ]
        return pd.DataFrame(rows)

    @property
    def group_distances(self) -> pd.DataFrame:
        """Procrustes distances between the groups' mean shapes, radians, a row and a column a group."""
        import pandas as pd

        means = self.group_means
        names = pd.Index(list(means), name=self.grouped_by)
        values = [[shape_distance(one, other) for other in means.values()] for one in means.values()]
        return pd.DataFrame(values, index=names, columns=names)

    def _members(self) -> dict[Any, list[int]]:
        if self.groups is None:
            raise UserError("The shapes were measured without groups: shapes(table, groups=COLUMN).")
        found: dict[Any, list[int]] = {}
        for row, group in enumerate(self.groups):
            if group is not None:
                found.setdefault(group, []).append(row)
        return {group: found[group] for group in sorted(found)}


def shape_distance(one: Doubles, other: Doubles) -> float:
    """Procrustes distance [k, 2] to [k, 2], radians: what is left of two shapes by place, size and turn."""
    a, b = (
        centred[:, 0] + 1j * centred[:, 1]
        for centred in (shape - shape.mean(0, keepdims=True) for shape in (one, other))
    )
    cosine = abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.arccos(min(1.0, cosine)))


def individuals(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """A table of landmarks of which each instance in an image counts as an image, and whose names are whose.

    An image's first instance is called like it, others like it with # and their number. A table without a
    column instance_id stays as it is.
    """
    if INSTANCE not in table.column_names or "image" not in table.column_names:
        return table, {}
    images, numbers = table["image"].to_pylist(), table[INSTANCE].to_pylist()
    names = [f"{image}#{number}" if number else image for image, number in zip(images, numbers, strict=True)]
    found = table.set_column(table.column_names.index("image"), "image", pa.array(names, pa.string()))
    if "origin" in table.column_names:
        # What was marked by hand on an instance is its own.
        own = zip(table["origin"].to_pylist(), images, names, strict=True)
        origin = [name if mark == image else mark for mark, image, name in own]
        found = found.set_column(table.column_names.index("origin"), "origin", pa.array(origin, pa.string()))
    return found, dict(zip(names, images, strict=True))


def measured(table: pa.Table, components: int | None, rigid: Collection[str] = frozenset()) -> MeasuredShapes:
    """Shapes of a table with the columns image, point, x, y (visible and confidence are not looked at).

    components: how many; None: all that can vary; 0: none, sizes and distances alone. rigid: images whose
    maps move, turn and scale, and no more: a landmark whose column origin names another image than its own is
    a copy there, and does not count as known, unless no components are asked for.

    Raises UserError if a column is missing or holds no numbers, if a landmark is there twice, if fewer than
    two images have all landmarks, or if the shapes do not differ, so that there is no component but rounding.
    """
    from congeal.geometry.procrustes import principal_components, procrustes

    missing = [name for name in ("image", "point", "x", "y") if name not in table.column_names]
    if missing:
        raise UserError(f"There is no column {missing[0]} in the landmarks: see Collection.landmarks.")
    images, points, landmarks = as_array(table)
    if components != 0:
        copied = _copied(table, rigid)
        landmarks[copied] = np.nan
    unknown = (~np.isfinite(landmarks).all(2)).sum(1)
    left_out = {image: int(count) for image, count in zip(images, unknown, strict=True) if count}
    whole = [number for number, count in enumerate(unknown) if not count]
    if len(whole) < 2 and components != 0 and copied.any():
        raise UserError(
            f"The landmarks of {int(copied.any(1).sum())} of {counted(len(images), 'image')} were "
            "transferred by rigid "
            "maps, which move, turn and scale: they are copies of one shape, in which nothing varies; mark "
            "them by hand on two images or more, or ask for sizes alone (components=0)."
        )
    if len(whole) < 2:
        raise UserError(
            f"{len(whole)} of {counted(len(images), 'image')} have all landmarks: two are the least."
        )
    shapes = procrustes(landmarks[whole])
    if components != 0 and float(np.abs(shapes.aligned - shapes.mean).max()) < SAME:
        raise UserError(
            f"The {len(whole)} shapes are the same but for place, turn and size: nothing varies, and there "
            "are no components; ask for sizes alone (components=0)."
        )
    return MeasuredShapes(
        tuple(images[number] for number in whole),
        points,
        landmarks[whole],
        shapes,
        principal_components(shapes, components),
        left_out,
    )


def _copied(table: pa.Table, rigid: Collection[str]) -> npt.NDArray[np.bool_]:
    """Which landmarks were transferred by rigid maps, bool [images, points], in the order of `as_array`."""
    image, point = (table[name].cast(pa.string()).combine_chunks() for name in ("image", "point"))
    row, column = image.dictionary_encode(), point.dictionary_encode()
    theirs = pc.is_in(image, value_set=pa.array(sorted(rigid), pa.string()))
    found = np.zeros((len(row.dictionary), len(column.dictionary)), bool)
    if "origin" in table.column_names:
        # Where nothing is said of its origin, a landmark was marked by hand.
        origin = table["origin"].cast(pa.string()).combine_chunks()
        copied = pc.and_(theirs, pc.fill_null(pc.not_equal(origin, image), False))
        found[row.indices.to_numpy(), column.indices.to_numpy()] = copied.to_numpy(zero_copy_only=False)
    return found


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
