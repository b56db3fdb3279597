"""The joint alignment of sets: from dense features to atlases and maps, in closed-form steps.

1. Feature selection: by which of the backbone's features each set is compared, if there is a choice
   (`selection.feature_selection`); its basis, and which images are blank (`inputs.feature_basis`).
   Frames of a fixed camera are told first: there what moves is salient (`inputs.fixed_camera`).
2. Co-saliency: what is salient in the images, a discriminant learned from attention (`inputs.cosaliency`).
3. Pairs: mutual matches of all pairs, or of a large set's sparse graph of pairs (`poses.pair_plan`), mirrored
   or not, each explained by a robust similarity (`poses.pairwise_matching`, `poses.pose_estimation`).
4. Pose synchronisation: a mirror state and a pose an image, and who is an outlier (`poses.pose_consensus`);
   mirror states on which the pairs do not agree are judged by free matches (`selection.mirror_selection`).
5. Common object: saliency learned again where much of it lies off the region that the poses agree on
   (`poses.common_object`).
6. Registration: the atlas as the weighted mean of the features in place, and a flow from coarse to fine
   (`maps.flow_registration`); poses alone, the flow, or guided matching, as free matches support it
   (`selection.deformation_selection`, `maps.error_estimation`).
7. Dense maps and their quality: likeness and confidence of every cell (`maps.guided_matching`,
   `maps.confidence`).
8. Atlas, exemplars for newcomers, collapse check, results (`maps.postprocess`, `poses.exemplars`,
   `selection.collapse_check`).

With ``turned`` features, before all that, each image's orientation (`poses.orientation_search`). Every number
that decides results is in `congeal.alignment.config.SolverConfig`.

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
from jaxtyping import Real
from torch import Tensor

from congeal.alignment.atlas_fitting import evenly_drawn, fit, usual_evidence
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.backbone_stats import BackboneFacts, Parts
from congeal.alignment.inputs.fixed_camera import with_motion
from congeal.alignment.inputs.image_set import Array, prepare, read_tensors
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.rotated_views import Turned, Whole, to_upright, turned_anchor
from congeal.alignment.inputs.set_arrays import SetArrays, batches, checked_sets
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.solver_arguments import check_config, check_device, plain_arrays
from congeal.alignment.maps.flow_registration import Template, TemplateFor, as_placed, cells_by, leave_one_out
from congeal.alignment.maps.map_batches import compute_maps
from congeal.alignment.maps.match_support import match_support
from congeal.alignment.maps.point_evidence import cells_of_evidence, levels, point_evidence
from congeal.alignment.maps.postprocess import AtlasSource, assemble, build_atlas
from congeal.alignment.model import GUIDED, Alignment, Anchor
from congeal.alignment.outcomes import MEANINGLESS, OK
from congeal.alignment.poses.common_object import learn_common_object
from congeal.alignment.poses.exemplars import select_exemplars
from congeal.alignment.poses.orientation_search import find_turns
from congeal.alignment.poses.pose_consensus import (
    batch_poses,
    orient,
    reframed,
    saliency_of,
    solve_sets,
)
from congeal.alignment.poses.pose_estimation import match_pairs
from congeal.alignment.selection.collapse_check import check_collapse
from congeal.alignment.selection.deformation_selection import select_deformation
from congeal.alignment.selection.feature_selection import select_features
from congeal.alignment.selection.match_agreement import (
    better_borne_out,
    few_and_doubtful,
    match_agreement,
    trusted_by,
)
from congeal.alignment.selection.mirror_selection import select_mirror_states
from congeal.geometry.frames import check_cells
from congeal.geometry.shape_checks import Numbers, checked

__all__ = ["SetArrays", "SolverConfig", "align", "align_many", "fit"]


@checked
def align(
    features: Real[Array, "n g g c"],
    saliency: Numbers[Array, "n g g"],
    *,
    mirrored_features: Real[Array, "n g g c"] | None = None,
    mirrored_saliency: Numbers[Array, "n g g"] | None = None,
    position: Real[Array, "k c"] | None = None,
    parts: Parts | None = None,
    blank: Sequence[float] | Array | None = None,
    valid: Numbers[Array, "n g g"] | None = None,
    turned: Turned | None = None,
    extent: float = 1.0,
    resolution: int = 64,
    map_resolution: int = 64,
    seed: int = 0,
    anchor: Anchor | None = None,
    device: str | torch.device = "cpu",
    config: SolverConfig | None = None,
) -> Alignment:
    """Align a set of images, given their dense features.

    Args:
        features: [n, g, g, c], g ≥ 2, of the images as they are: numbers of any kind, in arrays, lists or
            tensors on any device; computed with in float32.
        saliency: [n, g, g]: class-token attention or any other prior, a mask of truth values, too; what is
            below 0 counts as 0, and a constant says nothing.
        mirrored_features: the same of the images mirrored left to right; absent, the maps are mirrored
            instead, which is a little less exact.
        mirrored_saliency: the same for the saliency.
        position: float32 [k, c] from `congeal.backbones.position_bias.position_directions`; absent, nothing
            is taken out.
        parts: the places in the backbone where the channels were taken, in order, and how many there; the set
            is then compared by those that its free matches support, alone or together (see
            `congeal.alignment.selection.feature_selection`); absent, by all channels.
        blank: from `congeal.backbones.position_bias.blank_contrast`; absent, images that show nothing are not
            known as such.
        valid: [n, g, g], 1 where a token lies on the image, 0 on its padding; absent, all are valid.
        turned: the features of the same images at seven other angles; given, objects are found at any angle;
            absent, at up to about 45° from each other.
        extent: half the side of the token grid in frame units (see `congeal.geometry.frames`).
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the maps from image to atlas.
        seed: a whole number that fixes the drawing of hypotheses.
        anchor: poses in an older solution: the atlas then lies as it did there, so that its places keep their
            meaning; absent, what the images have in common lies in its middle and fills it.
        device: where to compute: "cpu", "cuda", "cuda:1", "auto" (a GPU if there is one).
        config: every number that decides the result; None: the default.

    Returns:
        The alignment. An image that shows nothing, or of which a number is not finite, is an outlier, a set
        of one its own atlas, a set with nothing in common is called that: none of them is an error. The
        same arguments on the same kind of processor give the same bits.

    Raises:
        CongealError: for an argument that is not what is said above, or does not fit the others; it names
            the argument.
    """
    one = plain_arrays(
        SetArrays(
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
    )
    facts = BackboneFacts(position, parts, blank)
    facts.check(one.check()[3])
    one = replace(one, seed=int(seed))
    return _solved([one], facts, resolution, map_resolution, check_device(device), check_config(config))[0]


@checked
def align_many(
    sets: Sequence[SetArrays],
    *,
    position: Real[Array, "k c"] | None = None,
    parts: Parts | None = None,
    blank: Sequence[float] | Array | None = None,
    resolution: int = 64,
    map_resolution: int = 64,
    device: str | torch.device = "cpu",
    config: SolverConfig | None = None,
) -> list[Alignment]:
    """Align many sets of images of any sizes in one call, each as `align` would by itself.

    The images of sets on equal grids are computed side by side, as many as there is room for. A set's result
    does not depend on the other sets, nor on their order, but for the rounding of floats.

    Args:
        sets: the arrays of each; features of all have the same channels, grids and extents may differ.
        position: float32 [k, c], as of `align`.
        parts, blank, resolution, map_resolution, device, config: as of `align`.

    Returns:
        An alignment a set, in order; none for no sets.

    Raises:
        CongealError: if an argument is not what it should be, or the arrays of a set do not fit each other or
            those of the others; it says which set, counted from 0. Nothing has been computed then.
    """
    plain = checked_sets(sets)
    facts = BackboneFacts(position, parts, blank)
    if plain:
        facts.check(np.shape(plain[0].features)[3])
    return _solved(plain, facts, resolution, map_resolution, check_device(device), check_config(config))


def _solved(
    sets: Sequence[SetArrays],
    facts: BackboneFacts,
    resolution: int,
    map_resolution: int,
    device: torch.device,
    config: SolverConfig,
) -> list[Alignment]:
    check_cells(resolution, "resolution")
    check_cells(map_resolution, "map_resolution")
    position = facts.directions(device)
    solved: dict[int, Alignment] = {}
    for numbers in batches(sets, device, config):
        moving = {number: with_motion(sets[number], config.fixed_camera, device) for number in numbers}
        seen = {number: moving[number] or sets[number] for number in numbers}
        turns = {number: _turns(seen[number], position, device, config) for number in numbers}
        upright = [_upright(seen[number], turns[number]) for number in numbers]
        batch, sources = _batch(upright, facts, device, config)
        aligned = _aligned(batch, upright, sources, resolution, map_resolution, config)
        for number, one, first in zip(numbers, upright, aligned, strict=True):
            found, borne_out = _best_borne_out(one, first, facts, resolution, map_resolution, device, config)
            turn = turns[number]
            trusted = trusted_by(found, borne_out, config.confidence)
            whole = trusted if turn is None else to_upright(trusted, turn)
            still = moving[number] is not None
            atlas = replace(whole.atlas, fixed_camera=still, match_agreement=borne_out)
            solved[number] = replace(whole, atlas=atlas)
    return [solved[number] for number in range(len(sets))]


def _best_borne_out(
    one: SetArrays,
    found: Alignment,
    facts: BackboneFacts,
    resolution: int,
    map_resolution: int,
    device: torch.device,
    config: SolverConfig,
) -> tuple[Alignment, float | None]:
    """A set's alignment and its match agreement: of few images, the one that matching bears out."""

    def agreement(of: Alignment) -> float | None:
        return match_agreement(one, one.extent, of, device, config.match_agreement)

    smooth = found, agreement(found)
    if not few_and_doubtful(*smooth, config):
        return smooth
    asked = config.replace({"deformation.least": GUIDED})
    images, sources = _batch([one], facts, device, asked)
    (again,) = _aligned(images, [one], sources, resolution, map_resolution, asked)
    return better_borne_out(smooth, (again, agreement(again)), config.match_agreement)


