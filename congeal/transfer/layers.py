"""What is painted on images, or on the average of their atlas, carried to another image at its full size.

Every pixel of the target looks back to where it was painted (`congeal.transfer.backward_sampling`):
premultiplied alpha, so that no colour bleeds in from what is transparent; averages where the map shrinks;
several paintings weighed by squared confidence. Memory grows with the target's own pixels and no faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.errors import CongealError
from congeal.transfer.backward_sampling import Painting, Piece, Pixels, look, pieces
from congeal.transfer.fusion import LEAST
from congeal.transfer.points import Maps

__all__ = [
    "Carried",
    "Painting",
    "carry_labels",
    "carry_layer",
    "carry_mask",
    "check",
    "laid_together",
    "over",
]

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Carried:
    """A painting on another image.

    Attributes:
        pixels: of the target's size: uint8 [h, w, 4] (an edit, colours not premultiplied), uint8 [h, w] (a
            mask, 255 inside, its edge anti-aliased) or labels [h, w] in the dtype that they were given in.
        confidence: the mean over what it shows, in [0, 1]; 0 if it shows nothing.
    """

    pixels: Pixels
    confidence: float


def carry_layer(paintings: Sequence[Painting], target: Maps, fade: bool = False) -> Carried:
    """RGBA edits, uint8 [h, w, 4] each, on a target; ``fade``: alpha is multiplied by confidence.

    Raises CongealError for a painting that is not RGBA or not of its image's size.
    """
    for painting in paintings:
        check(painting)
        if painting.pixels.ndim != 3 or painting.pixels.shape[2] != 4 or painting.pixels.dtype != np.uint8:
            raise CongealError("an edit is RGBA, 8 bits a channel: save it with an alpha channel")
    out = np.zeros((target.frame.height, target.frame.width, 4), np.uint8)
    confidence = _Mean()
    for piece in pieces(paintings, target):
        planes, sure = _blended(piece, _premultiplied, 4)
        alpha = planes[3]
        confidence.add(alpha, sure)
        colours = planes[:3] / alpha.clamp_min(1e-6)
        shown = alpha * sure if fade else alpha
        straight = torch.cat([colours, shown[None]]).mul(255).round().clamp(0, 255).byte()
        straight *= straight[3:] > 0
        out[piece.rows, piece.columns] = straight.permute(1, 2, 0).numpy()
    return Carried(out, confidence.value)


def carry_mask(paintings: Sequence[Painting], target: Maps, fade: bool = False) -> Carried:
    """Masks, bool or uint8 [h, w] each (0 outside, 255 or True inside), on a target.

    Raises CongealError for a mask that is not that or not of its image's size.
    """
    for painting in paintings:
        check(painting)
        if painting.pixels.ndim != 2 or painting.pixels.dtype not in (np.uint8, np.bool_):
            raise CongealError("a mask has one channel of 8 bits, or of truth values")
    out = np.zeros((target.frame.height, target.frame.width), np.uint8)
    confidence = _Mean()
    for piece in pieces(paintings, target):
        planes, sure = _blended(piece, _covered, 1)
        confidence.add(planes[0], sure)
        shown = planes[0] * sure if fade else planes[0]
        out[piece.rows, piece.columns] = shown.mul(255).round().clamp(0, 255).byte().numpy()
    return Carried(out, confidence.value)


def carry_labels(paintings: Sequence[Painting], target: Maps) -> Carried:
    """Label maps, integers [h, w] of one dtype, 0 for nothing: each pixel of the target takes the label that
    covers most of it, several maps voting by squared confidence.

    Raises CongealError for a map that is not that or not of its image's size.
    """
    kinds = {painting.pixels.dtype for painting in paintings}
    for painting in paintings:
        check(painting)
        whole = painting.pixels.ndim == 2 and np.issubdtype(painting.pixels.dtype, np.integer)
        if not whole or len(kinds) > 1:
            raise CongealError("label maps have one channel of whole numbers, all of one dtype")
    out = np.zeros((target.frame.height, target.frame.width), next(iter(kinds)))
    confidence = _Mean()
    for piece in pieces(paintings, target):
        labels, sure = _voted(piece)
        confidence.add((labels != 0).float(), sure)
        out[piece.rows, piece.columns] = labels.numpy().astype(out.dtype)
    return Carried(out, confidence.value)


def laid_together(parts: Sequence[Carried], *, masks: bool) -> Carried:
    """What was carried to several things in one image, made by one of the functions above; the first on top.

    masks: whether these are masks, of which the most counts everywhere; else labels or edits.
    """
    below = parts[0].pixels
    for part in parts[1:]:
        if below.ndim == 3:
            below = _with_under(below, part.pixels)
        else:
            below = np.maximum(below, part.pixels) if masks else np.where(below != 0, below, part.pixels)
    weights = [_amount(part.pixels, masks) for part in parts]
    sure = sum(weight * part.confidence for weight, part in zip(weights, parts, strict=True))
    return Carried(below, sure / sum(weights) if sum(weights) else 0.0)


def _amount(pixels: Pixels, masks: bool) -> float:
    """How much is shown: alpha, or what is inside a mask, or pixels that have a label."""
    if pixels.ndim == 3:
        return float(pixels[..., 3].sum())
    return float(pixels.sum() if masks else (pixels != 0).sum())


def _with_under(top: Pixels, under: Pixels) -> Pixels:
    """An edit [h, w, 4] with another under it, both with colours that are not premultiplied."""
    out = top.copy()
    rows, columns = np.nonzero((under[..., 3] > 0) & (top[..., 3] < 255))
    one, two = (edit[rows, columns].astype(np.float32) / 255 for edit in (top, under))
    rest = two[:, 3:] * (1 - one[:, 3:])
    alpha = one[:, 3:] + rest
    colours = (one[:, :3] * one[:, 3:] + two[:, :3] * rest) / np.maximum(alpha, 1e-6)
    out[rows, columns] = np.rint(np.concatenate([colours, alpha], 1) * 255).astype(np.uint8)
    return out


def over(image: Bytes, layer: Bytes) -> Bytes:
    """An RGBA layer [h, w, 4] laid over an image uint8 [h, w, 3]."""
    out = image.copy()
    rows, columns = np.nonzero(layer[..., 3])
    alpha = layer[rows, columns, 3:].astype(np.float32) / 255
    mixed = layer[rows, columns, :3] * alpha + image[rows, columns] * (1 - alpha)
    out[rows, columns] = np.rint(mixed).astype(np.uint8)
    return out


class _Mean:
    """A mean that is added to piece by piece."""

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, weight: Tensor, values: Tensor) -> None:
        self.total += float((weight * values).double().sum())
        self.weight += float(weight.double().sum())

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else 0.0


def _blended(piece: Piece, planes_of: Any, channels: int) -> tuple[Tensor, Tensor]:
    """Premultiplied planes [c, h, w] of all paintings together, and the confidence [h, w]."""
    shape = piece.placed[0].level.shape
    total, sure, weights = torch.zeros((channels, *shape)), torch.zeros(shape), torch.zeros(shape)
    for placed in piece.placed:
        weight = placed.confidence**2 + LEAST
        weights += weight
        sure += weight * placed.confidence
        if placed.patch is not None:
            values = look(planes_of(placed.patch), placed)
            # Bicubic values overshoot; a colour is never more than its alpha.
            total += weight * placed.coverage * torch.minimum(values, values[-1:])
    return total / weights, sure / weights


def _voted(piece: Piece) -> tuple[Tensor, Tensor]:
    """The label [h, w] with most votes, int64, and the confidence [h, w]."""
    shape = piece.placed[0].level.shape
    weights = [placed.confidence**2 + LEAST for placed in piece.placed]
    total = torch.stack(weights).sum(0)
    sure = sum((w * p.confidence for w, p in zip(weights, piece.placed, strict=True)), torch.zeros(shape))
    names = sorted({int(n) for p in piece.placed if p.patch is not None for n in np.unique(p.patch)} - {0})
    nothing, best = total.clone(), torch.zeros(shape)
    labels = torch.zeros(shape, dtype=torch.int64)
    for name in names:
        votes = torch.zeros(shape)
        for weight, placed in zip(weights, piece.placed, strict=True):
            if placed.patch is not None:
                plane = torch.from_numpy((placed.patch == name).astype(np.float32))[None]
                votes += weight * placed.coverage * look(plane, placed)[0]
        labels = torch.where(votes > best, name, labels)
        best = torch.maximum(best, votes)
        nothing -= votes
    return torch.where(best >= nothing, labels, 0), sure / total


def _premultiplied(patch: Pixels) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(patch, 2, 0))).float() / 255
    planes[:3] *= planes[3:]
    return planes


def _covered(patch: Pixels) -> Tensor:
    plane = patch.astype(np.float32)
    return torch.from_numpy(plane if patch.dtype == bool else plane / 255)[None]


def check(painting: Painting) -> None:
    """Raise CongealError for a painting that is not of its image's size, or, on an atlas, not square."""
    height, width = painting.pixels.shape[:2]
    if painting.maps is None:
        if height != width:
            raise CongealError(f"it is {width} x {height} pixels, and the average of an atlas is square")
        return
    frame = painting.maps.frame
    if (width, height) != (frame.width, frame.height):
        raise CongealError(
            f"it is {width} x {height} pixels, the image {frame.width} x {frame.height}: paint on the "
            "image at its full size, after EXIF orientation"
        )
