"""The common object of a set (co-segmentation), told from what merely stands beside it.

Attention lights up whatever draws the eye: the cup, and the laptop next to it; the butterfly, and the
flowers all around. Poses tell them apart. Matches that agree with the poses lie on the common object, and
together they say where in the atlas it is. Where much that is salient lies elsewhere, the discriminant is
learned again, with what lies in the common region as the target.

Limbs lie elsewhere too: wings are now spread, now folded. But they are the same wings in every image, and
cycles of matches between them return to their start more often than those between backgrounds. Then nothing
is changed; nor where backgrounds are the same in all images, as in a video, and return as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.poses import AtlasConfig, CommonObjectConfig, MatchingConfig
from congeal.alignment.inputs.cosaliency import Discriminant, learn_from
from congeal.alignment.inputs.oriented import Oriented, maybe_any
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.tokens import grid_positions
from congeal.alignment.poses.pairwise_matching import Matches, agreeing, mutual_matches
from congeal.alignment.poses.pose_estimation import PairMatches, centre_atlas, fit_bytes
from congeal.geometry.argmax import column_peaks, row_peaks
from congeal.geometry.chunking import in_windows, windows
from congeal.geometry.complex_math import inverse, product
from congeal.geometry.row_products import batched_row_products
from congeal.geometry.sampling import evenly
from congeal.geometry.segments import sums
from congeal.geometry.warps import Warps, blur, grid, rigid, sample, to_atlas, to_oriented


@dataclass(frozen=True)
class BatchPoses:
    """Poses of the n images of several sets; on one device.

    Attributes:
        mirrored: bool [n].
        a, b: complex64 [n], as of `congeal.alignment.poses.pose_synchronization.Poses`.
        weight: float32 [n], of each image, 0 for outliers and in sets with nothing in common.
    """

    mirrored: Tensor
    a: Tensor
    b: Tensor
    weight: Tensor


def learn_common_object(
    images: SetBatch, matches: PairMatches, poses: BatchPoses, config: SolverConfig
) -> list[Discriminant | None]:
    """For every set, the discriminant of what its images share; None where it is known already.

    Args:
        images: of s sets.
        matches: of their pairs.
        poses: theirs.
        config: of the solver.
    """
    if not config.common_object.relearn:
        return [None] * images.count
    asked = config.common_object
    oriented = images.oriented(poses.mirrored, poses.weight)
    mass = agreeing_mass(images, matches, poses, config.matching)
    region = common_region(mass, oriented, poses, images.members.slices, asked, config.atlas)
    weight = oriented.weight.view(-1, 1, 1)
    salient = oriented.saliency * weight

    def of_sets(values: Tensor) -> Tensor:
        return sums(values.sum((1, 2)), oriented.owner, images.count)

    outside = of_sets(salient * (1 - region)) / of_sets(salient).clamp_min(1e-9)
    doubtful = outside >= asked.least_outside
    if not bool(doubtful.any()):
        return [None] * images.count
    rows = _some_of_each(
        torch.nonzero(doubtful[oriented.owner] & (oriented.weight > 0))[:, 0], oriented, asked
    )
    returned = return_rates(oriented, rows, asked)
    judged = torch.zeros_like(weight)
    judged[rows] = 1

    def rate(where: Tensor) -> Tensor:
        return of_sets(returned * where) / of_sets(judged * where).clamp_min(1e-9)

    common, off = rate(salient * region), rate(salient * (1 - region))
    background = rate((1 - oriented.saliency) * oriented.valid * weight)
    told = background < asked.largest_background_rate * common
    part = off - background < asked.largest_return_rate * (common - background)
    changed = doubtful & told & part
    found: list[Discriminant | None] = []
    for number, rows_of_set in enumerate(images.members.slices):
        if not bool(changed[number]):
            found.append(None)
            continue
        weighted = oriented.weight[rows_of_set] > 0
        some = oriented[torch.nonzero(weighted)[:, 0] + rows_of_set.start]
        within = region[rows_of_set][weighted]
        target = some.saliency * within
        found.append(
            learn_from(
                some.features, target, some.valid, config.cosaliency, rounds=asked.rounds, within=within
            )
        )
    return found


def agreeing_mass(
    images: SetBatch, matches: PairMatches, poses: BatchPoses, config: MatchingConfig
) -> Tensor:
    """Each token's matches with the images that its own is compared with, that agree with the poses.

    float32 [n, g, g].
    They are in the oriented frames, and those of an image add up to one, or to nothing.
    """
    g, n, device = images.saliency.shape[1], len(images), images.device
    weight = poses.weight
    both = (weight[matches.first] > 0) & (weight[matches.second] > 0)
    pairs = torch.nonzero(both)[:, 0]
    first, second = matches.first[pairs], matches.second[pairs]
    most = matches.same.weight.shape[1]

    flag = poses.mirrored[second][:, None]
    same, opposite = matches.same[pairs], matches.opposite[pairs]
    known = Matches(
        torch.where(flag, opposite.first, same.first),
        torch.where(flag, opposite.second, same.second),
        torch.where(flag, opposite.weight, same.weight),
    )
    # Known are those whose first image is as it is.
    new = torch.nonzero(poses.mirrored[first])[:, 0]
    if len(new):
        tokens = images.oriented_tokens(poses.mirrored, torch.arange(n, device=device))
        more = mutual_matches(tokens, tokens, first[new], second[new], most)
        known.first[new], known.second[new], known.weight[new] = more.first, more.second, more.weight

    def matched(window: slice) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns, found = first[window], second[window], known[window]
        a = product(poses.a[columns], inverse(poses.a[rows]))
        b = poses.b[columns] - product(a, poses.b[rows])
        agreed = agreeing(found, a[:, None], b[:, None], config.tolerance, config)[:, 0]
        return _cell(found.first, g, images.extent), _cell(found.second, g, images.extent), agreed

    at, partner, agreed = in_windows(len(first), fit_bytes(most, config), device, matched)
    mass = torch.zeros((n, g * g), device=device)
    for image, cell in ((first, at), (second, partner)):
        mass.index_put_((image[:, None].expand_as(cell), cell), agreed, accumulate=True)
    return (mass / mass.sum(1, keepdim=True).clamp_min(1e-9)).view(n, g, g)


def _cell(position: Tensor, g: int, extent: float) -> Tensor:
    """The flat index of the cell that holds a position, int64, for complex64 of any shape."""
    column, row = (
        ((part / extent + 1) * g / 2).long().clamp(0, g - 1) for part in (position.real, position.imag)
    )
    return row * g + column


def common_region(
    mass: Tensor,
    oriented: Oriented,
    poses: BatchPoses,
    slices: Sequence[slice],
    config: CommonObjectConfig,
    frame: AtlasConfig,
) -> Tensor:
    """How far each token lies where its set's matches agree, float32 [n, g, g], 0 to 1.

    mass: float32 [n, g, g] as of `agreeing_mass`. slices: the rows of each set.
    """
    n, g = mass.shape[:2]
    device = mass.device
    cells = grid_positions(g, oriented.extent, device)
    framed = [
        centre_atlas(
            poses.a[rows],
            poses.b[rows],
            mass[rows].flatten(1),
            cells,
            oriented.weight[rows],
            frame,
            config.fill,
        )
        for rows in slices
    ]
    a, b = (torch.cat(parts) for parts in zip(*framed, strict=True))
    warps: Warps = rigid(a, b, poses.mirrored, 1)
    places = to_oriented(warps, grid(config.cells, 1.0, device).expand(n, -1, -1, -1))
    laid = sample(mass[..., None], places, oriented.extent, "zeros")[..., 0]
    laid = laid * oriented.weight.view(-1, 1, 1)
    density = blur(sums(laid, oriented.owner, oriented.sets)[:, None], config.blur)[:, 0]
    peak = density.amax((1, 2), keepdim=True).clamp_min(1e-9)
    region = (density / (config.full_density * peak)).clamp(0, 1)[..., None]
    tokens = grid(g, oriented.extent, device).expand(n, -1, -1, -1)
    return sample(region[oriented.owner], to_atlas(warps, tokens), 1.0, "zeros")[..., 0]


def _some_of_each(rows: Tensor, images: Oriented, config: CommonObjectConfig) -> Tensor:
    """Of the given images, int64 [k], at most so many of each set, evenly spread."""
    owner = images.owner[rows].cpu()
    parts = []
    for number in range(images.sets):
        mine = torch.nonzero(owner == number)[:, 0]
        parts.append(mine[evenly(len(mine), config.images)])
    return rows[torch.cat(parts).to(rows.device)]


def return_rates(images: Oriented, rows: Tensor, config: CommonObjectConfig) -> Tensor:
    """Cycle-return rate of tokens: to another image and back, within some cells; float32 [n, g, g].

    rows: int64 [k], the images that are asked, each with the next few of its set; 0 for all others.
    """
    n, g = images.saliency.shape[:2]
    device = images.features.device
    returned = torch.zeros((n, g * g), device=device)
    partner, source = _neighbours(images.owner[rows], config.neighbours)
    cells = torch.arange(g * g, device=device)
    features, on_image = images.features.flatten(1, 2), images.valid.flatten(1) > 0
    padded = maybe_any(~on_image)
    for window in windows(len(source), 4 * 2 * g**4 + 8 * g * g * features.shape[-1], device):
        here, there = rows[source[window]], rows[partner[window]]
        cosine = batched_row_products(features[here], features[there])
        if padded:
            cosine.masked_fill_(~on_image[there][:, None, :], -2.0)
            cosine.masked_fill_(~on_image[here][:, :, None], -2.0)
        back = column_peaks(cosine, g).gather(1, row_peaks(cosine))
        off = torch.hypot((back % g - cells % g).float(), (back // g - cells // g).float())
        near = (off <= config.return_distance).float()
        returned.index_put_((here,), near * on_image[here], accumulate=True)
    asked = torch.bincount(rows[source], minlength=n).clamp_min(1)
    return (returned / asked[:, None]).view(n, g, g)


def _neighbours(owner: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """For rows of sets, in order, int64 [k]: pairs of a row and one of the next few of its set, in a circle.

    Returns the partners and the rows they are partners of, int64 [p] each.
    """
    k = len(owner)
    sizes = torch.bincount(owner)
    start = (sizes.cumsum(0) - sizes)[owner]
    place, size = torch.arange(k, device=owner.device) - start, sizes[owner]
    steps = torch.arange(1, most + 1, device=owner.device)
    partner = start[:, None] + (place[:, None] + steps) % size[:, None]
    useful = steps < size[:, None]
    source = torch.arange(k, device=owner.device)[:, None].expand_as(partner)
    return partner[useful], source[useful]
