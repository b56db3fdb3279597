"""Which way up each image is, for objects that are photographed at any angle.

A backbone knows objects best that stand as in most photographs. So the features of every image are needed at
eight angles, each as it is and mirrored: some view of it is then within a sixteenth of a turn of any posture.
All pairs say which view of the one looks like the other; one choice an image agrees with them best. What
remains of the angle is a pose like any other.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors
from congeal.alignment.inputs.rotated_views import TURNS, Turned, Whole
from congeal.alignment.inputs.tokens import Tokens, select_tokens
from congeal.alignment.poses.pose_estimation import pair_support

VIEWS = 2 * TURNS  # the turns, then the same mirrored


def find_turns(
    upright: ImageArrays,
    turned: Turned,
    config: SolverConfig,
    *,
    position: Tensor | None,
    extent: float,
    seed: int,
    device: str | torch.device,
) -> Whole:
    """By how many eighths each of n images has to be turned for all to stand alike, int64 [n]; most by none.

    Args:
        upright: of the images as they are.
        turned: of the images turned.
        config: of the solver.
        position: as of `congeal.alignment.inputs.image_set.prepare`.
        extent: half the side of the token grid in frame units.
        seed: fixes the drawing of hypotheses.
        device: where to compute.

    Raises:
        CongealError: if the arrays do not fit each other.
    """
    views, basis, discriminant = [], None, None
    for turn in range(TURNS):
        arrays = turned.chosen(upright, np.full(len(upright.features), turn), extent)
        images = prepare(
            read_tensors(arrays, extent, device),
            config.features,
            config.cosaliency,
            basis=basis,
            discriminant=discriminant,
            position=position,
        )
        basis, discriminant = images.basis, images.discriminant
        views.append(select_tokens(images.features, images.saliency, extent, config.tokens))
        views.append(select_tokens(images.mirrored_features, images.mirrored_saliency, extent, config.tokens))
    evidence = _evidence(views[::2] + views[1::2], torch.Generator().manual_seed(seed), config)
    chosen = _chosen(evidence.cpu(), config.orientation.sweeps, config.deformation.symmetric_margin)
    turns: Whole = _upright(chosen).numpy()
    return turns


def _evidence(views: list[Tokens], generator: torch.Generator, config: SolverConfig) -> Tensor:
    """Support float32 [n, n, VIEWS] for: the first image, as it is, looks like that view of the second."""
    n, device = len(views[0].weight), views[0].weight.device
    first, second = torch.triu_indices(n, n, 1, device=device)
    support = torch.zeros((n, n, VIEWS), device=device)
    for view, tokens in enumerate(views):
        score = pair_support(
            views[0],
            tokens,
            first,
            second,
            generator,
            config.matching,
            max_angle=config.orientation.largest_rotation,
        )
        support[first, second, view] = score
        # Seen from the other side the turn is undone, unless the mirror has turned it round already.
        support[second, first, view if view >= TURNS else -view % TURNS] = score
    return support


def _relation(own: Tensor, other: Tensor) -> Tensor:
    """The view of another image that looks like one's own image as it is, if the two views look alike.

    A view turns and then mirrors. Between equal mirror states the turns undo each other; else they add up.
    """
    crossed = (own >= TURNS) != (other >= TURNS)
    turn = torch.where(crossed, other + own, other - own) % TURNS
    return turn + TURNS * crossed


def _chosen(support: Tensor, sweeps: int, symmetric_margin: float) -> Tensor:
    """The views int64 [n] that agree best with the evidence [n, n, VIEWS].

    What looks the same in a mirror is found at two angles, as it is and mirrored. There nobody is mirrored:
    left and right would be told by the angles that happen to be among the views.
    """
    views = _agreed(support, sweeps)
    crossed = (views[:, None] >= TURNS) != (views >= TURNS)
    if not crossed.any():
        return views
    relations = _relation(views[:, None], views)
    chosen = support.gather(2, relations[..., None])[..., 0].sum()
    plain, mirrored = support[..., :TURNS].amax(2), support[..., TURNS:].amax(2)
    # What each pair says of the opposite mirror states, at whatever angle.
    opposite = torch.where(crossed, plain, mirrored).fill_diagonal_(0).sum()
    if float((chosen - opposite) / (chosen + opposite).clamp_min(1e-9)) >= symmetric_margin:
        return views
    return _agreed(support * (torch.arange(VIEWS) < TURNS), sweeps)


def _agreed(support: Tensor, sweeps: int) -> Tensor:
    """The views int64 [n] that agree best with the evidence [n, n, VIEWS].

    Each image is a start, from which all others are viewed as it sees them; then every image takes the view
    that the others ask for, until none changes. All starts go through this at once.
    """
    n, device = len(support), support.device
    everyone, options = torch.arange(n, device=device), torch.arange(VIEWS, device=device)
    views = support.argmax(2).fill_diagonal_(0)  # [starts, n]
    for _ in range(sweeps):
        before = views.clone()
        for image in range(n):
            asked = support[image][everyone, _relation(options[:, None], views[:, None])]
            views[:, image] = asked.sum(2).argmax(1)
        if torch.equal(before, views):
            break
    relations = _relation(views[:, :, None], views[:, None])
    agreement = support[everyone[:, None], everyone, relations].sum((1, 2)).tolist()
    best = 0
    for start in range(1, n):
        if agreement[start] > agreement[best] + 1e-6:
            best = start
    return views[best]


def _upright(views: Tensor) -> Tensor:
    """The turns of views, all turned further alike so that most images stay as they are."""
    sense = torch.where(views >= TURNS, -1, 1)
    further = torch.arange(TURNS, device=views.device)[:, None]
    turns = (views + sense * further) % TURNS
    return turns[int((turns == 0).sum(1).argmax())]
