"""From pairwise similarities to one consistent pose an image.

Every image i has a mirror state m_i and a pose x_i = a_i·u + b_i from the atlas square to its (possibly
mirrored) frame. A pair says x_j ≈ a_ij·x_i + b_ij for equal or for opposite mirror states. These are
synchronised first (signs, by the leading eigenvector), then rotation and scale (complex numbers, likewise),
then translations (least squares), each with weights that fall off where a pair contradicts the consensus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from congeal.alignment.config.poses import PosesConfig

DENSE_UP_TO = 256  # images up to which all eigenvectors are found at once


@dataclass(frozen=True)
class Poses:
    """A pose for every image: oriented frame position = a·u + b.

    Attributes:
        mirrored: bool [n].
        a, b: complex64 [n].
        support: float32 [n], the mean agreement of an image's pairs with the consensus, 0 to 1.
    """

    mirrored: Tensor
    a: Tensor
    b: Tensor
    support: Tensor


def _contrasts(same: Tensor, opposite: Tensor, config: PosesConfig, share: float) -> Tensor:
    """Each pair's evidence for equal mirror states (positive) or opposite ones (negative), [n, n]."""
    contrast = (same - opposite) / (same + opposite).clamp_min(1e-9)
    strength = share * (same + opposite) / (same + opposite).mean().clamp_min(1e-9)
    matrix = contrast * strength.clamp_max(config.strongest_pair)
    return matrix.fill_diagonal_(0)


def consistency(
    same: Tensor, opposite: Tensor, mirrored: Tensor, config: PosesConfig, share: float = 1.0
) -> float:
    """How far the pairs agree with mirror states, −1 to 1; chance can be made to fit at about 0.5.

    same, opposite, share: as of `synchronize_mirroring`. mirrored: bool [n].
    """
    matrix, sign = _contrasts(same, opposite, config, share), torch.where(mirrored, -1.0, 1.0)
    return float(sign @ matrix @ sign / matrix.abs().sum().clamp_min(1e-9))


def synchronize_mirroring(same: Tensor, opposite: Tensor, config: PosesConfig, share: float = 1.0) -> Tensor:
    """Which images are mirrored with respect to the others.

    Args:
        same, opposite: float32 [n, n], symmetric: the support of the best similarity between two images as
            they are, and with one of them mirrored; 0 for pairs that were not compared.
        config: of the influence of a pair.
        share: how many of all pairs were compared, 0 to 1.

    Returns:
        mirrored bool [n]: the minority is mirrored.
    """
    n = same.shape[0]
    matrix = _contrasts(same, opposite, config, share)
    sign = torch.where(leading_eigenvector(matrix) >= 0, 1.0, -1.0)
    for _ in range(10 * n):  # greedy: flip the image that gains most, until none gains
        gain = -sign * (matrix @ sign)
        worst = int(gain.argmax())
        if float(gain[worst]) <= 1e-6:
            break
        sign[worst] = -sign[worst]
    if int((sign < 0).sum()) * 2 > n:
        sign = -sign
    return sign < 0


