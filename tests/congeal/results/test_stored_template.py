"""An atlas' template is read as it was written, by this version and by those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from congeal.alignment.model import Atlas, Exemplars
from congeal.results.schema.atlas_arrays import (
    ATLAS_BASIS,
    ATLAS_FEATURES,
    ATLAS_SALIENCY,
    FORMER_BASIS,
    FORMER_EXEMPLARS,
)
from congeal.results.stored.template import template_arrays, template_in
from infra.errors import DamagedError
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


ATLAS = Atlas(
    features=floats(4, 4, 5).astype(np.float16),
    saliency=floats(4, 4),
    mean=floats(5),
    projection=floats(5, 3),
    discriminant=floats(4),
    exemplars=Exemplars(floats(2, 6, 3).astype(np.float16), floats(2, 6, 2), floats(2, 6)),
)


def stored(place: Location, arrays: dict[Any, Any]) -> Any:
    specs = {array.path: ArraySpec(data, array.dims) for array, data in arrays.items()}
    for path, data in encode_group(specs, {}).items():
        (place / path).write_bytes(data)
    return open_group(place)


def former() -> dict[Any, Any]:
    exemplars = ATLAS.exemplars
    return {
        ATLAS_FEATURES: ATLAS.features,
        ATLAS_SALIENCY: ATLAS.saliency,
        **dict(zip(FORMER_BASIS, (ATLAS.mean, ATLAS.projection, ATLAS.discriminant), strict=True)),
        **dict(zip(FORMER_EXEMPLARS, (exemplars.features, exemplars.places, exemplars.weight), strict=True)),
    }


@pytest.mark.parametrize("arrays", [template_arrays(ATLAS), former()], ids=["today", "before"])
def test_a_template_comes_back_exactly(arrays: Any, memory_location: Location) -> None:
    found = template_in(stored(memory_location, arrays))
    exemplars = found["exemplars"]
    for name, value in found.items():
        if name == "exemplars":
            continue
        np.testing.assert_array_equal(value, getattr(ATLAS, name))
        assert np.asarray(value).dtype == getattr(ATLAS, name).dtype
    for name in ("features", "places", "weight"):
        np.testing.assert_array_equal(getattr(exemplars, name), getattr(ATLAS.exemplars, name))


def test_a_template_that_lacks_a_part_is_damage(memory_location: Location) -> None:
    arrays = {array: data for array, data in template_arrays(ATLAS).items() if array is not ATLAS_BASIS}
    with pytest.raises(DamagedError, match="it has no array atlas/mean"):
        template_in(stored(memory_location, arrays))
