"""Images fitted to an atlas that stays as it is: newcomers, and what a set has beyond its atlas' members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Real
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.maps import FlowConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import ImageArrays, PreparedSet, prepare, read_tensors
from congeal.alignment.inputs.rotated_views import TURNS, Turned, Whole, to_upright
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.solver_arguments import (
    check_config,
    check_device,
    check_extent,
    check_seed,
    plain_arrays,
)
from congeal.alignment.maps.flow_registration import Template, fixed_template, register
from congeal.alignment.maps.map_batches import compute_maps
from congeal.alignment.maps.match_support import match_support
from congeal.alignment.maps.point_evidence import cells_of_evidence, point_evidence
from congeal.alignment.maps.postprocess import assemble
from congeal.alignment.model import GUIDED, RIGID, Alignment, Atlas, Exemplars, Verdict
from congeal.alignment.outcomes import MEANINGLESS, OK
from congeal.alignment.poses.exemplars import exemplar_tokens, pose_by_exemplars
from congeal.alignment.poses.outliers import outlier_reasons
from congeal.alignment.poses.pairwise_matching import Similarities
from congeal.errors import CongealError
from congeal.geometry.frames import check_cells
from congeal.geometry.sampling import evenly
from congeal.geometry.segments import Membership
from congeal.geometry.shape_checks import Numbers, checked
from congeal.geometry.warps import Warps, grid, rigid, sample
from congeal_floors.plurals import counted

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Start:
    """Where something else than the atlas' exemplars says that n images lie.

    Attributes:
        warps: of the images, in the mirror states that it says.
        rounds: how many of the last rounds of the flow are still done; 0: the maps are those of the warps.
    """

    warps: Warps
    rounds: int


Starting = Callable[[SetBatch, Template, Warps, Whole | None], Start]
"""Of images in the basis of an atlas, the atlas as a template, the poses and mirror states that its exemplars
know the images in, and by how many eighths each image is turned."""


@dataclass(frozen=True)
class Fitted:
    """Images fitted to an atlas.

    Attributes:
        aligned: the alignment.
        score: float32 [n], matches with the exemplars that agree with one pose, as a share of what members
            usually reach; below `outliers.least_evidence` an image is an outlier.
    """

    aligned: Alignment
    score: npt.NDArray[np.float32]


@checked
def fit(
    atlas: Atlas,
    features: Real[Array, "n g g c"],
    saliency: Numbers[Array, "n g g"],
    *,
    mirrored_features: Real[Array, "n g g c"] | None = None,
    mirrored_saliency: Numbers[Array, "n g g"] | None = None,
    valid: Numbers[Array, "n g g"] | None = None,
    turned: Turned | None = None,
    extent: float = 1.0,
    map_resolution: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
    config: SolverConfig | None = None,
) -> Alignment:
    """Fit images to a finished atlas; each is fitted on its own, whatever the others and their order.

    Args:
        atlas: of an earlier `congeal.alignment.solver.align`.
        features: [n, g, g, c], of the backbone that the atlas is of.
        saliency, mirrored_features, mirrored_saliency, valid, turned: as of `congeal.alignment.solver.align`.
        extent, map_resolution, device: as of `congeal.alignment.solver.align`.
        seed: fixes the drawing of hypotheses.
        config: of the solver; None: the default. The atlas should be of the same.

    Returns:
        An alignment with the same atlas.

    Raises:
        CongealError: for an argument that is not what it should be, or does not fit the others or the atlas;
            it names the argument.
    """
    arrays = plain_arrays(
        SetArrays(features, saliency, mirrored_features, mirrored_saliency, valid, turned, extent, seed)
    )
    arrays.check()
    job = fitting(
        atlas, arrays, extent=extent, map_resolution=map_resolution, seed=seed, device=device, config=config
    )
    return job.at_best_turns(arrays, arrays.turned).aligned


def fit_scored(
    atlas: Atlas,
    arrays: ImageArrays,
    *,
    turned: Turned | None = None,
    extent: float = 1.0,
    map_resolution: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
    config: SolverConfig | None = None,
    starting: Starting | None = None,
) -> Fitted:
    """As `fit`, with the score of every image, and from where something else says that they lie.

    arrays: n images. turned: as of `fit`. starting: what says so; None: the exemplars, as of `fit`.
    """
    job = fitting(
        atlas, arrays, extent=extent, map_resolution=map_resolution, seed=seed, device=device, config=config
    )
    return job.at_best_turns(arrays, turned, starting)


def fitting(
    atlas: Atlas,
    arrays: ImageArrays,
    *,
    extent: float,
    map_resolution: int,
    seed: int,
    device: str | torch.device,
    config: SolverConfig | None,
) -> _Fit:
    """An atlas, checked against the features [n, g, g, c] of images, and how they are fitted to it."""
    check_cells(map_resolution, "map_resolution")
    seed, extent = check_seed(seed), check_extent(extent)
    if not issubclass(type(atlas), Atlas):
        raise CongealError(f"atlas is {type(atlas).__name__}, not congeal.Atlas")
    channels = np.shape(arrays.features)[-1]
    if channels != len(atlas.mean):
        raise CongealError(
            f"the features have {counted(channels, 'channel')}, and the atlas {len(atlas.mean)}: "
            "both must come "
            "from one backbone"
        )
    return _Fit(atlas, check_config(config), extent, map_resolution, seed, check_device(device))


@dataclass(frozen=True)
class _Fit:
    """An atlas, and how images are fitted to it; the attributes are the arguments of `fit`."""

    atlas: Atlas
    config: SolverConfig
    extent: float
    map_resolution: int
    seed: int
    device: torch.device

    def prepared(self, arrays: ImageArrays) -> PreparedSet:
        """Images in the atlas' basis, with the saliency of its discriminant."""
        basis = Basis(
            torch.as_tensor(self.atlas.mean, device=self.device),
            torch.as_tensor(self.atlas.projection, device=self.device),
        )
        learned = torch.as_tensor(self.atlas.discriminant, device=self.device)
        return prepare(
            read_tensors(arrays, self.extent, self.device),
            self.config.features,
            self.config.cosaliency,
            basis=basis,
            discriminant=Discriminant(learned[:-1], learned[-1]),
            least_contrast=self.atlas.least_contrast,
        )

    def best_turns(self, upright: ImageArrays, turned: Turned) -> Whole:
        """By how many eighths each image is to be turned to look most like the exemplars, int64 [n]."""
        scores = []
        for turn in range(TURNS):
            arrays = turned.chosen(upright, np.full(len(upright.features), turn), self.extent)
            images = SetBatch.of([self.prepared(arrays)], self.config.tokens)
            found = _best_poses([self.atlas.exemplars], images, [self.seed], self.config)
            # What looks the same in a mirror is found at two angles: the prior counts between them, too.
            favour = torch.where(found.mirrored, -1, 1) * self.config.poses.mirror_prior
            scores.append(found.pose.score * (1 + favour))
        best: Whole = torch.stack(scores).argmax(0).cpu().numpy()
        return best

    def at_best_turns(
        self, arrays: ImageArrays, turned: Turned | None, starting: Starting | None = None
    ) -> Fitted:
        """The images fitted as they are, or, where they are seen at other angles, at the best of them."""
        if turned is None:
            return self.fitted(arrays, starting)
        turns = self.best_turns(arrays, turned)
        found = self.fitted(turned.chosen(arrays, turns, self.extent), starting, turns)
        return Fitted(to_upright(found.aligned, turns), found.score)

    def fitted(
        self, arrays: ImageArrays, starting: Starting | None = None, turns: Whole | None = None
    ) -> Fitted:
        """The images fitted as they are given. turns: by how much they are turned; None: not at all."""
        atlas, config = self.atlas, self.config
        prepared = self.prepared(arrays)
        finest = min(prepared.valid.shape[1], config.flow.finest_cells)
        template = _template(atlas, prepared.basis, finest)
        images = SetBatch.of([prepared], config.tokens)
        found = _best_poses([atlas.exemplars], images, [self.seed], config)
        known = rigid(found.pose.a, found.pose.b, found.mirrored, template.features.shape[1])
        start = None if starting is None else starting(images, template, known, turns)
        mirrored = found.mirrored if start is None else start.warps.mirrored
        support = found.pose.score / found.total.clamp_min(1e-9)
        evidence = found.pose.score / atlas.evidence if atlas.evidence > 0 else torch.ones_like(support)
        reasons = outlier_reasons(evidence, images.sound, images.blank, config.outliers)
        if atlas.status in MEANINGLESS:
            reasons = [reason or MEANINGLESS[atlas.status] for reason in reasons]
        oriented = images.oriented(mirrored, images.sound.float())
        if start is None:
            warps, flow = known, config.flow
        else:
            warps, flow = start.warps, last_rounds(config.flow, start.rounds)
        steps = start is None or start.rounds > 0
        if atlas.deformation != RIGID and steps:
            warps = register(warps, oriented, flow, template)
        by_cell = torch.full_like(images.sound, atlas.deformation == GUIDED and steps)
        maps, figures = compute_maps(
            fixed_template(template),
            oriented,
            warps,
            by_cell,
            atlas.saliency.shape[0],
            self.map_resolution,
            config,
        )
        score, other = found.pose.score.sum(), found.other.sum()
        margin = float((score - other) / (score + other).clamp_min(1e-9))
        status = atlas.status if atlas.status in MEANINGLESS else OK
        verdict = Verdict(status, support, reasons, margin, int((support * images.sound).argmax()))
        members = images.members
        agreed = match_support(
            [atlas.exemplars],
            None,
            [status == OK],
            members,
            oriented,
            warps,
            maps.forward,
            config.match_support,
        )
        places = cells_of_evidence(maps.forward)
        coarse = fixed_template(_template(atlas, prepared.basis, places.shape[1]))
        found_terms = point_evidence(coarse, oriented, warps, places, agreed, config.confidence).terms
        (aligned,) = assemble(
            [atlas], [verdict], members, warps, maps, oriented, figures, found_terms, config.confidence
        )
        return Fitted(aligned, evidence.cpu().numpy())