def synchronize_poses(
    a: Tensor, b: Tensor, weight: Tensor, config: PosesConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Poses that agree best with pairwise similarities.

    Args:
        a, b: complex64 [n, n], x_j ≈ a[i, j]·x_i + b[i, j].
        weight: float32 [n, n], trust in each pair; 0 on the diagonal.
        config: of the reweighting.

    Returns:
        a, b complex64 [n] and the agreement of each image's pairs float32 [n].
    """
    n = a.shape[0]
    trust = weight.clone()
    pose_a = torch.ones(n, dtype=a.dtype, device=a.device)
    pose_b = torch.zeros_like(pose_a)
    agreement = torch.ones_like(weight)
    for _ in range(config.reweightings):
        pose_a = _rotations_and_scales(a, trust)
        pose_b = _translations(a, b, pose_a, trust)
        predicted_a = pose_a[None, :] / pose_a[:, None]
        predicted_b = pose_b[None, :] - predicted_a * pose_b[:, None]
        # How far apart the two similarities put points off the centre.
        apart = (predicted_a - a).abs() * config.compared_at + (predicted_b - b).abs()
        apart = apart / predicted_a.abs().clamp(*config.size_range)
        agreement = 1 / (1 + (apart / config.tolerance) ** 2)
        trust = weight * agreement**2
    support = (weight * agreement).sum(1) / weight.sum(1).clamp_min(1e-9)
    return pose_a, pose_b, support


def leading_eigenvector(matrix: Tensor) -> Tensor:
    """Of a Hermitian matrix [n, n], that of the largest eigenvalue, unit length [n], up to a unit factor.

    A large set's matrix is sparse, and only one of its eigenvectors is asked for. Of a matrix of zeros any
    vector will do.
    """
    n = matrix.shape[0]
    if n <= DENSE_UP_TO:
        return _dense_leading(matrix)
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import ArpackError, eigsh

    # A start of one's own: SciPy's is random. ARPACK may still start again from a random vector, where this
    # one leads nowhere; the oldest SciPy that is allowed has no generator to give it.
    start = np.ones(n, np.complex64 if matrix.is_complex() else np.float32)
    try:
        _, vectors = eigsh(csr_array(matrix.cpu().numpy()), k=1, which="LA", v0=start)
    except ArpackError:  # it does not converge, or the matrix is zero
        return _dense_leading(matrix)
    return torch.from_numpy(vectors[:, 0]).to(matrix)


def _dense_leading(matrix: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(matrix)[1]
    return vectors[:, -1]


def _rotations_and_scales(a: Tensor, trust: Tensor) -> Tensor:
    degree = trust.sum(1).clamp_min(1e-9)
    norm = (degree[:, None] * degree[None, :]).sqrt()
    # Hermitian: entry (j, i) carries the unit rotation from i to j.
    turn = (trust / norm) * (a / a.abs().clamp_min(1e-6))
    matrix = turn.T
    matrix = (matrix + matrix.conj().T) / 2
    lead = leading_eigenvector(matrix)
    # An image without evidence has no part in the leading eigenvector: it is not turned.
    known = lead.abs() > 1e-6
    rotation = torch.where(known, lead / lead.abs().clamp_min(1e-9), torch.ones_like(lead))
    log_scale = _potentials(a.abs().clamp_min(1e-6).log(), trust)
    pose = rotation * log_scale.exp()
    # Gauge: no turn and no scale on average.
    mean = (degree * rotation).sum()
    turned: Tensor = pose * (mean.conj() / mean.abs().clamp_min(1e-9))
    return turned


def _potentials(difference: Tensor, trust: Tensor) -> Tensor:
    """Least-squares p with p_j − p_i ≈ difference[i, j], trust-weighted mean zero ([n, n] to [n])."""
    n = trust.shape[0]
    # In single precision the equation of an image without evidence would be lost beside the others'.
    trust, difference = trust.double(), difference.double()
    w = trust + trust.T
    d = (trust * difference - (trust * difference).T) / w.clamp_min(1e-9)
    laplacian = torch.diag(w.sum(1)) - w
    total = float(w.sum())
    anchor = torch.full((n, n), total / n**2 + 1e-9, dtype=laplacian.dtype, device=w.device)
    # An image without any evidence has no equation of its own: it stays where it is.
    laplacian = laplacian + (1e-6 * total / n + 1e-9) * torch.eye(n, dtype=laplacian.dtype, device=w.device)
    rhs = -(w * d).sum(1)
    solution: Tensor = torch.linalg.solve(laplacian + anchor, rhs)
    return solution.float()


def _translations(a: Tensor, b: Tensor, pose_a: Tensor, trust: Tensor) -> Tensor:
    """Least-squares translations, compared in the atlas: b_j/a_j − b_i/a_i ≈ b_ij/a_j."""
    difference = b / pose_a[None, :]
    real = _potentials(difference.real, trust)
    imaginary = _potentials(difference.imag, trust)
    return torch.complex(real, imaginary) * pose_a
