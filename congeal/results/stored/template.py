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


def template_in(group: zarr.Group) -> Template:
    """The template that a group holds, whatever its version. Raises DamagedError if it lacks a part."""
    from congeal.alignment.model import Exemplars
    from infra.storage.zarr_groups import array_in, find_array, read_whole

    def whole(array: ZarrArray) -> npt.NDArray[Any]:
        return read_whole(array_in(group, array.path))

    basis = find_array(group, ATLAS_BASIS.path)
    if basis is None:
        mean, projection, discriminant = (whole(array) for array in FORMER_BASIS)
        exemplars = Exemplars(*(whole(array) for array in FORMER_EXEMPLARS))
    else:
        table, places = read_whole(basis), whole(EXEMPLAR_PLACES)
        mean, projection, discriminant = table[:-1, -1], table[:-1, :-1], table[-1]
        exemplars = Exemplars(whole(EXEMPLAR_FEATURES), places[..., :2], places[..., 2])
    return Template(
        features=whole(ATLAS_FEATURES),
        saliency=whole(ATLAS_SALIENCY),
        mean=np.ascontiguousarray(mean),
        projection=np.ascontiguousarray(projection),
        discriminant=discriminant,
        exemplars=exemplars,
    )
