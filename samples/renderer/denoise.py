"""Takes the noise of few light paths out of a rendered image, guided by what is known without noise.

Edge-avoiding wavelets (Dammertz et al. 2010) on the light alone: the surface's own colour is divided out
before and put back after, so that patterns stay as sharp as they were.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
LEVELS = 5


def smoothed(radiance: Array, albedo: Array, normal: Array, depth: Array) -> Array:
    """The image [h, w, 3] without noise.

    The guides albedo and normal [h, w, 3] and depth [h, w] are averages over each pixel.
    """
    base = np.where(albedo.max(-1, keepdims=True) > 1e-3, albedo + 0.02, 1.0)
    light = np.log(np.maximum(radiance, 0) / base + 0.02).astype(np.float32)
    guides = np.concatenate(
        [
            normal / 0.25,
            np.sqrt(np.maximum(albedo, 0)) / 0.12,
            np.log(np.maximum(depth, 0.1))[..., None] / 0.03,
        ],
        -1,
    ).astype(np.float32)
    light = _without_sparks(light, guides)
    for level in range(LEVELS):
        light = _filtered(light, guides, 2**level, 0.9 * 0.6**level)
    return (np.exp(light) - 0.02) * base


def _without_sparks(light: Array, guides: Array) -> Array:
    # A pixel may be no brighter and no darker than nearly all of those around it on the same surface.
    rows, columns = light.shape[:2]
    edge = ((1, 1), (1, 1), (0, 0))
    wide, guide = np.pad(light, edge, mode="edge"), np.pad(guides, edge, mode="edge")
    others = []
    for r, c in ((r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)):
        window = np.s_[r : r + rows, c : c + columns]
        apart = ((guide[window] - guides) ** 2).sum(-1, keepdims=True)
        others.append(np.where(apart < 2, wide[window], np.nan))
    around = np.sort(np.stack([*others, light]), axis=0)
    count = np.isfinite(around[..., :1]).sum(0)
    low, high = np.clip(count // 4, 0, 8), np.clip(count - 1 - count // 4, 0, 8)
    take = [np.take_along_axis(around, np.broadcast_to(at, light.shape)[None], 0)[0] for at in (low, high)]
    return np.clip(light, *take)


def _filtered(light: Array, guides: Array, step: int, tolerance: float) -> Array:
    rows, columns = light.shape[:2]
    edge = ((step, step), (step, step), (0, 0))
    wide, guide = np.pad(light, edge, mode="edge"), np.pad(guides, edge, mode="edge")
    total, weights = np.zeros_like(light), np.zeros((rows, columns, 1), np.float32)
    for r in (0, 1, 2):
        for c in (0, 1, 2):
            window = np.s_[r * step : r * step + rows, c * step : c * step + columns]
            other = wide[window]
            apart = ((guide[window] - guides) ** 2).sum(-1) + ((other - light) ** 2).sum(-1) / (
                3 * tolerance**2
            )
            weight = (np.exp(-apart) * (2 - abs(r - 1)) * (2 - abs(c - 1)))[..., None]
            total += weight * other
            weights += weight
    return total / weights