def _turns(
    one: SetArrays, position: Tensor | None, device: torch.device, config: SolverConfig
) -> Whole | None:
    """By how many eighths each image has to be turned; None if objects stand upright."""
    if one.turned is None:
        return None
    return find_turns(
        one, one.turned, config, position=position, extent=one.extent, seed=one.seed, device=device
    )


def _upright(one: SetArrays, turns: Whole | None) -> SetArrays:
    """The set with its images turned."""
    if one.turned is None or turns is None:
        return one
    chosen = one.turned.chosen(one, turns, one.extent)
    arrays = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    anchor = None if one.anchor is None else turned_anchor(one.anchor, turns)
    return replace(one, **arrays, turned=None, anchor=anchor)


def _batch(
    sets: Sequence[SetArrays], facts: BackboneFacts, device: torch.device, config: SolverConfig
) -> tuple[SetBatch, list[AtlasSource]]:
    """Each set in its basis; the raw features are not kept on the device."""
    position = facts.directions(device)
    prepared, sources = [], []
    for one in sets:
        choice = select_features(one, facts.parts, position, one.extent, one.seed, device, config)
        least = facts.least_contrast(choice.mixture, config.features)
        images = prepare(
            read_tensors(one, one.extent, device),
            config.features,
            config.cosaliency,
            position=position,
            within=choice.channels,
            least_contrast=least,
        )
        basis, discriminant = images.basis, images.discriminant
        sources.append(AtlasSource(one, basis, discriminant, least, choice.mixture, choice.weighed))
        prepared.append(images)
    return SetBatch.of(prepared, config.tokens), sources