def last_rounds(config: FlowConfig, count: int) -> FlowConfig:
    """A flow of its last rounds alone, as many as asked for, at least one."""
    some = slice(-max(count, 1), None)
    names = ("search_radius", "smoothness", "inlier_distance")
    return replace(config, **{name: getattr(config, name)[some] for name in names})


def usual_evidence(
    exemplars: Sequence[Exemplars],
    kept: Sequence[Tensor],
    images: SetBatch,
    mirrored: Tensor,
    judged: Sequence[Tensor],
    seeds: Sequence[int],
    config: SolverConfig,
) -> list[float]:
    """What good images' matches with an exemplar come to in each set, in tokens: the median.

    Args:
        exemplars: of each set.
        kept: which images of their set they are, int64 [e] on the CPU.
        images: of all sets.
        mirrored: bool [n], the images' mirror states, in which they are matched.
        judged: of each set, the images that are asked, int64 [j] on the CPU.
        seeds: of each set.
        config: of the solver.
    """
    slices = images.members.slices
    without = torch.full((len(mirrored),), -1)
    count = 0
    for members, rows in zip(kept, slices, strict=True):
        without[rows.start + members] = torch.arange(count, count + len(members))
        count += len(members)
    asked = torch.cat([rows.start + some for rows, some in zip(slices, judged, strict=True)])
    few = Membership.of([len(some) for some in judged], images.device)
    tokens = images.oriented_tokens(mirrored, asked.to(images.device))
    known, without = exemplar_tokens(exemplars, images.device), without[asked].to(images.device)
    pose, _ = pose_by_exemplars(known, tokens, few, seeds, config, without)
    score, found = pose.score.cpu(), []
    for members, rows in zip(kept, few.slices, strict=True):
        usual = score[rows]
        found.append(float(usual.median()) if len(usual) and len(members) > 1 else 0.0)
    return found


