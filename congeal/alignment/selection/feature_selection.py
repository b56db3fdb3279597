"""Which of its features a set is compared by, where they were taken at several places in the backbone.

Backbones differ in which block knows best what is where, and so do objects: keys of a late block help with
rigid, upright ones and ruin others. Each mixture of parts is tried on some of the set's images, up to the
flow. Free matches then say how well its maps explain them: they took no part in the maps
(`congeal.alignment.maps.error_estimation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.backbone_stats import Parts
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors, some_of
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.maps.error_estimation import share_explained
from congeal.alignment.model import Mixture
from congeal.alignment.outcomes import OK
from congeal.alignment.poses.pose_consensus import orient, solve_sets
from congeal.alignment.poses.pose_estimation import match_pairs
from congeal.alignment.selection.flow_trial import try_flow
from congeal.alignment.selection.mirror_selection import select_mirror_states
from congeal.geometry.warps import recentred, with_flow


@dataclass(frozen=True)
class FeatureChoice:
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


def select_features(
    arrays: ImageArrays,
    parts: Parts | None,
    position: Tensor | None,
    extent: float,
    seed: int,
    device: torch.device,
    config: SolverConfig,
) -> FeatureChoice:
    """The mixture with the most evidence, if it has clearly more than the first part alone.

    Args:
        arrays: of the set; its first images are asked.
        parts: of the features; None, or one part: there is nothing to choose.
        position: float32 [k, c] or None, as of `congeal.alignment.inputs.image_set.prepare`.
        extent: half the side of the token grid in frame units.
        seed: fixes the drawing of hypotheses and matches.
        device: where to compute.
        config: of the solver.
    """
    if parts is None or len(parts) < 2:
        return FeatureChoice()
    tried = {
        one: torch.cat([torch.full((size,), name in one) for name, size in parts.items()]).to(device)
        for one in mixtures(list(parts))
    }
    asked = config.feature_selection
    read = read_tensors(some_of(arrays, slice(asked.images)), extent, device)
    prepared = [
        prepare(read, config.features, config.cosaliency, position=position, within=channels)
        for channels in tried.values()
    ]
    shares = _explained(SetBatch.of(prepared, config.tokens), seed, config)
    weighed = dict(zip(tried, shares, strict=True))
    first, best = next(iter(weighed)), max(weighed, key=weighed.__getitem__)
    chosen = best if weighed[best] >= weighed[first] + asked.gain else first
    return FeatureChoice(chosen, tried[chosen], weighed)


def _explained(images: SetBatch, seed: int, config: SolverConfig) -> list[float]:
    """Share of each set's free matches that its poses, or the flow on top of them, explain."""
    seeds = [seed] * images.count
    matches = match_pairs(images.tokens, images.mirrored_tokens, images.members, seeds, config.matching)
    consensus, known = select_mirror_states(images, solve_sets(images, matches, seeds, config), seeds, config)
    oriented, warps = orient(images, consensus, config.flow.finest_cells)
    owner = oriented.owner
    common = torch.tensor([one.verdict.status == OK for one in consensus]).to(owner.device)
    trial = try_flow(oriented, warps, common, seeds, config, known)
    if trial is None:
        return [0.0] * images.count
    bent = recentred(with_flow(warps, trial.displacement), oriented.weight, owner, images.count)
    by_poses, by_flow = (share_explained(each, trial.cycles, config.errors) for each in (warps, bent))
    shares: list[float] = torch.maximum(by_poses, by_flow).tolist()
    return shares