def _aligned(
    images: SetBatch,
    sets: Sequence[SetArrays],
    sources: Sequence[AtlasSource],
    resolution: int,
    map_resolution: int,
    config: SolverConfig,
) -> list[Alignment]:
    device, owner, seeds = images.device, images.members.owner, [one.seed for one in sets]
    matches = match_pairs(images.tokens, images.mirrored_tokens, images.members, seeds, config.matching)
    consensus = solve_sets(images, matches, seeds, config, [one.anchor for one in sets])
    consensus, flows = select_mirror_states(images, consensus, seeds, config)
    common = torch.tensor([one.verdict.status == OK for one in consensus]).to(device)
    poses = batch_poses(consensus, device)
    poses = replace(poses, weight=poses.weight * common[owner])
    learned = learn_common_object(images, matches, poses, config)
    del matches
    if any(learned):
        images = images.with_saliency(learned, config.tokens)
        if flows is not None:
            same = torch.tensor([one is None for one in learned]).to(device)
            flows = flows.of(same, owner)
        sources = [
            source if one is None else replace(source, discriminant=one)
            for source, one in zip(sources, learned, strict=True)
        ]
        consensus = [
            agreed if one is None else reframed(agreed, salient, each.anchor, config.atlas)
            for agreed, one, salient, each in zip(consensus, learned, saliency_of(images), sets, strict=True)
        ]
    oriented, warps = orient(images, consensus, config.flow.finest_cells)
    warps, deformation = select_deformation(warps, oriented, consensus, seeds, config, flows)
    by_cell = torch.tensor([each == GUIDED for each in deformation]).to(device)[owner]
    alone = torch.tensor([int((one.weight > 0).sum()) < 2 for one in consensus]).to(device)[owner]
    maps, figures = compute_maps(
        _template_for(oriented, cells_by(warps), alone),
        oriented,
        warps,
        by_cell,
        resolution,
        map_resolution,
        config,
        lambda rows, places: _template_for(oriented[rows], places, alone[rows]),
    )
    orders = [one.order for one in consensus]
    exemplars, kept = select_exemplars(images, warps, oriented.weight, orders, config.exemplars.most)
    asked = [evenly_drawn(one.order, one.good, config.exemplars.judged) for one in consensus]
    evidence = usual_evidence(exemplars, kept, images, warps.mirrored, asked, seeds, config)
    background, slices = config.atlas.background_weight, images.members.slices
    atlases = [
        replace(
            build_atlas(source, oriented[rows], warps[rows], few, resolution, background),
            evidence=usual,
            deformation=each,
        )
        for source, rows, few, usual, each in zip(
            sources, slices, exemplars, evidence, deformation, strict=True
        )
    ]
    verdicts = [
        check_collapse(one.verdict, atlas, warps.a[rows], one.good, config.collapse)
        for one, atlas, rows in zip(consensus, atlases, slices, strict=True)
    ]
    atlases = [replace(one, status=said.status) for one, said in zip(atlases, verdicts, strict=True)]
    told = [one.status not in MEANINGLESS for one in verdicts]
    agreed = match_support(
        exemplars, kept, told, images.members, oriented, warps, maps.forward, config.match_support
    )
    places = cells_of_evidence(maps.forward)
    template_for = _template_for(oriented, places, alone)
    found = point_evidence(template_for, oriented, warps, places, agreed, config.confidence)
    usual_terms = found.usual(images.members, oriented.weight)
    level = levels(usual_terms, [each == GUIDED for each in deformation], config.confidence)
    atlases = [replace(one, confidence_level=each) for one, each in zip(atlases, level, strict=True)]
    return assemble(
        atlases, verdicts, images.members, warps, maps, oriented, figures, found.terms, config.confidence
    )


def _template_for(oriented: Oriented, places: Tensor, by_itself: Tensor) -> TemplateFor:
    """Leave-one-out atlases of images at places; where there are no others, bool [n], the image itself."""
    others = leave_one_out(oriented, places)
    if not bool(by_itself.any()):
        return others

    def template_for(rows: slice | Tensor) -> Template:
        theirs, own = others(rows), as_placed(oriented[rows], places[rows])
        flag = by_itself[rows].view(-1, 1, 1)
        return Template(
            torch.where(flag[..., None], own.features, theirs.features),
            torch.where(flag, own.saliency, theirs.saliency),
        )

    return template_for