def evenly_drawn(order: Tensor, good: Tensor, most: int) -> Tensor:
    """At most so many of the good images, evenly from the best to the worst, int64 [j].

    order: int64 [n], all images, best first. good: bool [n].
    """
    ranked = order[good[order]]
    return ranked[evenly(len(ranked), most)]


def _template(atlas: Atlas, basis: Basis, resolution: int) -> Template:
    device = basis.mean.device
    cells = grid(resolution, 1.0, device)[None]
    features = basis(torch.as_tensor(atlas.features, device=device))[None]
    saliency = torch.as_tensor(atlas.saliency, device=device)[None, ..., None]
    unit = torch.nn.functional.normalize(sample(features, cells), dim=-1)
    return Template(unit, sample(saliency, cells)[..., 0])


@dataclass(frozen=True)
class _Found:
    """n images in the better mirror state: pose, the other's score [n], the weight of all matches [n]."""

    mirrored: Tensor
    pose: Similarities
    other: Tensor
    total: Tensor


def _best_poses(
    exemplars: Sequence[Exemplars], images: SetBatch, seeds: Sequence[int], config: SolverConfig
) -> _Found:
    known, prior = exemplar_tokens(exemplars, images.device), config.poses.mirror_prior
    plain, plain_total = pose_by_exemplars(known, images.tokens, images.members, seeds, config)
    turned, turned_total = pose_by_exemplars(known, images.mirrored_tokens, images.members, seeds, config)
    mirrored = turned.score * (1 - prior) > plain.score * (1 + prior)
    pose = Similarities(
        torch.where(mirrored, turned.a, plain.a),
        torch.where(mirrored, turned.b, plain.b),
        torch.where(mirrored, turned.score, plain.score),
    )
    other = torch.where(mirrored, plain.score, turned.score)
    return _Found(mirrored, pose, other, torch.where(mirrored, turned_total, plain_total))
