"""Places of all images in a plane: alike ones near each other, and each where it was when others come.

Fitted by t-SNE (van der Maaten and Hinton 2008) as openTSNE has it (Policar, Strazar, Zupan 2024) on at most
FITTED images; every other image lies among those of the fitted ones that it resembles most. A few images are
too few for neighbourhoods: there the plane is that of the two leading principal components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

FITTED = 50_000
FEW = 50  # images from which on neighbourhoods are fitted
COMPONENTS = 50  # that are left of the embeddings when they are compared
PERPLEXITY = 30.0
EARLY, ROUNDS = 150, 350  # of gradient descent: with more, nothing moves that one would see
NEAREST = 10  # fitted images that say where another one lies
SHARPNESS = 20.0  # of their say: weights fall by a factor e with 0.05 of cosine
SLAB = 2_048
NORMALISED = 1e-9
TSNE, PCA = "t-SNE", "PCA"


@dataclass(frozen=True)
class FittedMap:
    """Images whose places were fitted: vectors float32 [m, c] of unit length, places float64 [m, 2]."""

    vectors: npt.NDArray[np.float32]
    places: Doubles
    method: str


def fit(vectors: Floats, seed: int, threads: int = 1) -> FittedMap:
    """Places of m <= FITTED images by their embeddings [m, c], the same for the same input.

    Raises CongealError for none, or more than FITTED.
    """
    if not 1 <= len(vectors) <= FITTED:
        raise CongealError(f"a map is fitted on 1 to {FITTED:,} images, not {len(vectors):,}")
    unit = normalised(vectors)
    reduced = _components(unit, COMPONENTS)
    if len(unit) < FEW:
        flat = np.zeros((len(unit), 2))
        flat[:, : min(2, reduced.shape[1])] = reduced[:, :2]
        return FittedMap(unit, flat, PCA)
    return FittedMap(unit, _tsne(reduced, seed, threads), TSNE)


def place(fitted: FittedMap, vectors: Floats) -> Doubles:
    """Where other images [k, c] lie: the mean place of the nearest fitted ones, float64 [k, 2].

    The nearer say more. An image that was fitted itself lies where it was fitted.
    """
    unit = normalised(vectors)
    found = np.empty((len(unit), 2))
    count = min(NEAREST, len(fitted.vectors))
    for start in range(0, len(unit), SLAB):
        scores = unit[start : start + SLAB] @ fitted.vectors.T
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(scores, best, 1).astype(np.float64)
        weight = np.exp(SHARPNESS * (near - near.max(1, keepdims=True)))
        weight /= weight.sum(1, keepdims=True)
        # Neighbours may lie on several islands of the map; between these there is nothing. The nearest one
        # says on which, and those on others lose their say.
        centre = fitted.places[np.take_along_axis(best, near.argmax(1)[:, None], 1)[:, 0]]
        there = fitted.places[best]
        apart = ((there - centre[:, None]) ** 2).sum(2)
        weight *= 1 / (1 + apart / max(_spacing(fitted.places) ** 2, NORMALISED))
        weight /= weight.sum(1, keepdims=True)
        found[start : start + SLAB] = (weight[..., None] * there).sum(1)
    return found


def to_unit_square(places: Doubles) -> Doubles:
    """Places [n, 2] in the middle of [0, 1]², the same scale along both axes; NaN stays NaN."""
    known = places[np.isfinite(places).all(1)]
    if not len(known):
        return np.asarray(places)
    low, high = known.min(0), known.max(0)
    spread = float((high - low).max())
    if spread <= 0:
        return np.where(np.isfinite(places), 0.5, np.nan)
    return np.asarray((places - (low + high) / 2) / (1.04 * spread) + 0.5)


def stratified(groups: npt.NDArray[np.integer], count: int, seed: int) -> npt.NDArray[np.intp]:
    """``count`` of n rows, rising: of each group [n] its share, at least one while there is room."""
    n = len(groups)
    if count >= n:
        return np.arange(n)
    order = np.random.default_rng(seed).permutation(n)
    due = _due(groups[order])
    chosen = np.argsort(due, kind="stable")[:count]
    return np.sort(order[chosen])


def _due(groups: npt.NDArray[np.integer]) -> Doubles:
    """When the turn of each of n rows comes, float64 [n]. Of a million rows few arrays are held at a time."""
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])).astype(np.int32)
    sizes = np.diff(starts, append=np.int32(len(groups)))
    # The k-th of a group of s comes at (k + 1/2)/s of the way: any beginning of this order is stratified;
    # the first of each group comes before all others.
    found = np.arange(0.5, len(groups))
    found -= np.repeat(starts, sizes)
    found /= np.repeat(sizes, sizes)
    found[starts] = -1.0
    due = np.empty(len(groups))
    due[by_group] = found
    return due


def normalised(vectors: Floats) -> npt.NDArray[np.float32]:
    """Rows [n, c] of unit length; one without any stays as it is."""
    wide = np.asarray(vectors, np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), NORMALISED), np.float32)


def _components(vectors: npt.NDArray[np.float32], count: int) -> Doubles:
    """The leading principal components [m, count], each with the sign of its largest loading."""
    centred = np.asarray(vectors, np.float64) - vectors.mean(0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, : min(count, len(vectors), vectors.shape[1])]
    sign = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return np.asarray(centred @ (axes * np.where(sign == 0, 1, sign)))


def _tsne(reduced: Doubles, seed: int, threads: int) -> Doubles:
    import openTSNE

    start = reduced[:, :2] / max(float(reduced[:, 0].std()), NORMALISED) * 1e-4
    perplexity = min(PERPLEXITY, (len(reduced) - 1) / 3)
    with warnings.catch_warnings():
        # Of its own: neighbours are fewer than it would like in small collections.
        warnings.simplefilter("ignore")
        fitted = openTSNE.TSNE(
            perplexity=perplexity,
            initialization=start,
            early_exaggeration_iter=EARLY,
            n_iter=ROUNDS,
            neighbors="exact" if len(reduced) <= SLAB else "auto",
            n_jobs=threads,
            random_state=seed,
        ).fit(reduced)
    return np.asarray(fitted, np.float64)


def _spacing(places: Doubles) -> float:
    """How far apart neighbours are, about: the side of a square per image."""
    spread = np.ptp(places, axis=0)
    return float(np.sqrt(max(float(spread[0] * spread[1]), NORMALISED) / max(len(places), 1)))
