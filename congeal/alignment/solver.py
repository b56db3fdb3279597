"""The joint alignment of sets: from dense features to atlases and maps, in closed-form steps.

0. Which of the backbone's features tell a set's images best, if there is a choice; which images show nothing.
1. Co-saliency: what is salient in a set's images. 2. Mutual matches between all pairs, mirrored or not, each
explained by a robust similarity. 3. Synchronisation: one facing and one pose an image. 4. What is shared: the
thing, told from what stands beside it by where the poses put it. 5. The atlas as the weighted mean of the
features in place, and a flow that grows finer as the atlas grows sharper. 6. As much freedom as free matches
between the images bear out: poses alone, the flow, or matching guided by it.
7. Confidence and quality.

Several sets go through the steps side by side (`congeal.alignment.inputs.set_batch`): their images and pairs
are one batch, of which windows are computed at once. What is small is done set by set, on the CPU.

The atlas in feature space is Neural Congealing's (Ofri-Amar et al., CVPR 2023, arXiv 2302.03956); the
synchronisation by eigenvectors is Singer's (2011) and Pachauri et al.'s (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from congeal.alignment.atlas_fitting import fit, usual_evidence
from congeal.alignment.inputs.backbone_stats import BackboneFacts, Parts
from congeal.alignment.inputs.image_set import Array, prepare, read_inputs
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.rotated_views import Turned, Whole, plain, turned_anchor
from congeal.alignment.inputs.set_arrays import SetArrays, check_sets, companies
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.maps.flow_registration import Seen, Template, as_placed, leave_one_out
from congeal.alignment.maps.map_batches import map_out
from congeal.alignment.maps.postprocess import Source, assemble, build_atlas
from congeal.alignment.model import GUIDED, OK, Alignment, Anchor
from congeal.alignment.poses.common_object import learn_shared
from congeal.alignment.poses.exemplars import keep
from congeal.alignment.poses.orientation_search import find_turns
from congeal.alignment.poses.pose_consensus import (
    Settled,
    placed,
    settle_all,
    settle_anew,
    shown_in,
    standing_of,
)
from congeal.alignment.selection.collapse_check import checked
from congeal.alignment.selection.deformation_selection import deformed
from congeal.alignment.selection.feature_selection import choose
from congeal.alignment.selection.mirror_selection import borne_out
from congeal.geometry.frames import check_cells
from congeal.geometry.warps import Warps

__all__ = ["SetArrays", "align", "align_many", "fit"]


def align(
    features: Array,
    saliency: Array,
    *,
    mirrored_features: Array | None = None,
    mirrored_saliency: Array | None = None,
    position: Array | None = None,
    parts: Parts | None = None,
    blank: Sequence[float] | None = None,
    valid: Array | None = None,
    turned: Turned | None = None,
    extent: float = 1.0,
    resolution: int = 64,
    map_resolution: int = 64,
    seed: int = 0,
    anchor: Anchor | None = None,
    device: str | torch.device = "cpu",
) -> Alignment:
    """Align a set of images, given their dense features.

    Args:
        features: [n, g, g, c], float16 or float32, of the images as they are.
        saliency: [n, g, g], non-negative: class-token attention or any other prior; a constant says nothing.
        mirrored_features: the same of the images mirrored left to right; absent, the maps are mirrored
            instead, which is a little less exact.
        mirrored_saliency: the same for the saliency.
        position: float32 [k, c] from `congeal.backbones.position_bias.position_directions`; absent, nothing
            is taken out.
        parts: the places in the backbone where the channels were taken, in order, and how many there; the set
            is then compared by those that explain most of its free matches, alone or together (see
            `congeal.alignment.selection.feature_selection`); absent, by all channels.
        blank: from `congeal.backbones.position_bias.blank_contrast`; absent, images that show nothing are not
            known as such.
        valid: [n, g, g], 1 where a token lies on the image, 0 on its padding; absent, all are valid.
        turned: the features of the same images at seven other angles; given, objects are found at any angle;
            absent, at up to about 45° from each other.
        extent: half the side of the token grid in frame units (see `congeal.geometry.frames`).
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the maps from image to atlas.
        seed: fixes the drawing of hypotheses.
        anchor: poses in an older solution: the atlas then lies as it did there, so that its places keep their
            meaning; absent, what the images have in common lies in its middle and fills it.
        device: where to compute.

    Returns:
        The alignment. An image that shows nothing, or has no finite features, is an outlier, a set of one its
        own atlas, a set with nothing in common is called that: none of them is an error.

    Raises:
        CongealError: if the arrays, position, parts or blank do not fit each other, or the anchor has
            another number of images.
    """
    one = SetArrays(
        features,
        saliency,
        mirrored_features,
        mirrored_saliency,
        valid,
        turned=turned,
        extent=extent,
        seed=seed,
        anchor=anchor,
    )
    facts = BackboneFacts(position, parts, blank)
    facts.check(one.check()[3])
    return _solved([one], facts, resolution, map_resolution, torch.device(device))[0]


def align_many(
    sets: Sequence[SetArrays],
    *,
    position: Array | None = None,
    parts: Parts | None = None,
    blank: Sequence[float] | None = None,
    resolution: int = 64,
    map_resolution: int = 64,
    device: str | torch.device = "cpu",
) -> list[Alignment]:
    """Align many sets of images of any sizes in one call, each as `align` would by itself.

    The images of sets on equal grids are computed side by side, as many as there is room for. A set's result
    does not depend on its company, nor on the order of the sets, but for the rounding of floats.

    Args:
        sets: the arrays of each; features of all have the same channels, grids and extents may differ.
        position, parts, blank, resolution, map_resolution, device: as of `align`.

    Returns:
        An alignment a set, in order; none for no sets.

    Raises:
        CongealError: if the arrays of a set do not fit each other, or not those of the others; it says which
            set, counted from 0. Nothing has been computed then.
    """
    check_sets(sets)
    facts = BackboneFacts(position, parts, blank)
    if sets:
        facts.check(np.shape(sets[0].features)[3])
    return _solved(sets, facts, resolution, map_resolution, torch.device(device))


def _solved(
    sets: Sequence[SetArrays],
    facts: BackboneFacts,
    resolution: int,
    map_resolution: int,
    device: torch.device,
) -> list[Alignment]:
    check_cells(resolution, "resolution")
    check_cells(map_resolution, "map_resolution")
    position = facts.directions(device)
    solved: dict[int, Alignment] = {}
    for numbers in companies(sets, device):
        turns = {number: _turns(sets[number], position, device) for number in numbers}
        upright = [_upright(sets[number], turns[number]) for number in numbers]
        company, sources = _side_by_side(upright, facts, device)
        aligned = _aligned(company, upright, sources, resolution, map_resolution)
        for number, found in zip(numbers, aligned, strict=True):
            turn = turns[number]
            solved[number] = found if turn is None else plain(found, turn)
    return [solved[number] for number in range(len(sets))]


def _turns(one: SetArrays, position: Tensor | None, device: torch.device) -> Whole | None:
    """By how many eighths each image has to be turned; None if things stand upright."""
    if one.turned is None:
        return None
    return find_turns(one, one.turned, position=position, extent=one.extent, seed=one.seed, device=device)


def _upright(one: SetArrays, turns: Whole | None) -> SetArrays:
    """The set with its images turned."""
    if one.turned is None or turns is None:
        return one
    chosen = one.turned.chosen(one, turns, one.extent)
    arrays = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    anchor = None if one.anchor is None else turned_anchor(one.anchor, turns)
    return replace(one, **arrays, turned=None, anchor=anchor)


def _side_by_side(
    sets: Sequence[SetArrays], facts: BackboneFacts, device: torch.device
) -> tuple[Company, list[Source]]:
    """Each set in its basis; the raw features are not kept on the device."""
    position = facts.directions(device)
    companies, sources = [], []
    for one in sets:
        choice = choose(one, facts.parts, position, one.extent, one.seed, device)
        least = facts.least_contrast(choice.mixture)
        inputs = read_inputs(one, one.extent, device)
        images = prepare(inputs, position=position, within=choice.channels, least_contrast=least)
        sources.append(Source(one, images.basis, images.discriminant, least, choice.mixture, choice.weighed))
        companies.append(Company.of(images))
        del inputs, images
    return Company.joined(companies), sources


def _aligned(
    images: Company,
    sets: Sequence[SetArrays],
    sources: Sequence[Source],
    resolution: int,
    map_resolution: int,
) -> list[Alignment]:
    device, owner, seeds = images.sound.device, images.members.owner, [one.seed for one in sets]
    settled = borne_out(images, settle_all(images, seeds, [one.anchor for one in sets]), seeds)
    common = torch.tensor([one.verdict.status == OK for one in settled]).to(device)
    standing = standing_of(settled, device)
    learned = learn_shared(images, replace(standing, weight=standing.weight * common[owner]))
    if any(learned):
        images = images.lit_by(learned)
        sources = [
            source if one is None else replace(source, discriminant=one)
            for source, one in zip(sources, learned, strict=True)
        ]
        settled = [
            said if one is None else settle_anew(said, shown, each.anchor)
            for said, one, shown, each in zip(settled, learned, shown_in(images), sets, strict=True)
        ]
    faced, warps = placed(images, settled)
    warps, freedom = deformed(warps, faced, settled, seeds)
    seen = _seen(faced, warps, settled)
    one_by_one = torch.tensor([each == GUIDED for each in freedom]).to(device)[owner]
    maps, figures = map_out(seen, faced, warps, one_by_one, resolution, map_resolution)
    exemplars, kept = keep(images, warps, faced.weight, [one.order for one in settled])
    good = torch.cat([one.good for one in settled]).to(device)
    evidence = usual_evidence(exemplars, kept, images, good, seeds)
    atlases = [
        replace(
            build_atlas(source, faced[rows], warps[rows], few, resolution), evidence=usual, deformation=each
        )
        for source, rows, few, usual, each in zip(
            sources, images.members.slices, exemplars, evidence, freedom, strict=True
        )
    ]
    verdicts = [
        checked(one.verdict, atlas, warps.a[rows], one.good)
        for one, atlas, rows in zip(settled, atlases, images.members.slices, strict=True)
    ]
    atlases = [replace(one, status=said.status) for one, said in zip(atlases, verdicts, strict=True)]
    return assemble(atlases, verdicts, images.members, warps, maps, faced, figures)


def _seen(faced: Oriented, warps: Warps, settled: Sequence[Settled]) -> Seen:
    """The atlas as each image sees it: that of the others; where there are none, the image itself."""
    others = leave_one_out(faced, warps)
    alone = torch.tensor([int((one.weight > 0).sum()) < 2 for one in settled])
    if not bool(alone.any()):
        return others
    by_itself = alone.to(faced.owner.device)[faced.owner]

    def seen(rows: slice | Tensor) -> Template:
        theirs, own = others(rows), as_placed(faced[rows], warps[rows])
        flag = by_itself[rows].view(-1, 1, 1)
        return Template(
            torch.where(flag[..., None], own.features, theirs.features),
            torch.where(flag, own.saliency, theirs.saliency),
        )

    return seen
