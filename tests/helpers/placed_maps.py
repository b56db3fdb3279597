"""Maps of images that show the atlas under a known similarity; linear, so that they hold everywhere."""

from __future__ import annotations

import numpy as np

from congeal.geometry.frames import Frame, cell_centres
from congeal.transfer.points import ForwardMaps, Maps, from_atlas_to_many


def placed(
    frame: Frame,
    scale: float = 0.8,
    shift: tuple[float, float] = (0.0, 0.0),
    turn: float = 0.0,
    confidence: float = 1.0,
    cells: int = 16,
) -> Maps:
    """The atlas scaled, turned (radians) and shifted (frame units) in the frame of an image."""
    cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    grid = cell_centres(cells).astype(np.float64)
    full = np.full((cells, cells), confidence)
    forward = frame.to_pixels(grid @ matrix.T + shift)
    backward = (grid - shift) @ np.linalg.inv(matrix).T
    return Maps(frame, forward, full, backward, full)


def from_atlas(places: np.ndarray, maps: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Atlas positions [k, 2] to pixels [k, 2] of an image and their confidence [k]."""
    xy, confidence = from_atlas_to_many(places, ForwardMaps.of(maps))
    return xy[0], confidence[0]


def identity(width: int, height: int, confidence: float = 1.0) -> Maps:
    """The atlas is the frame."""
    return placed(Frame(width, height), 1.0, confidence=confidence)
