"""What the images of a set share, told from what merely stands beside it.

Attention lights up whatever draws the eye: the cup, and the laptop next to it; the butterfly, and the flowers
all around. Poses tell them apart. Matches that agree with everybody's pose lie on the thing that the set
shares, and together they say where in the atlas it is. Where much that is salient lies elsewhere, the
discriminant is learned again, with what lies in the common place as the thing.

Limbs lie elsewhere too: wings are now spread, now folded. But they are the same wings in every image, and
matches between them lead back to where they came from more often than matches between backgrounds. Then
nothing is changed; nor where backgrounds are the same in all images, as in a video, and lead back as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.cosaliency import Discriminant, learn_from
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.inputs.tokens import grid_positions
from congeal.alignment.poses.pairwise_matching import agreeing, mutual_matches
from congeal.alignment.poses.pose_estimation import MATCHES, TOLERANCE, centre_atlas, fit_bytes, pair_bytes
from congeal.geometry.argmax import column_peaks, row_peaks
from congeal.geometry.chunking import in_windows, windows
from congeal.geometry.complex_math import inverse, product
from congeal.geometry.segments import sums
from congeal.geometry.warps import Warps, blur, grid, rigid, sample, to_atlas, to_oriented

BESIDE = 0.2  # share of what is salient that must lie elsewhere for the discriminant to be learned again
LIMBS = 0.25  # how far matches elsewhere come home, from as rarely as the rest's (0) to as the thing's (1)
TOLD = 2 / 3  # where the rest comes home more often than so, against the thing, nothing can be told from it
FILL = 0.5  # share of the square's side that the thing takes while its place is sought
CELLS = 64  # along a side of that square
WIDTH = 0.1  # of the square's half side: matches vouch for so much around them
FULL = 0.15  # share of the densest place's matches from which a place belongs to the thing in full
NEIGHBOURS = 4  # images that each is matched with to see what comes home
HOME = 1.6  # cells: how near a token must come back to where it set out
ROUNDS = 2


@dataclass(frozen=True)
class Standing:
    """Where the n images of several sets stand; on one device.

    Attributes:
        mirrored: bool [n].
        a, b: complex64 [n], as of `congeal.alignment.poses.pose_synchronization.Poses`.
        weight: float32 [n], each image's say, 0 for outliers and where nothing is shared.
    """

    mirrored: Tensor
    a: Tensor
    b: Tensor
    weight: Tensor


def learn_shared(images: Company, standing: Standing) -> list[Discriminant | None]:
    """For every set, what tells what its images share from the rest; None where it is known already.

    images: of s sets. standing: where they are, and who has a say.
    """
    count = len(images.members.sizes)
    faced = images.facing(standing.mirrored, standing.weight)
    place = common_place(agreeing_mass(images, standing), faced, standing, images.members.slices)
    heard = faced.weight.view(-1, 1, 1)
    salient = faced.saliency * heard

    def of_sets(values: Tensor) -> Tensor:
        return sums(values.sum((1, 2)), faced.owner, count)

    beside = of_sets(salient * (1 - place)) / of_sets(salient).clamp_min(1e-9)
    doubtful = beside >= BESIDE
    if not bool(doubtful.any()):
        return [None] * count
    home = come_home(faced, torch.nonzero(doubtful[faced.owner] & (faced.weight > 0))[:, 0])

    def rate(where: Tensor) -> Tensor:
        return of_sets(home * where) / of_sets(where).clamp_min(1e-9)

    thing, elsewhere = rate(salient * place), rate(salient * (1 - place))
    rest = rate((1 - faced.saliency) * faced.valid * heard)
    told = rest < TOLD * thing
    changed = doubtful & told & (elsewhere - rest < LIMBS * (thing - rest))
    found: list[Discriminant | None] = []
    for number, rows in enumerate(images.members.slices):
        if not bool(changed[number]):
            found.append(None)
            continue
        some = faced[torch.nonzero(faced.weight[rows] > 0)[:, 0] + rows.start]
        where = place[rows][faced.weight[rows] > 0]
        found.append(
            learn_from(some.features, some.saliency * where, some.valid, rounds=ROUNDS, within=where)
        )
    return found


def agreeing_mass(images: Company, standing: Standing) -> Tensor:
    """Each token's matches with the other images of its set that agree with the poses: float32 [n, g, g].

    They are in the oriented frames, and those of an image add up to one, or to nothing.
    """
    g, n, device = images.saliency.shape[1], len(images.saliency), images.saliency.device
    weight = standing.weight
    first, second, _ = images.members.pairs()
    both = (weight[first] > 0) & (weight[second] > 0)
    first, second = first[both], second[both]
    everyone = torch.arange(n, device=device)
    tokens = images.tokens_facing(standing.mirrored, everyone)
    most = min(MATCHES, tokens.weight.shape[1])

    def matched(window: slice) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = first[window], second[window]
        matches = mutual_matches(tokens, tokens, rows, columns, most)
        a = product(standing.a[columns], inverse(standing.a[rows]))
        b = standing.b[columns] - product(a, standing.b[rows])
        say = agreeing(matches, a[:, None], b[:, None], TOLERANCE)[:, 0]
        return _cell(matches.first, g, images.extent), _cell(matches.second, g, images.extent), say

    at, partner, say = in_windows(len(first), pair_bytes(tokens) + fit_bytes(most), device, matched)
    mass = torch.zeros((n, g * g), device=device)
    for image, cell in ((first, at), (second, partner)):
        mass.index_put_((image[:, None].expand_as(cell), cell), say, accumulate=True)
    return (mass / mass.sum(1, keepdim=True).clamp_min(1e-9)).view(n, g, g)


def _cell(position: Tensor, g: int, extent: float) -> Tensor:
    """The flat index of the cell that holds a position, int64, for complex64 of any shape."""
    column, row = (
        ((part / extent + 1) * g / 2).long().clamp(0, g - 1) for part in (position.real, position.imag)
    )
    return row * g + column


def common_place(mass: Tensor, faced: Oriented, standing: Standing, slices: Sequence[slice]) -> Tensor:
    """How far each token lies where its set's matches agree, float32 [n, g, g], 0 to 1.

    mass: float32 [n, g, g] as of `agreeing_mass`. slices: the rows of each set.
    """
    n, g = mass.shape[:2]
    device = mass.device
    cells = grid_positions(g, faced.extent, device)
    framed = [
        centre_atlas(
            standing.a[rows], standing.b[rows], mass[rows].flatten(1), cells, faced.weight[rows], FILL
        )
        for rows in slices
    ]
    a, b = (torch.cat(parts) for parts in zip(*framed, strict=True))
    warps: Warps = rigid(a, b, standing.mirrored, 1)
    places = to_oriented(warps, grid(CELLS, 1.0, device).expand(n, -1, -1, -1))
    laid = sample(mass[..., None], places, faced.extent, "zeros")[..., 0] * faced.weight.view(-1, 1, 1)
    density = blur(sums(laid, faced.owner, faced.sets)[:, None], WIDTH)[:, 0]
    peak = density.amax((1, 2), keepdim=True).clamp_min(1e-9)
    thing = (density / (FULL * peak)).clamp(0, 1)[..., None]
    tokens = grid(g, faced.extent, device).expand(n, -1, -1, -1)
    return sample(thing[faced.owner], to_atlas(warps, tokens), 1.0, "zeros")[..., 0]


def come_home(images: Oriented, rows: Tensor) -> Tensor:
    """How often tokens come back when matched with other images and from there back, float32 [n, g, g].

    rows: int64 [k], the images that are asked, each with the next few of its set; 0 for all others.
    """
    n, g = images.saliency.shape[:2]
    device = images.features.device
    home = torch.zeros((n, g * g), device=device)
    partner, source = _neighbours(images.owner[rows])
    cells = torch.arange(g * g, device=device)
    features, on_image = images.features.flatten(1, 2), images.valid.flatten(1) > 0
    for window in windows(len(source), 4 * 2 * g**4 + 8 * g * g * features.shape[-1], device):
        here, there = rows[source[window]], rows[partner[window]]
        cosine = features[here] @ features[there].transpose(1, 2)
        cosine.masked_fill_(~on_image[there][:, None, :], -2.0)
        cosine.masked_fill_(~on_image[here][:, :, None], -2.0)
        back = column_peaks(cosine, g).gather(1, row_peaks(cosine))
        off = torch.hypot((back % g - cells % g).float(), (back // g - cells // g).float())
        home.index_put_((here,), (off <= HOME).float() * on_image[here], accumulate=True)
    asked = torch.bincount(rows[source], minlength=n).clamp_min(1)
    return (home / asked[:, None]).view(n, g, g)


def _neighbours(owner: Tensor) -> tuple[Tensor, Tensor]:
    """For rows of sets, in order, int64 [k]: pairs of a row and one of the next few of its set, in a circle.

    Returns the partners and the rows they are partners of, int64 [p] each.
    """
    k = len(owner)
    sizes = torch.bincount(owner)
    start = (sizes.cumsum(0) - sizes)[owner]
    place, size = torch.arange(k, device=owner.device) - start, sizes[owner]
    steps = torch.arange(1, NEIGHBOURS + 1, device=owner.device)
    partner = start[:, None] + (place[:, None] + steps) % size[:, None]
    useful = steps < size[:, None]
    source = torch.arange(k, device=owner.device)[:, None].expand_as(partner)
    return partner[useful], source[useful]
