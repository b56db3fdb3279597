"""Training a student to see what a teacher sees.

The student learns three things of every view: each token's direction (the teacher's tokens in their leading
principal directions), which tokens of the batch resemble each other and how much (the relation that
matching lives on; relational distillation, Park et al. 2019), and the image's embedding; besides, where the
class token looks. Its input is recoloured, the teacher's was not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, normalize, softmax

from congeal.distillation.student import Seen
from congeal.distillation.teacher_targets import Examples, TargetBasis


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Attributes:
        steps: batches to learn from, all together.
        batch: views in a batch.
        bits: of a matrix's numbers where the student is stored. Below 8, the blocks' matrices are rounded
            before the student learns (see `congeal.distillation.quantization`), and it learns their rows'
            steps and all else.
        learning_rate: the highest; it rises over `warmup` steps and falls to nothing as a cosine.
        averaging: decay of the moving average of the parameters, which is what is kept.
        relation, embedding, attention: weights of these losses beside the tokens' own.
        temperature: of the relations.
        related: tokens of a batch whose relations are compared.
        precision: "auto", "float32" or "bfloat16".
        seed: fixes the order, the colours and the tokens drawn.
    """

    steps: int
    batch: int = 8
    bits: float = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 100
    averaging: float = 0.998
    relation: float = 0.1
    embedding: float = 1.0
    attention: float = 0.2
    temperature: float = 0.1
    related: int = 1024
    precision: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Loss:
    """The parts of a batch's loss, scalars, unweighted."""

    tokens: Tensor
    relation: Tensor
    embedding: Tensor
    attention: Tensor

    def total(self, recipe: Recipe) -> Tensor:
        """The weighted sum."""
        return (
            self.tokens
            + recipe.relation * self.relation
            + recipe.embedding * self.embedding
            + recipe.attention * self.attention
        )


def loss(seen: Seen, examples: Examples, basis: TargetBasis, recipe: Recipe, draw: torch.Generator) -> Loss:
    """How far what a student sees in a batch is from what the teacher sees."""
    wanted = basis.tokens(examples.features).flatten(1, 2)
    said = basis.said(seen.tokens)
    tokens = 1 - (wanted * said).sum(-1).mean()
    flat, flat_said = wanted.flatten(0, 1), said.flatten(0, 1)
    some = torch.randperm(len(flat), generator=draw)[: recipe.related].to(flat.device)
    wanted_embedding = basis.embeddings(examples.embedding)
    said_embedding = normalize(seen.embedding, dim=-1)
    embedding = 1 - (wanted_embedding * said_embedding).sum(-1).mean()
    if len(examples) > 2:
        embedding = embedding + _relation(said_embedding, wanted_embedding, recipe.temperature)
    salient = examples.saliency.float().flatten(1)
    return Loss(
        tokens=tokens,
        relation=_relation(flat_said[some], flat[some], recipe.temperature),
        embedding=embedding,
        attention=_divergence(
            seen.attention.clamp_min(1e-9).log().log_softmax(-1),
            salient / salient.sum(1, keepdim=True).clamp_min(1e-9),
        ),
    )


def _relation(said: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Divergence of how the rows [m, k] of length 1 resemble each other from how they should."""
    own = torch.eye(len(said), dtype=torch.bool, device=said.device)
    logits, aims = ((rows @ rows.T / temperature).masked_fill(own, -1e4) for rows in (said, wanted))
    return _divergence(log_softmax(logits, dim=-1), softmax(aims, dim=-1))


def _divergence(log_said: Tensor, wanted: Tensor) -> Tensor:
    return kl_div(log_said, wanted, reduction="batchmean")
