"""Sets seen at eight angles: turned pixels and arrays, and the way back to the images as they are.

Turning by t eighths of a full turn takes the frame position z = x + iy (y down) to z·e^(−iπt/4): against the
clock on a screen, as `numpy.rot90` does for even t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Real
from PIL import Image
from torch import Tensor

from congeal.alignment.inputs.image_set import ImageArrays, Rows, rows_of
from congeal.alignment.model import SALIENT, Alignment, Anchor
from congeal.errors import CongealError
from congeal.geometry.shape_checks import Numbers, check_fields
from congeal.geometry.warps import grid, sample
from congeal.imaging.decoding import Pixels
from congeal.transfer.forward_backward_error import forward_backward_error

Array = npt.NDArray[np.floating]
Whole = npt.NDArray[np.integer]

TURNS = 8
EIGHTH = 2 * math.pi / TURNS


def turned_pixels(image: Pixels, turn: int) -> Pixels:
    """A square image uint8 [s, s, 3] turned about its middle; what comes in at the corners is as its edge."""
    quarters, rest = divmod(turn % TURNS * 4, TURNS)
    if rest == 0:
        return np.ascontiguousarray(np.rot90(image, quarters))
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    usual = tuple(int(value) for value in np.median(edge, 0))
    angle = math.degrees(turn * EIGHTH)
    return np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC, fillcolor=usual))


def all_turned(images: Pixels, turns: Whole) -> Pixels:
    """Square images uint8 [n, s, s, 3], each turned by ``turns`` int [n], see `turned_pixels`."""
    return np.stack([turned_pixels(image, turn) for image, turn in zip(images, turns.tolist(), strict=True)])


@dataclass(frozen=True)
class Turned:
    """The features of n images turned by 1 to 7 eighths of a full turn.

    Attributes:
        features: [n, 7, g, g, c].
        saliency: [n, 7, g, g].
        mirrored_features, mirrored_saliency: the same of the images first turned and then mirrored left to
            right, or None.
    """

    features: Real[Array, "n 7 g g c"]
    saliency: Numbers[Array, "n 7 g g"]
    mirrored_features: Real[Array, "n 7 g g c"] | None = None
    mirrored_saliency: Numbers[Array, "n 7 g g"] | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.features)
        if len(shape) != 5 or shape[1] != TURNS - 1:
            raise CongealError(
                f"features of turned images have the shape [n, {TURNS - 1}, g, g, c], not {list(shape)}"
            )
        check_fields(self)

    def check(self, upright: ImageArrays) -> None:
        """Raises CongealError if the arrays are not of the same images."""
        asked, given = np.shape(upright.features), np.shape(self.features)
        if asked[:1] != given[:1] or asked[1:] != given[2:]:
            raise CongealError(f"turned features {list(given)} do not go with features {list(asked)}")

    def some(self, rows: Rows) -> Turned:
        """Those of some of the images."""
        return Turned(**rows_of(self, Turned, rows))

    def chosen(self, upright: ImageArrays, turns: Whole, extent: float) -> ImageArrays:
        """The arrays of a set with each image turned by ``turns`` int [n].

        Raises:
            CongealError: if the arrays are not of the same images.
        """
        self.check(upright)
        valid = np.ones(np.shape(upright.saliency)) if upright.valid is None else upright.valid
        return ImageArrays(
            _picked(upright.features, self.features, turns),
            _picked(upright.saliency, self.saliency, turns),
            _both(upright.mirrored_features, self.mirrored_features, turns),
            _both(upright.mirrored_saliency, self.mirrored_saliency, turns),
            _turned_masks(valid, turns, extent),
        )


def _picked(upright: Array, turned: Array, turns: Whole) -> Array:
    return np.stack(
        [upright[i] if turn == 0 else turned[i, turn - 1] for i, turn in enumerate(turns.tolist())]
    )


def _both(upright: Array | None, turned: Array | None, turns: Whole) -> Array | None:
    return None if upright is None or turned is None else _picked(upright, turned, turns)


def _turned_masks(valid: Array, turns: Whole, extent: float) -> Array:
    """Masks [n, g, g] of turned images: a cell is on the image if the place that it shows is."""
    shown = torch.as_tensor(np.ascontiguousarray(valid)).float()[..., None]
    places = _spun(grid(shown.shape[1], extent, shown.device).expand(len(turns), -1, -1, -1), turns)
    masks: Array = (sample(shown, places, extent, "zeros")[..., 0] > 0.5).float().numpy()
    return masks


def turned_views(values: Tensor, extent: float) -> npt.NDArray[np.float32]:
    """Values float32 [n, g, g] of images in their seven turned views, [n, 7, g, g]; 0 beyond the image."""
    places = grid(values.shape[1], extent, values.device).expand(len(values), -1, -1, -1)
    views = []
    for turn in range(1, TURNS):
        there = _spun(places, np.full(len(values), turn))
        views.append(sample(values[..., None], there, extent, "zeros")[..., 0])
    turned: npt.NDArray[np.float32] = torch.stack(views, 1).numpy()
    return turned


def _spun(places: Tensor, turns: Whole, sign: float = 1.0) -> Tensor:
    """Places [n, ..., 2] in frames turned by ``turns``, in the images as they are; sign −1: the way there."""
    angle = torch.as_tensor(turns).double() * (EIGHTH * sign)
    shape = (-1, *(1,) * (places.ndim - 2))
    cosine, sine = angle.cos().float().view(shape), angle.sin().float().view(shape)
    x, y = places.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


def _sense(mirrored: npt.NDArray[np.bool_]) -> Array:
    """Which way a turn of the image turns the pose, which lies on the other side of the mirror."""
    return np.where(mirrored, -1.0, 1.0)


def to_upright(aligned: Alignment, turns: Whole) -> Alignment:
    """An alignment of turned images as one of the images as they are. turns: int [n], eighths."""
    n, m = aligned.backward.shape[:2]
    backward, sure = torch.as_tensor(aligned.backward), torch.as_tensor(aligned.backward_confidence)
    there = _spun(grid(m, 1.0, backward.device).expand(n, -1, -1, -1), turns, -1.0)
    onward = _spun(torch.as_tensor(aligned.forward), turns).numpy()
    back = sample(backward, there).numpy()
    return replace(
        aligned,
        rotation=wrapped(aligned.rotation + _sense(aligned.mirrored) * turns * EIGHTH),
        translation=_spun(torch.as_tensor(aligned.translation), turns).numpy(),
        forward=onward,
        backward=back,
        cycle_error=forward_backward_error(onward, back, aligned.atlas.saliency, SALIENT),
        backward_confidence=sample(sure[..., None], there, padding="zeros")[..., 0].numpy(),
    )


def turns_to_atlas(aligned: Alignment) -> Whole:
    """By how many eighths images are to be turned to stand as their atlas does, int64 [n].

    Up to half an eighth of what `aligned` says of images as they are is left.
    """
    turns: Whole = np.rint(_sense(aligned.mirrored) * aligned.rotation / EIGHTH).astype(np.int64) % TURNS
    return turns


def from_upright(aligned: Alignment, turns: Whole) -> Alignment:
    """An alignment of images as they are as one of the images turned by ``turns`` int [n], eighths."""
    return to_upright(aligned, -turns)


def turned_anchor(anchor: Anchor, turns: Whole) -> Anchor:
    """Poses of images as they are as poses of the turned ones. turns: int [n], eighths."""
    translation = _spun(torch.as_tensor(np.asarray(anchor.translation, np.float32)), turns, -1.0)
    return replace(
        anchor,
        rotation=wrapped(anchor.rotation - _sense(anchor.mirrored) * turns * EIGHTH),
        translation=translation.numpy(),
    )


def wrapped(angle: Array) -> Array:
    """Angles [n], radians, as float32 [n] from −π to π."""
    wrapped: Array = np.angle(np.exp(1j * angle)).astype(np.float32)
    return wrapped
