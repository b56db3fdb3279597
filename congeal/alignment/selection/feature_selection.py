"""Which of its features a set is compared by, where they were taken at several places in the backbone.

Backbones differ in which block knows best what is where, and so do things: keys of a late block help with
rigid, upright things and ruin others. Each mixture of parts is tried on some of the set's images, up to the
flow. Free matches then say how well its maps explain them: they took no part in the maps (`reliability.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from congeal.alignment.inputs.backbone_stats import Parts
from congeal.alignment.inputs.image_set import Arrays, prepare, read_inputs, some_of
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.maps.error_estimation import explained, travel
from congeal.alignment.maps.flow_registration import follow
from congeal.alignment.model import OK, Mixture
from congeal.alignment.poses.pose_consensus import placed, settle_all
from congeal.alignment.selection.mirror_selection import borne_out
from congeal.geometry.warps import recentred

ASKED = 12  # images at most that a mixture is tried on
GAIN = 0.01  # share of free matches that a mixture must explain beyond what the first part does


@dataclass(frozen=True)
class Choice:
    """What a set is compared by.

    Attributes:
        mixture: the parts, by name; empty: there was nothing to choose.
        channels: bool [c], theirs; None: all.
        weighed: for each mixture that was tried, the share of free matches that its maps explain; 0 if it
            found nothing in common.
    """

    mixture: Mixture = ()
    channels: Tensor | None = None
    weighed: Mapping[Mixture, float] = field(default_factory=dict)


def mixtures(names: Sequence[str]) -> list[Mixture]:
    """Each of the named alone, and all together."""
    return list(dict.fromkeys([*((name,) for name in names), tuple(names)]))


def choose(
    arrays: Arrays,
    parts: Parts | None,
    position: Tensor | None,
    extent: float,
    seed: int,
    device: torch.device,
) -> Choice:
    """The mixture with the most evidence, if it has clearly more than the first part alone.

    Args:
        arrays: of the set; its first images are asked.
        parts: of the features; None, or one part: there is nothing to choose.
        position: float32 [k, c] or None, as of `congeal.alignment.inputs.image_set.prepare`.
        extent: half the side of the token grid in frame units.
        seed: fixes the drawing of hypotheses and matches.
        device: where to compute.
    """
    if parts is None or len(parts) < 2:
        return Choice()
    tried = {
        one: torch.cat([torch.full((size,), name in one) for name, size in parts.items()]).to(device)
        for one in mixtures(list(parts))
    }
    inputs = read_inputs(some_of(arrays, slice(ASKED)), extent, device)
    companies = [
        Company.of(prepare(inputs, position=position, within=channels)) for channels in tried.values()
    ]
    shares = _explained(Company.joined(companies), seed)
    weighed = dict(zip(tried, shares, strict=True))
    first, best = next(iter(weighed)), max(weighed, key=weighed.__getitem__)
    chosen = best if weighed[best] >= weighed[first] + GAIN else first
    return Choice(chosen, tried[chosen], weighed)


def _explained(images: Company, seed: int) -> list[float]:
    """Share of each set's free matches that its poses, or the flow on top of them, explain."""
    count = len(images.members.sizes)
    seeds = [seed] * count
    settled = borne_out(images, settle_all(images, seeds), seeds)
    faced, warps = placed(images, settled)
    common = torch.tensor([one.verdict.status == OK for one in settled]).to(faced.owner.device)
    journeys = travel(replace(faced, weight=faced.weight * common[faced.owner]), seeds)
    if journeys is None:
        return [0.0] * count
    bent = recentred(follow(warps, faced), faced.weight, faced.owner, count)
    shares: list[float] = torch.maximum(explained(warps, journeys), explained(bent, journeys)).tolist()
    return shares
