"""How far a student agrees with its teacher, on images that it has not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from congeal.distillation.teacher_targets import TargetBasis

NEAR = 1.5  # cells


@dataclass(frozen=True)
class Agreement:
    """Shares and means over held-out images.

    Attributes:
        images: how many.
        token_cosine: mean cosine of the student's tokens with the teacher's, in the student's channels.
        embedding_cosine: the same of embeddings.
        matches: share of the teacher's mutual nearest neighbours, between each image and the one most like
            it, that the student's nearest neighbour comes to within a cell and a half.
        neighbours: share of images whose most alike is, to the student, among the teacher's five most alike.
    """

    images: int
    token_cosine: float
    embedding_cosine: float
    matches: float
    neighbours: float


def agreement(taught: tuple[Tensor, Tensor], seen: tuple[Tensor, Tensor], basis: TargetBasis) -> Agreement:
    """Compare features [n, g, g, ·] and embeddings [n, ·], n ≥ 2, the teacher's and the student's."""
    features, embedding = taught
    wanted, said = basis.tokens(features), basis.said(seen[0])
    wanted_embedding, said_embedding = basis.embeddings(embedding), normalize(seen[1].float(), dim=-1)
    alike, alike_said = (
        (rows @ rows.T).fill_diagonal_(-2.0)
        for rows in (normalize(embedding.float(), dim=-1), said_embedding)
    )
    partner = alike.argmax(1)
    nearest = alike.topk(min(5, len(alike) - 1), dim=1).indices
    own = normalize(features.float(), dim=-1)
    found = total = 0
    for image, other in enumerate(partner.tolist()):
        near, count = _found_again(own[image], own[other], said[image], said[other])
        found, total = found + near, total + count
    return Agreement(
        images=len(features),
        token_cosine=float((wanted * said).sum(-1).mean()),
        embedding_cosine=float((wanted_embedding * said_embedding).sum(-1).mean()),
        matches=found / max(total, 1),
        neighbours=float((nearest == alike_said.argmax(1, keepdim=True)).any(1).float().mean()),
    )


def _found_again(one: Tensor, other: Tensor, one_said: Tensor, other_said: Tensor) -> tuple[int, int]:
    """How many mutual nearest neighbours of [g, g, ·] the student's matching comes near to, of how many."""
    side = one.shape[0]
    similar = one.flatten(0, 1) @ other.flatten(0, 1).T
    there, back = similar.argmax(1), similar.argmax(0)
    cells = torch.arange(side * side)
    mutual = back[there] == cells
    said = (one_said.flatten(0, 1)[mutual] @ other_said.flatten(0, 1).T).argmax(1)
    meant = there[mutual]
    offset = torch.stack([said // side - meant // side, said % side - meant % side]).float()
    return int((torch.linalg.vector_norm(offset, dim=0) <= NEAR).sum()), int(mutual.sum())
