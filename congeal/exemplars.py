"""Some members of an atlas, kept token by token: what newcomers are posed by.

The mean of many images blurs what each of them shows sharply, and inherits whatever they have in common by
their place in the frame. Single members do not: a newcomer's matches with several of them, each taken to the
atlas by that member's own map, locate it as precisely as the members were located among themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from congeal.atlas import Exemplars
from congeal.matching import Matches, Similarities, Tokens, mutual_matches, robust_similarities, select_tokens
from congeal.posing import HYPOTHESES, MATCHES, TOKENS
from congeal.registration import Oriented
from congeal.warps import Warps, to_atlas

KEPT = 16  # members that are kept at most
TOLERANCE = 0.05  # frame units: many matches together point more precisely than those of a single pair


def keep(images: Oriented, warps: Warps, order: Tensor) -> tuple[Exemplars, Tensor]:
    """The salient tokens of the first members in ``order`` (int64 [k], best first) that have a say.

    Where none has, the first serves, so that there is something. Returns the exemplars and the positions of
    the members, int64 [e].
    """
    heard = order[images.weight[order] > 0]
    chosen = heard[:KEPT] if len(heard) else order[:1]
    tokens = select_tokens(images.features[chosen], images.saliency[chosen], images.extent, TOKENS)
    there = torch.view_as_real(tokens.position)[:, :, None]
    places = to_atlas(warps[chosen], there)[:, :, 0]
    kept = Exemplars(tokens.features.half().cpu().numpy(), places.cpu().numpy(), tokens.weight.cpu().numpy())
    return kept, chosen


def as_tokens(exemplars: Exemplars, device: torch.device) -> Tokens:
    """The exemplars' tokens at their places in the atlas."""
    features = torch.as_tensor(exemplars.features, device=device).float()
    places = torch.as_tensor(exemplars.places, device=device).float().contiguous()
    weight = torch.as_tensor(exemplars.weight, device=device).float()
    return Tokens(weight.long(), torch.view_as_complex(places), weight, features)


def posed(
    known: Tokens, tokens: Tokens, seed: int, without: Tensor | None = None
) -> tuple[Similarities, Tensor]:
    """A robust similarity from the atlas to each of n images, and the weight of its matches [n].

    Scores and weights are those of an average exemplar.

    Args:
        known: e exemplars.
        tokens: of n images.
        seed: every image sees the same draws: its answer must not depend on its company.
        without: int64 [n], the exemplar that an image must not be compared with, since it is it; -1: none.
    """
    e, device = len(known.weight), tokens.weight.device
    rows = torch.arange(e, device=device)
    parts, totals = [], []
    for image in range(len(tokens.weight)):
        matches = mutual_matches(known, tokens, rows, torch.full_like(rows, image), MATCHES)
        others = rows if without is None else rows[rows != without[image]]
        say = 1.0 / max(len(others), 1)
        together = Matches(
            *(part[others].reshape(1, -1) for part in (matches.first, matches.second, matches.weight * say))
        )
        parts.append(
            robust_similarities(
                together,
                tolerance=TOLERANCE,
                hypotheses=HYPOTHESES,
                generator=torch.Generator().manual_seed(seed),
            )
        )
        totals.append(together.weight.sum(1))
    names = ("a", "b", "score")
    found = Similarities(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
    return found, torch.cat(totals)
