"""Shapes of landmarks: generalised Procrustes alignment, and the principal components of what is left.

Gower, *Generalized Procrustes analysis*, Psychometrika 1975; Rohlf and Slice, Systematic Zoology 1990; the
tangent space as of Rohlf, Journal of Classification 1999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Real

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles, Flags
from congeal.geometry.shape_checks import checked

ROUNDS = 100
STILL = 1e-12  # variance, of shapes of unit size, that is none
CLOSE = 1e-12  # change of the mean, of unit size, at which the alignment is done


@dataclass(frozen=True)
class Shapes:
    """n shapes of k landmarks without place, turn and size.

    Attributes:
        aligned: float64 [n, k, 2], each of unit centroid size about 0, turned to the mean. Axes as in the
            images: x right, y down.
        mean: float64 [k, 2], of unit centroid size, turned as the first shape.
        sizes: float64 [n], centroid sizes: root of the summed squared distances to the centroid, in pixels.
        mirrored: bool [n], shapes that were mirrored to fit the mean; all False unless that was allowed.
        distances: float64 [n], Procrustes distance to the mean, radians.
    """

    aligned: Doubles
    mean: Doubles
    sizes: Doubles
    mirrored: Flags
    distances: Doubles


@dataclass(frozen=True)
class ShapeSpace:
    """The directions in which shapes vary most, c of them, by falling variance.

    Attributes:
        mean: float64 [k, 2].
        components: float64 [c, k, 2], orthonormal; the largest entry of each is positive.
        variance: float64 [c]. share: float64 [c], of all variance; 0 if the shapes are all the same (what
            is left is rounding).
        scores: float64 [n, c], where every shape lies.
    """

    mean: Doubles
    components: Doubles
    variance: Doubles
    share: Doubles
    scores: Doubles

    def shape_at(self, scores: npt.ArrayLike) -> Doubles:
        """The shape [k, 2] with these scores [m], m ≤ c; the others are 0."""
        given = np.asarray(scores, np.float64).ravel()
        moved: Doubles = self.mean + np.tensordot(given, self.components[: len(given)], 1)
        return moved


@checked
def procrustes(landmarks: Real[npt.ArrayLike, "shapes landmarks 2"], *, mirror: bool = False) -> Shapes:
    """Align shapes to their common mean by place, turn and size.

    Args:
        landmarks: [n, k, 2] in pixels, every one known.
        mirror: whether a shape may be mirrored, as left and right wings are of each other.

    Raises:
        CongealError: for another shape of the array, fewer than 2 shapes or 3 landmarks, a landmark that is
            not a number, or landmarks that all lie on one point.
    """
    points = np.asarray(landmarks, np.float64)
    if len(points) < 2 or points.shape[1] < 3:
        raise CongealError(
            f"{len(points)} shapes of {points.shape[1]} landmarks cannot be compared: 2 of 3 are the least"
        )
    missing = np.argwhere(~np.isfinite(points).all(2))
    if len(missing):
        raise CongealError(
            f"landmark {missing[0][1]} of shape {missing[0][0]} is missing: leave the shape out"
        )
    centred = points - points.mean(1, keepdims=True)
    sizes = np.sqrt((centred**2).sum((1, 2)))
    if (sizes == 0).any():
        raise CongealError(f"the landmarks of shape {int(np.argmin(sizes))} all lie on one point")
    unit = centred / sizes[:, None, None]
    mean, flipped = unit[0], np.zeros(len(unit), bool)
    aligned = unit
    for _ in range(ROUNDS):
        aligned, flipped = _turned(unit, mean, mirror)
        centre = aligned.mean(0)
        following = centre / np.sqrt((centre**2).sum())
        # The mean may drift around while it settles: the first shape holds it.
        following = _turned(following[None], mean, mirror=False)[0][0]
        change = float(((following - mean) ** 2).sum())
        mean = following
        if change < CLOSE**2:
            break
    aligned, flipped = _turned(unit, mean, mirror)
    cosine = np.clip((aligned * mean).sum((1, 2)), -1, 1)
    return Shapes(aligned, mean, sizes, flipped, np.arccos(cosine))


def principal_components(shapes: Shapes, components: int | None = None) -> ShapeSpace:
    """The principal components of aligned shapes, in the tangent space at their mean.

    components: how many, from 0; None: all that can vary.

    Raises CongealError for more than there can be.
    """
    n, k, _ = shapes.aligned.shape
    # Place, turn and size are gone: 4 of 2k directions.
    most = min(n - 1, 2 * k - 4)
    count = most if components is None else components
    if not 0 <= count <= most:
        raise CongealError(f"{n} shapes of {k} landmarks have 1 to {most} components, not {count}")
    mean = shapes.mean.ravel()
    flat = shapes.aligned.reshape(n, -1)
    tangent = flat / (flat @ mean)[:, None] - mean
    centre = tangent.mean(0)
    left, spread, right = np.linalg.svd(tangent - centre, full_matrices=False)
    signs = np.sign(np.take_along_axis(right, np.abs(right).argmax(1)[:, None], 1))
    axes, scores = right * signs, left * spread * signs.T
    variance = spread**2 / (n - 1)
    total = float(variance.sum())
    return ShapeSpace(
        mean=(mean + centre).reshape(k, 2),
        components=axes[:count].reshape(count, k, 2),
        variance=variance[:count],
        share=variance[:count] / total if total > STILL else np.zeros(count),
        scores=scores[:, :count],
    )


def _turned(shapes: Doubles, mean: Doubles, mirror: bool) -> tuple[Doubles, Flags]:
    """Shapes [n, k, 2] rotated to the mean, and which of them were mirrored for it."""
    # As complex numbers, the best rotation is the direction of one inner product (Kent 1994).
    numbers, aim = shapes[..., 0] + 1j * shapes[..., 1], mean[:, 0] + 1j * mean[:, 1]
    plain, other = numbers.conj() @ aim, numbers @ aim
    flipped = (np.abs(other) > np.abs(plain)) & mirror
    chosen = np.where(flipped[:, None], numbers.conj(), numbers)
    inner = np.where(flipped, other, plain)
    length = np.abs(inner)
    turned = chosen * np.where(length > 0, inner / np.where(length > 0, length, 1), 1)[:, None]
    return np.stack([turned.real, turned.imag], -1), flipped
