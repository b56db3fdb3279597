"""What is known of a backbone whatever images come: measured once, shipped or kept in a cache folder.

The package ships the facts of its own backbone. Those of others are kept on the machine, in a folder that may
be deleted at any time, named by everything that bears on them. What lies there is not trusted: arrays of
another shape, or that cannot be directions, count as absent. A folder that cannot be written costs time only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from congeal.backbones import embedded
from congeal.backbones.cache_folder import keep, kept

if TYPE_CHECKING:
    from congeal.backbones.backbone_spec import BackboneSpec
    from congeal.backbones.torch_backbone import Backbone

VERSION = 1  # raised where measuring would give other numbers
CACHE = "backbones"  # the folder in the cache
_DIRECTIONS, _BLANK = "directions", "blank"
_TOLERANCE = 1e-3  # of the directions' scalar products
_MOST_BYTES = 64 * 2**20  # of a file that is looked into


class BackboneFacts(NamedTuple):
    """directions: of position, float32 [k, c], orthonormal; blank: contrast of blank images, float32 [p].

    See `congeal.backbones.position_bias`; p counts the places where features are taken.
    """

    directions: npt.NDArray[np.float32]
    blank: npt.NDArray[np.float32]


def measure(backbone: Backbone) -> BackboneFacts:
    """The facts of a loaded backbone, from pictures without content."""
    from congeal.backbones.position_bias import blank_contrast, position_directions

    directions = position_directions(backbone)
    return BackboneFacts(directions, blank_contrast(backbone, directions))


def shipped(spec: BackboneSpec, fingerprint: str, precision: str) -> BackboneFacts | None:
    """The package's facts, if they are of this spec with these weights at this resolved precision."""
    from congeal.backbones.backbone_spec import BackboneSpec, geometry

    if spec.name != embedded.NAME or geometry(spec) != geometry(BackboneSpec(embedded.NAME)):
        return None
    card = embedded.facts_card()
    if (card["version"], card["weights_fingerprint"]) != (VERSION, fingerprint):
        return None
    return _checked(embedded.facts(), spec, f"{precision}.")


def cached(spec: BackboneSpec, fingerprint: str, precision: str, device: str) -> BackboneFacts | None:
    """What this machine has measured before, None if nothing sound is kept.

    precision, device: as resolved; the device's type. fingerprint: of the weights.
    """
    content = kept(CACHE, _name(spec, fingerprint, precision, device), _MOST_BYTES)
    return None if content is None else _checked(content, spec)


def remember(facts: BackboneFacts, spec: BackboneSpec, fingerprint: str, precision: str, device: str) -> None:
    """Keep facts for later runs on this machine; where that is not possible, they are measured again."""
    content = encoded({_DIRECTIONS: facts.directions, _BLANK: facts.blank})
    keep(CACHE, _name(spec, fingerprint, precision, device), content)


def encoded(arrays: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """Arrays by name, float32 [...] of any shape, as a safetensors file."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(safetensors.numpy.save(whole))


def _name(spec: BackboneSpec, fingerprint: str, precision: str, device: str) -> str:
    key: list[Any] = [
        VERSION, spec.name, spec.image_size, spec.layer, spec.facet, list(spec.beside), spec.stride,
        spec.engine, fingerprint, precision, device,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32] + ".safetensors"


def _checked(content: bytes, spec: BackboneSpec, lead: str = "") -> BackboneFacts | None:
    """The facts in a safetensors file, None if they cannot be those of the spec."""
    from congeal.backbones.backbone_spec import geometry
    from congeal.backbones.position_bias import DIRECTIONS

    try:
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError):
        return None
    sizes = list(geometry(spec).taps.values())
    count = sum(min(DIRECTIONS, size) for size in sizes)
    directions = _sound(arrays, lead + _DIRECTIONS, (count, sum(sizes)))
    blank = _sound(arrays, lead + _BLANK, (len(sizes),))
    if directions is None or blank is None or bool(np.any(blank < 0)):
        return None
    if not np.allclose(directions @ directions.T, np.eye(count), atol=_TOLERANCE):
        return None
    return BackboneFacts(directions, blank)


def _sound(
    arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]
) -> npt.NDArray[np.float32] | None:
    """An array of numbers of that shape; None if there is none."""
    found = arrays.get(name)
    if found is None or found.dtype != np.float32 or found.shape != shape or not np.isfinite(found).all():
        return None
    return found
