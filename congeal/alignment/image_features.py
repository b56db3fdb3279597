"""The dense features of a set of images, as the solver takes them and as a run stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from congeal.alignment.inputs.backbone_stats import BackboneFacts
from congeal.alignment.inputs.rotated_views import TURNS, Turned, turned_pixels
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.backbones.extractor import Backbone
from congeal.backbones.position_bias import blank_contrast, position_directions
from congeal.geometry.frames import Frame, cell_centres
from congeal.imaging.decoding import Pixels

BATCH = 4  # images that a backbone sees at once

Halves = npt.NDArray[np.float16]

_facts: WeakKeyDictionary[Backbone, BackboneFacts] = WeakKeyDictionary()


@dataclass(frozen=True)
class ImageFeatures:
    """The features of n images.

    Attributes:
        arrays: those that `congeal.align_many` takes, features and saliency in float16.
        embedding: float32 [n, d], unit length; over all angles if the images are seen at several.
    """

    arrays: SetArrays
    embedding: npt.NDArray[np.float32]


def extract_features(
    backbone: Backbone,
    squares: Pixels,
    frames: Sequence[Frame],
    *,
    any_angle: bool = False,
    mirror: bool = True,
) -> ImageFeatures:
    """What a backbone sees in n images and in their mirror images.

    Args:
        backbone: see `congeal.load_backbone`.
        squares: uint8 [n, s, s, 3] of the backbone's image size.
        frames: of the images, n.
        any_angle: whether the images are also seen turned by 1 to 7 eighths of a full turn.
        mirror: whether their mirror images are seen.
    """
    angles = range(TURNS if any_angle else 1)
    upright, *others = [_seen(backbone, squares, turn, mirror) for turn in angles]
    turned, embedding = None, upright.embedding
    if others:
        turned = Turned(
            np.stack([one.features for one in others], 1),
            np.stack([one.saliency for one in others], 1),
            _stacked([one.mirrored_features for one in others]),
            _stacked([one.mirrored_saliency for one in others]),
        )
        embedding = np.mean([one.embedding for one in (upright, *others)], axis=0)
        embedding = embedding / np.linalg.norm(embedding, axis=-1, keepdims=True).clip(1e-9)
    arrays = SetArrays(
        upright.features,
        upright.saliency,
        upright.mirrored_features,
        upright.mirrored_saliency,
        on_image(frames, backbone.grid, backbone.extent),
        turned=turned,
        extent=backbone.extent,
    )
    return ImageFeatures(arrays, embedding)


def backbone_facts(backbone: Backbone) -> BackboneFacts:
    """What a backbone sees in images without content; computed once for every loaded backbone."""
    if backbone not in _facts:
        directions = position_directions(backbone)
        parts = {str(tap): size for tap, size in backbone.taps.items()}
        _facts[backbone] = BackboneFacts(directions, parts, blank_contrast(backbone, directions))
    return _facts[backbone]


def on_image(frames: Sequence[Frame], grid: int, extent: float) -> npt.NDArray[np.float32]:
    """float32 [n, g, g]: 1 where a cell's centre lies on the image, 0 where it lies on its padding."""
    centres = cell_centres(grid, extent)
    return np.stack([frame.inside(frame.to_pixels(centres)) for frame in frames]).astype(np.float32)


def order_by_medoid(embedding: npt.NDArray[np.float32]) -> list[int]:
    """The positions of n images by their distance from the medoid, which comes first.

    embedding: float32 [n, d], unit length.
    """
    mean = embedding.mean(axis=0, dtype=np.float64).astype(np.float32)
    medoid = int(np.argmax(embedding @ mean))
    distance = (1 - embedding @ embedding[medoid]).astype(np.float64)
    distance[medoid] = -np.inf
    found: list[int] = np.argsort(distance, kind="stable").tolist()
    return found


@dataclass(frozen=True)
class _Seen:
    """n images at one angle: features [n, g, g, c] and saliency [n, g, g], mirrored too if they are seen so;
    embedding [n, d].
    """

    features: Halves
    saliency: Halves
    embedding: npt.NDArray[np.float32]
    mirrored_features: Halves | None = None
    mirrored_saliency: Halves | None = None


def _stacked(arrays: Sequence[Halves | None]) -> Halves | None:
    """Arrays [n, ...] of k angles, [n, k, ...]; None if there are none."""
    known = [array for array in arrays if array is not None]
    return np.stack(known, 1) if known else None


def _seen(backbone: Backbone, squares: Pixels, turn: int, mirror: bool) -> _Seen:
    parts = []
    for start in range(0, len(squares), BATCH):
        batch = squares[start : start + BATCH]
        if turn:
            batch = np.stack([turned_pixels(image, turn) for image in batch])
        plain = backbone(batch)
        arrays = [plain.features.half(), plain.saliency.half(), plain.embedding.float()]
        if mirror:
            mirrored = backbone(np.ascontiguousarray(batch[:, :, ::-1]))
            arrays += [mirrored.features.half(), mirrored.saliency.half()]
        parts.append([array.cpu().numpy() for array in arrays])
    return _Seen(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
