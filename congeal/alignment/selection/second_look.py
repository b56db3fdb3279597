"""Whether a set is worth a second look at windows of its images, where they lie, and whether it was better.

Where the thing covers a small part of the frame, few tokens show it. Features of a window around it show it
at the grid that it deserves. The first solution says where: the salient cells of its atlas, carried into each
image, and the image's own salient tokens around them. Which of the two solutions is kept is decided by free
matches: those on whole frames and those on windows, of which each solution explains a share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.selection import SecondLookConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import ImageArrays, PreparedSet, prepare, read_tensors
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.windows import Windows
from congeal.alignment.maps.error_estimation import match_cycles
from congeal.alignment.model import Alignment
from congeal.alignment.outcomes import MEANINGLESS, OK
from congeal.geometry.chunking import in_windows
from congeal.geometry.frames import cell_centres
from congeal.geometry.segments import Membership
from congeal.geometry.warps import flip, sample

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Looked:
    """One look at n images: what it saw and what it found.

    Attributes:
        images: features and saliency.
        aligned: the alignment, in the frames of that look.
        windows: what of the whole frames that look shows; None: all.
    """

    images: PreparedSet
    aligned: Alignment
    windows: Windows | None = None


def seen(
    arrays: ImageArrays,
    aligned: Alignment,
    extent: float,
    config: SolverConfig,
    *,
    windows: Windows | None = None,
    device: str | torch.device = "cpu",
) -> Looked:
    """A look at a set whose alignment is known, in the basis of its atlas.

    arrays, extent, device: as of `congeal.alignment.solver.align`. windows: what of the frames they are of.
    """
    atlas = aligned.atlas
    learned = torch.as_tensor(atlas.discriminant, device=device)
    images = prepare(
        read_tensors(arrays, extent, device),
        config.features,
        config.cosaliency,
        basis=Basis(
            torch.as_tensor(atlas.mean, device=device), torch.as_tensor(atlas.projection, device=device)
        ),
        discriminant=Discriminant(learned[:-1], learned[-1]),
        least_contrast=atlas.least_contrast,
    )
    return Looked(images, aligned, windows)


def find_windows(look: Looked, config: SecondLookConfig, *, turned: bool = False) -> Windows | None:
    """Where to look a second time, a window an image; None if the set is not worth it.

    It is not if its alignment means nothing, or if at the median the thing covers much of the frame.

    turned: whether windows are turned and mirrored, so that the things in them stand as in the atlas.
    """
    aligned = look.aligned
    if aligned.status != OK:
        return None
    found = place_windows(look, config, turned=turned)
    return found if np.median(found.half[~aligned.outlier]) <= 1 / config.least_zoom else None


def place_windows(
    look: Looked,
    config: SecondLookConfig,
    usual: Windows | None = None,
    *,
    turned: bool = False,
) -> Windows:
    """A window around the thing in each of n images.

    usual: those of the set that the images come to; None: their own. turned: as of `find_windows`.
    """
    saliency = (look.images.saliency * look.images.valid).cpu().numpy()
    extent, aligned = look.images.extent, look.aligned
    upright = np.zeros(len(saliency))
    turn = np.where(aligned.mirrored, -1.0, 1.0) * aligned.rotation if turned else upright
    boxes = [
        _box(places, shown, extent, float(angle), config)
        for places, shown, angle in zip(_carried(aligned, config), saliency, turn, strict=True)
    ]
    low, high = (np.stack([box.corners[at] for box in boxes]) for at in (0, 1))
    centre, half = (low + high) / 2, (high - low).max(1) / 2 * config.margin
    # What is salient in one image alone may be much besides the thing: no window is much larger than usual.
    most = float(np.median(half if usual is None else usual.half)) * config.margin
    for row, box in enumerate(boxes):
        if box.middle is not None and half[row] > most:
            centre[row], half[row] = box.middle, most
    half = np.clip(half, 1 / config.most_zoom, 1.0)
    if turned:
        return Windows(_spun(centre, turn), half, turn, np.asarray(aligned.mirrored, bool))
    # No more beyond the frame's edge than need be.
    room = 1 - half[:, None]
    return Windows(np.clip(centre, -room, room), half)


def _spun(places: Array, turn: Array | float) -> Array:
    """Places [..., 2] turned about the frame's middle; turn: radians, [...]."""
    turned: Array = (places[..., 0] + 1j * places[..., 1]) * np.exp(1j * np.asarray(turn))
    return np.stack([turned.real, turned.imag], -1)


def _carried(aligned: Alignment, config: SecondLookConfig) -> Array:
    """Where the salient cells of the atlas lie in the images, [n, k, 2], frame units."""
    saliency = aligned.atlas.saliency
    return np.asarray(aligned.forward)[:, saliency > config.salient_cell * saliency.max()]


@dataclass(frozen=True)
class _Box:
    """The thing's box in one image, along the axes of its window. corners: [2, 2], low and high. middle: [2],
    of its largest region, where the pose is not borne out by the image's saliency; else None.
    """

    corners: Array
    middle: Array | None


