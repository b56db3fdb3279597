"""From images to their alignment without storage: `congeal.align_images`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from congeal.alignment.config import SolverConfig
from congeal.alignment.image_features import backbone_facts, extract_features, order_by_medoid
from congeal.alignment.image_result import ImageAlignment
from congeal.alignment.inputs.rotated_views import Turned
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.model import PER_IMAGE, Alignment, joined
from congeal.alignment.solver import align, fit
from congeal.backbones.devices import resolve_device
from congeal.backbones.extractor import Backbone, BackboneSpec, load_backbone
from congeal.errors import CongealError, ImageError
from congeal.imaging.image_inputs import ImageInput, SquaredImage, listed, read_square

ATLAS_SIZE = 24  # most images that build the atlas; the rest are fitted to it, as in a run
SLAB, SLAB_AT_ANY_ANGLE = 32, 8  # images that are fitted at once, as in a run


def align_images(
    images: Sequence[ImageInput] | Mapping[str, ImageInput] | str | os.PathLike[str],
    *,
    backbone: str | Backbone = "embedded",
    weights: str | os.PathLike[str] | bytes | None = None,
    image_size: int | None = None,
    resolution: int = 64,
    map_resolution: int = 64,
    atlas_size: int = ATLAS_SIZE,
    rotation: Literal["upright", "any"] = "upright",
    value_range: tuple[float, float] | None = None,
    seed: int = 0,
    device: str = "auto",
    errors: Literal["raise", "skip"] = "raise",
    config: SolverConfig | None = None,
) -> ImageAlignment:
    """Align images that show one kind of thing, from the files or pixels, without storage.

    The result is that of a run over the same files with `clusters.method=single`, whatever the order in which
    they are given. Only files that are byte for byte the same count once in a run and every time here.

    Args:
        images: paths, bytes of image files, Pillow images, or arrays uint8 [h, w, 3] (RGB) or [h, w] (grey),
            mixed as you like; a dictionary of names to them; or the path of a folder of image files. EXIF
            orientation is applied; an array is taken as it is.
        backbone: "embedded" (in the package), a name of timm's (fetched from its hub unless there are
            weights), or what `congeal.load_backbone` has loaded.
        weights: of a backbone given by name: the path or the bytes of a safetensors file.
        image_size: side in pixels of the squares that a backbone given by name sees; absent, its own.
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the maps from image to atlas.
        atlas_size: most images that build the atlas, those nearest to the medoid; the rest are fitted to it.
        rotation: "upright": things stand alike, to within about 45°; "any": they lie at any angle, which
            takes eight times as long to see.
        value_range: low and high value of images with more than 8 bits a sample, which become black and
            white; absent, what each file states, else percentiles of its own.
        seed: fixes the drawing of hypotheses.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1".
        errors: "raise": an image that cannot be read is an error; "skip": it is left out and recorded.
        config: every number of the solver that decides the result; absent, the default.

    Raises:
        ImageError: if an image cannot be read; it says which.
        CongealError: for an argument that is not sound, or if no image can be read.
    """
    _one_of("rotation", rotation, ("upright", "any"))
    _one_of("errors", errors, ("raise", "skip"))
    names, given = listed(images)
    if isinstance(atlas_size, bool) or not isinstance(atlas_size, int) or atlas_size < 1:
        raise CongealError(f"atlas_size is a number of images, at least 1, not {atlas_size!r}")
    _check_range(value_range)
    model = _backbone(backbone, weights, image_size, device)
    read, failed = _read(names, given, model.image_size, value_range, skip=errors == "skip")
    # By content, as a run's images are by their ids: so the order in which they are given does not matter.
    arranged = sorted(range(len(read)), key=lambda place: read[place].content)
    seen = extract_features(
        model,
        np.stack([read[place].square for place in arranged]),
        [read[place].frame for place in arranged],
        any_angle=rotation == "any",
    )
    order = order_by_medoid(seen.embedding)
    facts = backbone_facts(model)
    where = resolve_device(device) if isinstance(backbone, str) else model.device
    builders, rest = order[:atlas_size], order[atlas_size:]
    arrays = _rows(seen.arrays, builders)
    first = align(
        arrays.features,
        arrays.saliency,
        mirrored_features=arrays.mirrored_features,
        mirrored_saliency=arrays.mirrored_saliency,
        turned=arrays.turned,
        position=facts.position,
        blank=facts.blank,
        parts=facts.parts,
        valid=arrays.valid,
        extent=arrays.extent,
        resolution=resolution,
        map_resolution=map_resolution,
        seed=seed,
        device=where,
        config=config,
    )
    parts = [first]
    slab = SLAB if seen.arrays.turned is None else SLAB_AT_ANY_ANGLE
    for start in range(0, len(rest), slab):
        arrays = _rows(seen.arrays, rest[start : start + slab])
        parts.append(
            fit(
                first.atlas,
                arrays.features,
                arrays.saliency,
                mirrored_features=arrays.mirrored_features,
                mirrored_saliency=arrays.mirrored_saliency,
                turned=arrays.turned,
                valid=arrays.valid,
                extent=arrays.extent,
                map_resolution=map_resolution,
                seed=seed,
                device=where,
                config=config,
            )
        )
    return ImageAlignment(
        names=tuple(names),
        failed=failed,
        alignment=_in_order(parts, [arranged[place] for place in order]),
        frames=tuple(one.frame for one in read),
        squares=np.stack([one.square for one in read]),
        inputs=tuple(image for name, image in zip(names, given, strict=True) if name not in failed),
        backbone=model.name,
    )


def _backbone(
    backbone: str | Backbone,
    weights: str | os.PathLike[str] | bytes | None,
    image_size: int | None,
    device: str,
) -> Backbone:
    if isinstance(backbone, Backbone):
        if weights is not None or image_size is not None:
            raise CongealError("a loaded backbone has its weights and its image size: give its name instead")
        return backbone
    if not isinstance(backbone, str):
        raise CongealError(
            f"a backbone is a name or what congeal.load_backbone returns, not {type(backbone).__name__}"
        )
    spec = BackboneSpec(backbone, image_size=image_size)
    if weights is None:
        return _known_backbone(spec, device)
    if not isinstance(weights, bytes):
        try:
            weights = Path(weights).read_bytes()
        except OSError as error:
            raise CongealError(f"the weights {str(weights)!r} cannot be read: {error.strerror}") from error
    return load_backbone(spec, weights, device)


@lru_cache(maxsize=1)
def _known_backbone(spec: BackboneSpec, device: str) -> Backbone:
    return load_backbone(spec, None, device)


def _read(
    names: Sequence[str],
    images: Sequence[Any],
    size: int,
    value_range: tuple[float, float] | None,
    *,
    skip: bool,
) -> tuple[list[SquaredImage], dict[str, str]]:
    """The images that can be read, and why the others cannot."""
    read: list[SquaredImage] = []
    failed: dict[str, str] = {}
    for name, image in zip(names, images, strict=True):
        try:
            read.append(read_square(image, size, value_range))
        except ImageError as error:
            if not skip:
                raise type(error)(f"the image {name!r}: {error.reason}") from error
            failed[name] = error.reason
    if not read:
        name, reason = next(iter(failed.items()))
        if len(names) == 1:
            raise CongealError(f"the only image, {name!r}, cannot be read: {reason}")
        raise CongealError(f"none of the {len(names):,} images can be read; {name!r}: {reason}")
    return read, failed


def _rows(arrays: SetArrays, rows: Sequence[int]) -> SetArrays:
    """Some of the images."""

    def taken(array: npt.NDArray[Any] | None) -> Any:
        return None if array is None else array[list(rows)]

    turned = arrays.turned
    if turned is not None:
        turned = Turned(
            taken(turned.features),
            taken(turned.saliency),
            taken(turned.mirrored_features),
            taken(turned.mirrored_saliency),
        )
    return replace(
        arrays,
        features=taken(arrays.features),
        saliency=taken(arrays.saliency),
        mirrored_features=taken(arrays.mirrored_features),
        mirrored_saliency=taken(arrays.mirrored_saliency),
        valid=taken(arrays.valid),
        turned=turned,
    )


def _in_order(parts: Sequence[Alignment], order: Sequence[int]) -> Alignment:
    """The parts' images one after the other, which stand at the positions `order`, in order of these."""
    every, places = joined(parts), np.argsort(order)
    values: dict[str, Any] = {name: getattr(every, name)[places] for name in PER_IMAGE}
    return replace(
        every,
        **values,
        outlier_reason=[every.outlier_reason[place] for place in places.tolist()],
        medoid=int(order[every.medoid]),
    )


def _check_range(value_range: Any) -> None:
    if value_range is None:
        return
    try:
        low, high = (float(value) for value in value_range)
        sound = math.isfinite(low) and math.isfinite(high) and low < high
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise CongealError(f"value_range is a low value and a high one, as (0, 4095), not {value_range!r}")


def _one_of(what: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise CongealError(f"{what} is {' or '.join(map(repr, allowed))}, not {value!r}")
