"""Further instances: where else in an image the thing of its atlas shows, each of them mapped by itself.

What an image's map covers is taken away, and the rest fitted to the atlas as a new image would be. Only what
the atlas itself shows clearly is looked for: members that show two things bring the other one along in their
exemplars, at a place of its own, where it is no evidence for another instance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from congeal.alignment.atlas_fitting import Fitted, fit_scored, fitting
from congeal.alignment.config import SolverConfig
from congeal.alignment.config.selection import InstancesConfig
from congeal.alignment.inputs.image_set import ImageArrays, some_of
from congeal.alignment.inputs.rotated_views import Turned
from congeal.alignment.model import Alignment, Atlas, joined, picked
from congeal.alignment.outcomes import OK
from congeal.errors import CongealError
from congeal.geometry.warps import grid, sample
from congeal.transfer.object_confidence import object_confidence
from congeal_floors.plurals import counted

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Known:
    """What is known of n images: the first instance in each.

    Attributes:
        atlas: of their set.
        backward: float32 [n, m, m, 2], as of `congeal.alignment.model.Alignment`.
        confidence: float32 [n, r, r], its forward_confidence.
        scale: float32 [n].
        good: bool [n], the images that fit the atlas; in the others nothing is looked for.
    """

    atlas: Atlas
    backward: Floats
    confidence: Floats
    scale: Floats
    good: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, aligned: Alignment) -> Known:
        """What an alignment says of its images."""
        good = ~aligned.outlier & (aligned.status == OK)
        return cls(aligned.atlas, aligned.backward, aligned.forward_confidence, aligned.scale, good)


@dataclass(frozen=True)
class Instances:
    """Further instances in the images of a set, by image and number.

    Attributes:
        rows: int64 [k], which image each is in.
        numbers: int32 [k], 1 for the second instance in its image, 2 for the third, …
        aligned: of the k instances, as if each were an image; None: there is none.
    """

    rows: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]
    aligned: Alignment | None


def further_instances(
    known: Known,
    arrays: ImageArrays,
    most: int,
    *,
    turned: Turned | None = None,
    extent: float = 1.0,
    map_resolution: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
    config: SolverConfig | None = None,
) -> Instances:
    """What else of its kind each image of a set shows.

    Args:
        known: of the n images.
        arrays: their features.
        most: instances of an image, the one that is known among them.
        turned, extent, map_resolution, seed, device, config: as of `congeal.fit`.

    Raises:
        CongealError: if the arrays do not fit each other, or most is below 1.
    """
    if most < 1:
        raise CongealError(f"an image has 1 instance at least, not {most}")
    if len(arrays.features) != len(known.good):
        raise CongealError(
            f"there are features of {counted(len(arrays.features), 'image')}, and maps of {len(known.good)}"
        )
    solver = _by_its_own_evidence(config or SolverConfig())
    asked, atlas = solver.instances, focused(known.atlas, solver.instances)
    saliency, g = known.atlas.saliency, arrays.features.shape[1]
    rows = np.flatnonzero(known.good)
    free = np.ones(arrays.features.shape[:3]) if arrays.valid is None else arrays.valid
    free = np.array(free, np.float32)
    taken = covered(known.backward, saliency, g, extent, asked)
    free *= ~taken
    found: list[tuple[npt.NDArray[np.int64], int, Alignment]] = []
    for number in range(1, most):
        left = replace(arrays, valid=free)
        job: Any = {"extent": extent, "map_resolution": map_resolution, "seed": seed, "device": device}
        if len(rows):
            rest = _salient_rest(atlas, some_of(left, rows), job, solver)
            rows = rows[rest >= asked.least_rest * taken[rows].sum((1, 2)).clip(1)]
        if not len(rows):
            break
        fitted = _fitted(atlas, left, turned, rows, job, solver)
        rows, place = _kept(_maps_hold(fitted, known, rows, free[rows], extent, asked), rows, fitted)
        if not len(rows):
            break
        # Where several are left, an exemplar's tokens find now this one, now that: asked once more, alone.
        around = np.zeros_like(free)
        around[rows] = _grown(covered(place.backward, saliency, g, extent, asked))
        fitted = _fitted(atlas, replace(arrays, valid=free * around), turned, rows, job, solver)
        sound = _maps_hold(fitted, known, rows, free[rows], extent, asked) & ~fitted.aligned.outlier
        rows, new = _kept(sound & (fitted.score >= asked.least_evidence), rows, fitted)
        if len(rows):
            found.append((rows, number, replace(new, atlas=known.atlas)))
            free[rows] *= ~covered(new.backward, saliency, g, extent, asked)
    if not found:
        return Instances(np.zeros(0, np.int64), np.zeros(0, np.int32), None)
    images = np.concatenate([some for some, _, _ in found])
    numbers = np.concatenate([np.full(len(some), number, np.int32) for some, number, _ in found])
    order = np.lexsort((numbers, images))
    whole = joined([part for _, _, part in found])
    return Instances(images[order], numbers[order], picked(whole, order.tolist()))


def _by_its_own_evidence(config: SolverConfig) -> SolverConfig:
    """A solver that says of no instance that it does not fit for want of matches but by its own bound.

    One of several in an image is small in it, and has as many fewer tokens that could be matched.
    """
    return replace(config, outliers=replace(config.outliers, least_evidence=config.instances.least_evidence))


def without_others(
    known: Known, found: Instances, valid: Floats, extent: float, config: SolverConfig
) -> Floats:
    """What of the images [n, g, g] is not a further instance, nor right beside one, but where the first is.

    valid: float32 [n, g, g], 1 where a cell lies on its image.
    """
    left = np.array(valid, np.float32)
    if found.aligned is None:
        return left
    g, saliency = left.shape[1], known.atlas.saliency
    own = covered(known.backward[found.rows], saliency, g, extent, config.instances)
    others = covered(found.aligned.backward, saliency, g, extent, config.instances)
    for row, mine, other in zip(found.rows.tolist(), own, _grown(others), strict=True):
        left[row] *= 1 - other * ~mine
    return left


def focused(atlas: Atlas, config: InstancesConfig) -> Atlas:
    """The same atlas; of its exemplars only what lies on its own clearly salient cells counts."""
    known = atlas.exemplars
    places = torch.as_tensor(np.asarray(known.places, np.float32)).reshape(1, 1, -1, 2)
    shown = _at(torch.as_tensor(atlas.saliency)[None], places)[0, 0].reshape(known.weight.shape).numpy()
    weight = np.where(shown >= config.salient, known.weight, 0).astype(np.float32)
    return replace(atlas, exemplars=replace(known, weight=weight))


def covered(
    backward: Floats, saliency: Floats, cells: int, extent: float, config: InstancesConfig
) -> npt.NDArray[np.bool_]:
    """Which of an image's cells its instance takes up: those that its map leads onto the atlas' object.

    backward: [n, m, m, 2]. saliency: [r, r], of the atlas. Returns bool [n, cells, cells].
    """
    n = len(backward)
    here = grid(cells, extent, torch.device("cpu")).expand(n, -1, -1, -1)
    back = sample(torch.as_tensor(np.asarray(backward, np.float32)), here)
    shown = _at(torch.as_tensor(saliency).expand(n, -1, -1), back)
    return (shown >= config.salient).numpy()


def _at(fields: Tensor, places: Tensor) -> Tensor:
    """Fields [n, r, r] at places [n, h, w, 2] in [-1, 1]², 0 beyond: [n, h, w]."""
    return sample(fields[..., None].float(), places, padding="zeros")[..., 0]


def _salient_rest(
    atlas: Atlas, left: ImageArrays, job: dict[str, Any], solver: SolverConfig
) -> npt.NDArray[np.int64]:
    """How many salient cells no instance takes up, of each image."""
    prepared = fitting(atlas, left, **job, config=solver).prepared(left)
    rest: npt.NDArray[np.int64] = (prepared.saliency > solver.instances.salient).sum((1, 2)).cpu().numpy()
    return rest


def _fitted(
    atlas: Atlas,
    left: ImageArrays,
    turned: Turned | None,
    rows: npt.NDArray[np.int64],
    job: dict[str, Any],
    solver: SolverConfig,
) -> Fitted:
    """Some of the images, fitted by what is left of them."""
    some = None if turned is None else turned.some(rows)
    return fit_scored(atlas, some_of(left, rows), turned=some, **job, config=solver)


def _kept(
    sound: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], fitted: Fitted
) -> tuple[npt.NDArray[np.int64], Alignment]:
    return rows[sound], picked(fitted.aligned, np.flatnonzero(sound).tolist())


def _grown(cells: npt.NDArray[np.bool_]) -> Floats:
    """Cells [n, g, g], and those within two of them."""
    grown = functional.max_pool2d(torch.as_tensor(cells).float()[:, None], 5, 1, 2)
    found: Floats = grown[:, 0].numpy()
    return found


def _maps_hold(
    fitted: Fitted,
    known: Known,
    rows: npt.NDArray[np.int64],
    free: Floats,
    extent: float,
    config: InstancesConfig,
) -> npt.NDArray[np.bool_]:
    """Which maps [k] are of a thing of its own, as sure as the first: of images ``rows``.

    free: [k, g, g], 1 where nothing was found before.
    """
    found, saliency = fitted.aligned, known.atlas.saliency
    thing = saliency >= config.salient
    there = torch.as_tensor(found.forward) / extent
    alone = (_at(torch.as_tensor(free), there).numpy() * thing).sum((1, 2)) / max(int(thing.sum()), 1)
    sure = object_confidence(found.forward_confidence, saliency, config.salient)
    usual = object_confidence(known.confidence[rows], saliency, config.salient)
    size = found.scale / np.maximum(known.scale[rows], 1e-6)
    return np.asarray(
        (alone >= config.least_alone)
        & (sure >= config.least_confidence * usual)
        & (size <= config.most_scale)
        & (size >= 1 / config.most_scale),
        bool,
    )