def _box(places: Array, saliency: Array, extent: float, turn: float, config: SecondLookConfig) -> _Box:
    """Where the thing lies in one image.

    places: [k, 2], where the first solution puts it. saliency: [g, g], of the image's own tokens. turn: of
    the window, radians.
    """
    from scipy.ndimage import label

    g = len(saliency)
    places = np.clip(places[np.isfinite(places).all(-1)], -1, 1)
    regions, count = label(saliency > config.salient_token, np.ones((3, 3)))
    column, row = np.clip(np.floor((places / extent + 1) / 2 * g).astype(int), 0, g - 1).T
    hits = np.bincount(regions[row, column], minlength=count + 1) / max(len(places), 1)
    cells, middle = cell_centres(g, extent), None
    if turn:
        cells, places = _spun(cells, -turn), _spun(places, -turn)
    if len(places) and 1 - hits[0] >= config.trusted:
        parts = [places]
        kept = 1 + np.flatnonzero(hits[1:] >= config.region)
    else:
        # The pose puts the thing where nothing is salient.
        parts = []
        mass = np.bincount(regions.ravel(), saliency.ravel(), minlength=count + 1)[1:]
        kept = 1 + np.flatnonzero(mass >= config.beside * mass.max(initial=0))
        if count:
            middle = cells[regions == 1 + int(mass.argmax())].mean(0)
    if len(kept):
        parts.append(cells[np.isin(regions, kept)])
    if not parts:
        return _Box(np.array([[-1.0, -1.0], [1.0, 1.0]]), None)
    low, high = (
        np.stack([np.quantile(part, share, axis=0) for part in parts])
        for share in (config.stray, 1 - config.stray)
    )
    return _Box(np.stack([low.min(0), high.max(0)]), middle)


@dataclass(frozen=True)
class Evidence:
    """Shares of free matches that two solutions explain, on whole frames and on windows.

    Attributes:
        first, second: by the first and by the second solution; the mean over both kinds of matches.
        by_kind: the first's and the second's share of the matches on whole frames, then of those on windows.
    """

    first: float
    second: float
    by_kind: tuple[tuple[float, float], tuple[float, float]]


def compare(first: Looked, second: Looked, whole: Alignment, seed: int, config: SolverConfig) -> Evidence:
    """How much of the free matches two solutions explain.

    Matches are found on whole frames and on windows, each in the mirror states that the look itself found: so
    each solution has the matches of its own features. Distances are a share of the thing's size as the
    windows tell it, the same for both.

    Args:
        first: the look at whole frames.
        second: the look at windows.
        whole: the second alignment, in whole frames.
        seed: for the drawing of triples.
        config: of the solver.
    """
    if second.windows is None:
        raise ValueError("the second look is one at windows")
    size = torch.as_tensor(np.asarray(second.windows.half) / config.second_look.margin).float()
    (one, two), (three, four) = [
        [_explained(look, aligned, second.windows, size, seed, config) for aligned in (first.aligned, whole)]
        for look in (first, second)
    ]
    return Evidence((one + three) / 2, (two + four) / 2, ((one, two), (three, four)))


def _explained(
    look: Looked, aligned: Alignment, windows: Windows, size: Tensor, seed: int, config: SolverConfig
) -> float:
    """Share of the matches of one look that an alignment in whole frames explains."""
    images = look.images
    device = images.features.device
    mirrored = torch.as_tensor(look.aligned.mirrored, device=device)
    flag = mirrored.view(-1, 1, 1)
    n = len(mirrored)
    oriented = Oriented(
        torch.where(flag[..., None], images.mirrored_features, images.features),
        torch.where(flag, images.mirrored_saliency, images.saliency),
        torch.where(flag, images.valid.flip(2), images.valid),
        images.extent,
        images.sound.float(),
        Membership.of([n], device).owner,
        1,
    )
    cycles = match_cycles(oriented, [seed], config.errors)
    if cycles is None:
        return 0.0
    here, there = cycles.images[:, 0], cycles.images[:, 1]
    start, met = flip(cycles.start, mirrored[here]).cpu(), flip(cycles.met, mirrored[there]).cpu()
    here, there, weight = here.cpu(), there.cpu(), cycles.weight.cpu()

    def whole(places: Tensor, whose: Tensor) -> Tensor:
        if look.windows is None:
            return places
        some = look.windows[whose.tolist()]
        return torch.as_tensor(some.to_frame(places.numpy())).float()

    start, met = whole(start, here), whole(met, there)
    inside = torch.as_tensor(np.abs(windows[here.tolist()].to_window(start.numpy())) <= 1).all(-1)
    weight = weight * inside
    backward, forward = torch.as_tensor(aligned.backward), torch.as_tensor(aligned.forward)

    def led(rows: slice) -> tuple[Tensor]:
        return (sample(forward[there[rows]], sample(backward[here[rows]], start[rows])),)

    each = 4 * (backward[0].numel() + forward[0].numel())
    (expected,) = in_windows(len(here), each, start.device, led)
    distance = torch.linalg.vector_norm(met - expected, dim=-1) / size[there][:, None]
    total = weight.sum().clamp_min(1e-9)
    shares = [
        float((weight * (distance < tolerance)).sum() / total)
        for tolerance in (config.errors.close_distance, config.errors.error_distance)
    ]
    return sum(shares) / 2


def better(evidence: Evidence, second: Alignment, config: SecondLookConfig) -> bool:
    """Whether the second solution is kept.

    It has to explain no fewer of all matches, and clearly more of those on windows, which are the finer ones.
    """
    before, after = evidence.by_kind[1]
    return (
        second.status not in MEANINGLESS
        and evidence.second >= evidence.first
        and after >= before + config.gain
    )
