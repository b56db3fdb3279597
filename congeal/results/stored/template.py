"""The template of an atlas as it is stored: its parts in few arrays, and in those of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from congeal.results.schema.atlas_arrays import (
    ATLAS_BASIS,
    ATLAS_FEATURES,
    ATLAS_SALIENCY,
    EXEMPLAR_FEATURES,
    EXEMPLAR_PLACES,
    FORMER_BASIS,
    FORMER_EXEMPLARS,
)
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.results.stored.arrays import require_same, stored_whole

if TYPE_CHECKING:
    import zarr

    from congeal.alignment.model import Atlas, Exemplars


class Template(TypedDict):
    """The fields of `congeal.alignment.model.Atlas` that are arrays."""

    features: npt.NDArray[np.float16]
    saliency: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    projection: npt.NDArray[np.float32]
    discriminant: npt.NDArray[np.float32]
    exemplars: Exemplars


def template_arrays(atlas: Atlas) -> Mapping[ZarrArray, npt.NDArray[Any]]:
    """What is stored of an atlas' template: TEMPLATE, in their types.

    Each object of a store costs a request: basis [c, d], mean [c] and discriminant [d + 1] are one array,
    [c + 1, d + 1], and so are places and saliency of the exemplars, [e, k, 3].
    """
    exemplars = atlas.exemplars
    upper = np.concatenate([atlas.projection, atlas.mean[:, None]], axis=1)
    arrays: dict[ZarrArray, npt.NDArray[Any]] = {
        ATLAS_FEATURES: atlas.features,
        ATLAS_SALIENCY: atlas.saliency,
        ATLAS_BASIS: np.concatenate([upper, atlas.discriminant[None]]),
        EXEMPLAR_FEATURES: exemplars.features,
        EXEMPLAR_PLACES: np.concatenate([exemplars.places, exemplars.weight[..., None]], axis=-1),
    }
    return {array: data.astype(array.dtype) for array, data in arrays.items()}


def _cells(saliency: npt.NDArray[Any]) -> dict[str, int]:
    return {"rows of its saliency": saliency.shape[0], "columns of its saliency": saliency.shape[1]}


def template_in(group: zarr.Group) -> Template:
    """The template that a group holds, whatever its version. Raises DamagedError if it lacks a part."""
    from congeal.alignment.model import Exemplars
    from infra.storage.zarr_groups import find_array

    def whole(array: ZarrArray) -> npt.NDArray[Any]:
        return stored_whole(group, array)

    if find_array(group, ATLAS_BASIS.path) is None:
        mean, projection, discriminant = (whole(array) for array in FORMER_BASIS)
        exemplars = Exemplars(*(whole(array) for array in FORMER_EXEMPLARS))
    else:
        table, places = whole(ATLAS_BASIS), whole(EXEMPLAR_PLACES)
        mean, projection, discriminant = table[:-1, -1], table[:-1, :-1], table[-1]
        exemplars = Exemplars(whole(EXEMPLAR_FEATURES), places[..., :2], places[..., 2])
    features, saliency = whole(ATLAS_FEATURES), whole(ATLAS_SALIENCY)
    url = str(group.store_path)
    channels = {"features": features.shape[2], "basis": len(projection), "mean": len(mean)}
    require_same(url, channels)
    components = {"basis": projection.shape[1], "exemplars": exemplars.features.shape[2]}
    require_same(url, components | {"discriminant": len(discriminant) - 1})
    require_same(url, dict(zip(("rows", "columns"), features.shape[:2], strict=True)) | _cells(saliency))
    for axis, what in enumerate(("exemplars", "tokens")):
        parts: tuple[npt.NDArray[Any], ...] = (exemplars.features, exemplars.places, exemplars.weight)
        require_same(url, {f"{what} {number}": part.shape[axis] for number, part in enumerate(parts)})
    return Template(
        features=features,
        saliency=saliency,
        mean=np.ascontiguousarray(mean),
        projection=np.ascontiguousarray(projection),
        discriminant=discriminant,
        exemplars=exemplars,
    )
