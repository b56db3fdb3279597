"""Pictures of one bright spot, and where it is found: do pixels stay in their place?"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

WIDTH, HEIGHT = 1024, 768
PLACES = st.tuples(st.floats(90, WIDTH - 90), st.floats(90, HEIGHT - 90))


def spot(x: float, y: float) -> np.ndarray:
    """Greys float64 [768, 1024] from 20 to 220, with a spot at (x, y)."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(20 + 200 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * 14.0**2)))


def centre(pixels: np.ndarray, scale: float) -> tuple[float, float]:
    """Where the spot is in [h, w, 3], in pixels of the whole picture, which is `scale` times as large."""
    grey = pixels[..., 0].astype(float)
    bright = np.clip(grey - (grey.min() + 0.04 * np.ptp(grey)), 0, None)
    down, across = np.mgrid[: grey.shape[0], : grey.shape[1]]
    x, y = ((bright * axis).sum() / bright.sum() for axis in (across, down))
    return (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
