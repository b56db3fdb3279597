"""What a student is to reproduce: a teacher's features, brought to as many channels as the student has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from scipy.linalg import orthogonal_procrustes
from torch import Tensor
from torch.nn.functional import normalize, pad

from congeal.geometry.eigenvectors import leading_eigenvectors


@dataclass(frozen=True)
class Examples:
    """Views of one grid and what the teacher sees in them.

    Attributes:
        pixels: uint8 [n, s, s, 3], the views at the student's input size.
        features: float16 [n, g, g, c], the teacher's.
        embedding: float16 [n, d], the teacher's, of length 1.
        saliency: float16 [n, g, g], the teacher's.
    """

    pixels: Tensor
    features: Tensor
    embedding: Tensor
    saliency: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def rows(self, index: Tensor) -> Examples:
        """The examples at int64 [m]."""
        return Examples(
            *(part[index] for part in (self.pixels, self.features, self.embedding, self.saliency))
        )


def joined(parts: list[Examples]) -> Examples:
    """Examples one after the other, all of one grid."""
    names = ("pixels", "features", "embedding", "saliency")
    return Examples(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class TargetBasis:
    """From a teacher's channels to a student's; what tokens have in common is taken out before.

    Embeddings keep what they have in common, so that the cosine between two of them means what it does for
    the teacher.

    Attributes:
        mean: float32 [c], the teacher's mean token of length 1.
        projection: float32 [c, k], orthonormal: the leading principal directions of the tokens, turned.
        embedding_projection: float32 [d, k], the same for embeddings, about zero.
        kept: share of the tokens' variance that lies in `projection`.
        shared: whether the student speaks in the teacher's own channels, what tokens have in common included;
            `projection` then changes nothing.
    """

    mean: Tensor
    projection: Tensor
    embedding_projection: Tensor
    kept: float
    shared: bool = False

    def said(self, tokens: Tensor) -> Tensor:
        """A student's tokens [..., k] as they are compared with targets, of length 1."""
        unit = normalize(tokens.float(), dim=-1)
        return normalize(unit - self.mean, dim=-1) if self.shared else unit

    def to(self, device: torch.device) -> TargetBasis:
        """The same on a device."""
        names = ("mean", "projection", "embedding_projection")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def tokens(self, features: Tensor) -> Tensor:
        """Features [..., c] to targets [..., k] of length 1."""
        return normalize((normalize(features.float(), dim=-1) - self.mean) @ self.projection, dim=-1)

    def embeddings(self, embedding: Tensor) -> Tensor:
        """Embeddings [..., d] to targets [..., k] of length 1."""
        return normalize(embedding.float() @ self.embedding_projection, dim=-1)

    def turned_to(self, examples: Examples, tokens: Tensor, embedding: Tensor) -> TargetBasis:
        """The same directions, turned so that they lie as near as can be to what a student says already.

        Cosines do not change by it (orthogonal Procrustes); training need not begin with learning a rotation.
        tokens: [n, g*g, k] and embedding [n, k], the untrained student's for the examples.
        """
        wanted = self.tokens(examples.features).flatten(0, 2)
        said = tokens.flatten(0, 1)
        turn = _nearest_rotation(wanted, said - said.mean(0))
        turn_embedding = _nearest_rotation(self.embeddings(examples.embedding), embedding)
        return replace(
            self,
            projection=self.projection @ turn,
            embedding_projection=self.embedding_projection @ turn_embedding,
        )


def fit_basis(examples: Examples, channels: int) -> TargetBasis:
    """The basis of a sample of a teacher's features for a student of so many channels."""
    unit = normalize(examples.features.float(), dim=-1).flatten(0, 2)
    mean = unit.mean(0)
    projection, kept = _leading((unit - mean).T @ (unit - mean), channels)
    embedding = examples.embedding.float()
    return TargetBasis(mean, projection, _leading(embedding.T @ embedding, channels)[0], kept)


def shared_basis(examples: Examples) -> TargetBasis:
    """The teacher's own channels, for a student that is a part of it."""
    unit = normalize(examples.features.float(), dim=-1).flatten(0, 2)
    every, every_embedding = torch.eye(unit.shape[1]), torch.eye(examples.embedding.shape[1])
    return TargetBasis(unit.mean(0), every, every_embedding, 1.0, shared=True)


def _leading(scatter: Tensor, channels: int) -> tuple[Tensor, float]:
    """The leading eigenvectors [c, channels], zeros beyond c, and their share of the trace."""
    values, vectors = leading_eigenvectors(scatter.double(), channels)
    share = float(values.sum() / scatter.double().trace().clamp_min(1e-12))
    return pad(vectors.float(), (0, max(channels - vectors.shape[1], 0))), min(share, 1.0)


def _nearest_rotation(wanted: Tensor, said: Tensor) -> Tensor:
    turn, _ = orthogonal_procrustes(wanted.double().numpy(), normalize(said, dim=-1).double().numpy())
    return torch.from_numpy(turn).float()
