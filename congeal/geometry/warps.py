"""Warps between the atlas square and the images of a set: a similarity, then a residual flow.

Oriented frame position = a·(u + d(u)) + b, with u in the atlas square [-1, 1]², d a displacement in atlas
units, bilinear between the cells of a grid, and the oriented frame being the image's frame, mirrored where
the image is. All functions are batched over images and differentiable nowhere: the solver is closed-form.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float, Integer
from torch import Tensor

from congeal.geometry.complex_math import inverse
from congeal.geometry.frames import cell_centres
from congeal.geometry.interpolation import interpolated
from congeal.geometry.inversion import inverse_places
from congeal.geometry.segments import sums
from congeal.geometry.shape_checks import Numbers, check_fields, checked

MOST_KEPT = 128  # cells along a side of a grid that is kept for the next time
WIDE = 24  # channels from which fields are looked up cell by cell, and not channel by channel


@dataclass(frozen=True)
class Warps:
    """Warps of n images.

    Attributes:
        a, b: complex64 [n], the similarity.
        displacement: float32 [n, r, r, 2], the flow at the centres of an r×r grid over the atlas square.
        mirrored: bool [n], whether the oriented frame is the mirrored frame.
    """

    a: Complex[Tensor, " n"]
    b: Complex[Tensor, " n"]
    displacement: Float[Tensor, "n r r 2"]
    mirrored: Bool[Tensor, " n"]

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def resolution(self) -> int:
        """Cells along a side of the flow's grid."""
        return int(self.displacement.shape[1])

    def __getitem__(self, index: slice | Tensor) -> Warps:
        """The warps of some of the images."""
        return Warps(self.a[index], self.b[index], self.displacement[index], self.mirrored[index])


@checked
def rigid(
    a: Complex[Tensor, " n"], b: Complex[Tensor, " n"], mirrored: Bool[Tensor, " n"], resolution: int
) -> Warps:
    """Warps without any flow. a, b: complex64 [n], the similarity; mirrored: bool [n]."""
    zero = torch.zeros((len(a), resolution, resolution, 2), device=a.device)
    return Warps(a, b, zero, mirrored)


def grid(resolution: int, extent: float, device: torch.device) -> Tensor:
    """Cell centres float32 [resolution, resolution, 2] (x, y) of a square grid over [-extent, extent]²."""
    if resolution > MOST_KEPT:
        return torch.as_tensor(cell_centres(resolution, extent), device=device)
    return _kept_grid(resolution, extent, device)


@functools.lru_cache(maxsize=16)
def _kept_grid(resolution: int, extent: float, device: torch.device) -> Tensor:
    # Asked for hundreds of times a set, and never written to. What is made in inference mode could have no
    # part in gradients afterwards.
    with torch.inference_mode(False):
        return torch.as_tensor(cell_centres(resolution, extent), device=device)


@checked
def sample(
    field: Float[Tensor, "n r r c"],
    at: Float[Tensor, "n ... 2"],
    extent: float = 1.0,
    padding: str = "border",
) -> Tensor:
    """Bilinear values of ``field`` [n, r, r, c] at ``at`` [n, ..., 2]; result [n, ..., c]."""
    if field.shape[-1] >= WIDE and field.shape[1] > 1 and padding == "border":
        return interpolated(field, at, extent)
    shape = at.shape[1:-1]
    points = (at / extent).reshape(at.shape[0], 1, -1, 2)
    out = torch.nn.functional.grid_sample(
        field.permute(0, 3, 1, 2), points, align_corners=False, padding_mode=padding
    )
    return out[:, :, 0].transpose(1, 2).reshape(at.shape[0], *shape, field.shape[-1])


def _rotate(a: Tensor, points: Tensor) -> Tensor:
    """a·z for real [n, ..., 2] points, complex ``a`` [n]."""
    view = (-1,) + (1,) * (points.ndim - 2)
    real, imaginary = a.real.view(view), a.imag.view(view)
    x, y = points.unbind(-1)
    return torch.stack([real * x - imaginary * y, imaginary * x + real * y], -1)


def _shift(b: Tensor, ndim: int) -> Tensor:
    return torch.view_as_real(b).view(-1, *(1,) * (ndim - 2), 2)


@checked
def flip(points: Float[Tensor, "n ... 2"], mirrored: Bool[Tensor, " n"]) -> Tensor:
    """Oriented to plain frame coordinates [n, ..., 2], or back: x changes sign where an image is mirrored."""
    sign = torch.where(mirrored, -1.0, 1.0).view(-1, *(1,) * (points.ndim - 2))
    return torch.stack([points[..., 0] * sign, points[..., 1]], -1)


@checked
def to_oriented(warps: Warps, points: Float[Tensor, "n ... 2"]) -> Tensor:
    """Atlas [n, ..., 2] to oriented frame [n, ..., 2]."""
    moved = points + sample(warps.displacement, points)
    return _rotate(warps.a, moved) + _shift(warps.b, points.ndim)


@checked
def to_atlas(warps: Warps, oriented: Float[Tensor, "n ... 2"]) -> Tensor:
    """Oriented frame [n, ..., 2] to atlas [n, ..., 2]."""
    moved = _rotate(inverse(warps.a), oriented - _shift(warps.b, oriented.ndim))
    return inverted(warps.displacement, moved)


