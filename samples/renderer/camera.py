"""The camera: where it stands, and where it sees a point of space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Camera:
    """A pinhole (or thin lens) that looks from ``origin`` to ``target``.

    Attributes:
        origin, target, up: [3], of the scene.
        width, height: of the image, in pixels.
        field: angle across the image's width, in degrees.
        aperture: radius of the lens; what is not as far as ``focus`` blurs.
        focus: distance that is sharp.
    """

    origin: Array
    target: Array
    up: Array
    width: int
    height: int
    field: float
    aperture: float = 0.0
    focus: float = 1.0

    @property
    def axes(self) -> Array:
        """Rows: right, up and forward, of unit length."""
        forward = self.target - self.origin
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    def project(self, points: Array) -> Array:
        """Pixel positions [n, 2] of points [n, 3]; (0, 0) is the centre of the top-left pixel."""
        local = (points - self.origin) @ self.axes.T
        reach = np.tan(np.radians(self.field) / 2)
        plane = local[:, :2] / local[:, 2:] / reach * self.width / 2
        middle = [self.width / 2 - 0.5, self.height / 2 - 0.5]
        return plane * [1, -1] + middle

    def rays(self, pixels: Array) -> Array:
        """Unit directions [n, 3] through pixel positions [n, 2]."""
        reach = np.tan(np.radians(self.field) / 2)
        plane = (pixels - [self.width / 2 - 0.5, self.height / 2 - 0.5]) * [1, -1] / (self.width / 2) * reach
        local = np.concatenate([plane, np.ones((len(plane), 1))], 1)
        return (local / np.linalg.norm(local, axis=1, keepdims=True)) @ self.axes


def framed(
    points: Array,
    azimuth: float,
    elevation: float,
    roll: float,
    size: tuple[int, int],
    fill: float,
    offset: Sequence[float],
    field: float = 24.0,
    aperture: float = 0.0,
) -> Camera:
    """The camera that sees the points from a direction, as large and as far from the middle as asked.

    Args:
        points: [n, 3], what is to be seen.
        azimuth, elevation: of the camera as seen from the points, in degrees; 0 is +x, 90 is +y.
        roll: of the camera, in degrees.
        size: width and height of the image.
        fill: share of the image that the box around the points takes, in the tighter direction.
        offset: of the box's middle from the image's, as shares of the room that is left.
        field: angle across the longer side.
        aperture: radius of the lens.
    """
    width, height = size
    across = field * width / max(size)
    az, el = np.radians(azimuth), np.radians(elevation)
    toward = np.array([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)])
    side = np.array([-np.sin(az), np.cos(az), 0])
    over = np.cross(toward, side)
    tilt = np.radians(roll)
    up = np.cos(tilt) * over + np.sin(tilt) * side
    target, distance = (points.min(0) + points.max(0)) / 2, 5.0
    room = (1 - np.array([fill, fill])) / 2
    for _ in range(12):
        camera = Camera(target + toward * distance, target, up, width, height, across, aperture, distance)
        seen = camera.project(points)
        low, high = seen.min(0), seen.max(0)
        share = float(((high - low) / size).max())
        wanted = np.array(size) / 2 + np.asarray(offset) * room * size
        away = ((low + high) / 2 - wanted) / width * 2 * np.tan(np.radians(across) / 2) * distance
        right, upward, _ = camera.axes
        target = target + right * away[0] - upward * away[1]
        distance *= share / fill
    return camera
