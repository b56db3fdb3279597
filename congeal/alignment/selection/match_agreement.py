"""How far matches of the features as they came bear the maps of a set out: whether it is to be trusted.

A set can be wrong as a whole: what all of its matches took for the thing was its background, or its front was
taken for its back everywhere. Its atlas is then as sharp, and its maps as consistent, as if they were right.
Matches of the features as the backbone gave them saw neither mirror states, nor a basis, nor the position
taken out of it. So they err otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.config.selection import MatchAgreementConfig
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.maps.confidence import shifted, where_it_folds
from congeal.alignment.maps.point_evidence import by_agreement
from congeal.alignment.model import GUIDED, OK, Alignment
from congeal.geometry.row_products import row_products
from congeal.geometry.sampling import evenly
from congeal.geometry.warps import flip, grid, sample


@dataclass(frozen=True)
class _Images:
    """k images: unit features [k, t, c] and valid [k, t] of all tokens, maps both ways, scales [k]."""

    features: Tensor
    valid: Tensor
    forward: Tensor
    backward: Tensor
    scale: Tensor


def match_agreement(
    arrays: ImageArrays,
    extent: float,
    aligned: Alignment,
    device: torch.device,
    config: MatchAgreementConfig,
) -> float | None:
    """The share of plain nearest neighbours that lead back to where they began, with which maps agree.

    Args:
        arrays: the set's features as the backbone gave them.
        extent: half the side of the token grid in frame units.
        aligned: the set's alignment, in the frames of the arrays.
        device: where to compute.
        config: how many matches are made, and how near is near.

    Returns:
        The mean over ordered pairs of images that fit, 0 to 1; None if no two do, or nothing leads back.
    """
    good = np.flatnonzero(~aligned.outlier)
    if aligned.status != OK or len(good) < 2:
        return None
    rows = good[evenly(len(good), config.images).numpy()]
    some = _read(arrays, aligned, rows, device)
    g = int(np.sqrt(some.valid.shape[1]))
    places = grid(g, extent, device).view(-1, 2)
    saliency = torch.as_tensor(aligned.atlas.saliency, device=device).float()[None, ..., None]
    shares = []
    for one in range(len(rows)):
        at = sample(some.backward[one][None], places.view(1, g, g, 2)).view(-1, 2)
        shown = sample(saliency, at.view(1, g, g, 2), padding="zeros").view(-1) > config.salient
        tokens = torch.nonzero(shown & (some.valid[one] > 0))[:, 0]
        tokens = tokens[evenly(len(tokens), config.tokens).to(device)]
        if not len(tokens):
            continue
        others = [other for other in range(len(rows)) if other != one]
        shares += [_share(some, one, other, tokens, at[tokens], places, config) for other in others]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else None


def few_and_doubtful(aligned: Alignment, agreement: float | None, config: SolverConfig) -> bool:
    """Whether a set on smooth maps has so few images that no majority corrects it, and is not borne out."""
    smooth = aligned.status == OK and aligned.atlas.deformation != GUIDED
    asked = config.match_agreement
    few = len(aligned.mirrored) <= asked.few
    allowed = config.deformation.most == GUIDED
    return smooth and few and allowed and agreement is not None and agreement < asked.few_below


def better_borne_out(
    smooth: tuple[Alignment, float | None],
    by_cell: tuple[Alignment, float | None],
    config: MatchAgreementConfig,
) -> tuple[Alignment, float | None]:
    """Of two alignments with their agreement the one matched cell by cell, if it is clearly more.

    It follows matches by itself, so that a little more says nothing.
    """
    before, after = smooth[1], by_cell[1]
    return by_cell if after is not None and after >= (before or 0.0) + config.gain else smooth


def trusted_by(aligned: Alignment, agreement: float | None, config: ConfidenceConfig) -> Alignment:
    """An alignment whose confidence is higher the more matching bears its set out; None: it stays."""
    level = aligned.atlas.confidence_level
    if agreement is None or level is None:
        return aligned
    more = by_agreement(agreement, len(aligned.mirrored), config)
    forward = flip(torch.as_tensor(aligned.forward), torch.as_tensor(aligned.mirrored))
    lowered = np.where(where_it_folds(forward).numpy(), np.float32(config.fold_factor), np.float32(1))
    sure = np.asarray(aligned.forward_confidence / np.maximum(lowered, 1e-6), np.float32)
    return replace(
        aligned,
        atlas=replace(aligned.atlas, confidence_level=level + more),
        forward_confidence=shifted(sure, more) * lowered,
        backward_confidence=shifted(aligned.backward_confidence, more),
    )


def _share(
    images: _Images,
    one: int,
    other: int,
    tokens: Tensor,
    at: Tensor,
    places: Tensor,
    config: MatchAgreementConfig,
) -> float | None:
    """Of tokens [m] of one image, which lie at [m, 2] in the atlas; None if none leads back."""
    there = _nearest(images, other, images.features[one, tokens])
    back = _nearest(images, one, images.features[other, there])
    home = (places[back] - places[tokens]).norm(dim=-1) < config.distance * images.scale[one]
    if not bool(home.any()):
        return None
    expected = sample(images.forward[other][None], at.view(1, 1, -1, 2)).view(-1, 2)
    near = (places[there] - expected).norm(dim=-1) < config.distance * images.scale[other]
    return float((near & home).sum() / home.sum())


def _nearest(images: _Images, image: int, features: Tensor) -> Tensor:
    """The most similar token of an image for each of features [m, c], int64 [m]."""
    alike = row_products(features, images.features[image])
    return alike.masked_fill_(images.valid[image] <= 0, -2.0).argmax(1)


def _read(
    arrays: ImageArrays, aligned: Alignment, rows: npt.NDArray[np.int64], device: torch.device
) -> _Images:
    features = torch.as_tensor(np.asarray(arrays.features[rows], np.float32), device=device).flatten(1, 2)
    valid = torch.ones(features.shape[:2], device=device)
    if arrays.valid is not None:
        valid = torch.as_tensor(np.asarray(arrays.valid[rows], np.float32), device=device).flatten(1)
    forward, backward, scale = (
        torch.as_tensor(array[rows], device=device).float()
        for array in (aligned.forward, aligned.backward, aligned.scale)
    )
    return _Images(torch.nn.functional.normalize(features, dim=-1), valid, forward, backward, scale)