@checked
def inverted(
    displacement: Float[Tensor, "n r r 2"], at: Float[Tensor, "n ... 2"], rounds: int = 12
) -> Tensor:
    """The points u [n, ..., 2] of the atlas with u + d(u) = ``at`` [n, ..., 2], by Newton's method.

    A step that leads farther away is not taken, and the next is a quarter as long: so it converges however
    strongly the flow d [n, r, r, 2] stretches, and stays put rather than diverge where it folds.
    """
    return inverse_places(displacement, at.flatten(1, -2), rounds).view(at.shape)


@checked
def recentred(warps: Warps, weight: Numbers[Tensor, " n"], owner: Integer[Tensor, " n"], sets: int) -> Warps:
    """The same correspondences by way of atlases of which each has the mean shape of its images.

    What the flows of all images have in common says nothing of where points are, only of how the atlas is
    drawn. Without it a cup in the atlas has the shape of a cup.

    Args:
        warps: of n images.
        weight: float32 [n], an image's say in the mean.
        owner: int64 [n], which of the sets each image is of.
        sets: how many there are.
    """
    say = weight.view(-1, 1, 1, 1)
    common = sums(warps.displacement * say, owner, sets) / sums(say, owner, sets).clamp_min(1e-6)
    cells = grid(warps.resolution, 1.0, weight.device)
    before = inverted(common, cells.expand(sets, -1, -1, -1))[owner]
    return with_flow(warps, before + sample(warps.displacement, before) - cells)


@checked
def jacobian_determinants(places: Float[Tensor, "n r r 2"]) -> Tensor:
    """Determinant of a map at its cells, float32 [n, r, r]; ≤ 0 is a fold. places: [n, r, r, 2], any unit.

    A single cell has no neighbours to change order with: 1.
    """
    if places.shape[1] < 2:
        return torch.ones_like(places[..., 0])
    step = 2.0 / places.shape[1]
    dx = torch.gradient(places, spacing=step, dim=2)[0]
    dy = torch.gradient(places, spacing=step, dim=1)[0]
    return dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]


@checked
def smooth_fit(
    displacement: Float[Tensor, "n r r 2"],
    weight: Float[Tensor, "n r r"],
    *,
    width: float,
    trust: float,
    affine_ridge: float = 0.3,
) -> Tensor:
    """A smooth field through weighted displacements: an affine fit around every cell (moving least squares).

    Args:
        displacement: float32 [n, r, r, 2], evidence at the cells of a grid over the atlas square.
        weight: float32 [n, r, r], trust in it, 0 to 1.
        width: standard deviation of the neighbourhood in atlas units.
        trust: weight of the assumption of no displacement, as a share of a neighbourhood full of evidence.
        affine_ridge: the same for the assumption of no local stretch or turn.

    Returns:
        float32 [n, r, r, 2].
    """
    r = weight.shape[1]
    x, y = grid(r, 1.0, weight.device).unbind(-1)
    powers = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    sides = (weight[..., None] * displacement).permute(0, 3, 1, 2)
    evidence = [weight[:, None] * powers, *(sides * power for power in powers[:3])]
    blurred = blur(torch.cat(evidence, 1), width)
    full = _kernel(r, width, powers).sum(1).amax() ** 2
    m0, mx, my, mxx, mxy, myy = blurred[:, :6].unbind(1)
    r0, r1, r2 = blurred[:, 6:8], blurred[:, 8:10], blurred[:, 10:]
    ridge0 = trust * full
    ridge1 = (affine_ridge * width**2) * (m0 + ridge0) + 1e-6 * full
    total = m0 + (ridge0 + 1e-6 * full)
    # Moments about the cell itself, then with the constant eliminated (the rows of a Cholesky factor).
    cx, cy = mx - x * m0, my - y * m0
    px, py = cx / total, cy / total
    cxx = mxx - x * (mx + cx) + ridge1 - px * cx
    cyy = myy - y * (my + cy) + ridge1 - py * cy
    cxy = mxy - x * my - y * cx - px * cy
    rx = r1 - (x + px)[:, None] * r0
    ry = r2 - (y + py)[:, None] * r0
    determinant = cxx * cyy - cxy * cxy
    along = (cyy[:, None] * rx - cxy[:, None] * ry) / determinant[:, None]
    down = (cxx[:, None] * ry - cxy[:, None] * rx) / determinant[:, None]
    fitted = r0 / total[:, None] - px[:, None] * along - py[:, None] * down
    return fitted.permute(0, 2, 3, 1).contiguous()


@checked
def blur(field: Float[Tensor, "n c r r"], width: float) -> Tensor:
    """Separable Gaussian sums (not averages) of [n, c, r, r], zero outside; ``width`` in units of [-1, 1]."""
    kernel = _kernel(field.shape[2], width, field)
    return kernel @ field @ kernel


def _kernel(r: int, width: float, like: Tensor) -> Tensor:
    """Gaussian of the distances between r cells over [-1, 1], [r, r], symmetric."""
    offsets = torch.arange(r, device=like.device, dtype=like.dtype)
    return torch.exp(-((offsets[:, None] - offsets[None]) ** 2) / (2 * (width * r / 2) ** 2))


def with_flow(warps: Warps, displacement: Tensor) -> Warps:
    """The same similarities with another flow, float32 [n, r, r, 2]."""
    return replace(warps, displacement=displacement)
