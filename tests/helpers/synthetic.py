"""Dense features with exact truth: a made-up object, seen under known warps before unrelated backgrounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from congeal.geometry.frames import cell_centres

GRID = 24
CHANNELS = 24
Floats = npt.NDArray[np.float32]


class Thing:
    """An object over the square [-1, 1]²: every place has features of its own, smooth and unmistakable.

    `symmetric`: both halves look alike, as those of a bottle do.
    """

    def __init__(self, seed: int, symmetric: bool = False) -> None:
        random = np.random.default_rng([17, seed])
        self.waves = random.normal(0, 3.0, (2, CHANNELS))
        self.phase = random.uniform(0, 2 * np.pi, CHANNELS)
        self.common = random.normal(0, 1, CHANNELS)
        self.symmetric = symmetric

    def inside(self, u: Floats) -> npt.NDArray[np.bool_]:
        return np.asarray((u[..., 0] / 0.75) ** 2 + (u[..., 1] / 0.5) ** 2 < 1)

    def features(self, u: Floats) -> Floats:
        at = np.stack([np.abs(u[..., 0]), u[..., 1]], -1) if self.symmetric else u
        return (np.cos(at @ self.waves + self.phase) + 0.7 * self.common).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """frame = flip(scale · R(angle) · (u + bend(u)) + shift)."""

    scale: float = 0.7
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False
    bend: float = 0.0

    def to_frame(self, u: Floats) -> Floats:
        bent = np.stack([u[..., 0] + self.bend * u[..., 1] ** 2, u[..., 1]], -1)
        c, s = np.cos(self.angle), np.sin(self.angle)
        turned = bent @ np.array([[c, s], [-s, c]]) * self.scale + np.array(self.shift)
        return np.asarray(turned * ([-1, 1] if self.mirrored else [1, 1]), np.float32)

    def to_thing(self, frame: Floats) -> Floats:
        turned = frame * ([-1, 1] if self.mirrored else [1, 1])
        c, s = np.cos(self.angle), np.sin(self.angle)
        bent = (turned - np.array(self.shift)) / self.scale @ np.array([[c, -s], [s, c]])
        return np.asarray(
            np.stack([bent[..., 0] - self.bend * bent[..., 1] ** 2, bent[..., 1]], -1), np.float32
        )


@dataclass(frozen=True)
class Scene:
    """The arrays that `congeal.align` takes, and the poses behind them."""

    features: Floats
    mirrored_features: Floats
    saliency: Floats
    mirrored_saliency: Floats
    poses: list[Pose]

    def arguments(self) -> dict[str, Floats]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "poses"}

    def select(self, rows: list[int]) -> Scene:
        arrays = (getattr(self, name)[rows] for name in self.arguments())
        return Scene(*arrays, poses=[self.poses[row] for row in rows])


def scene(things: list[Thing], poses: list[Pose], *, noise: float = 0.25, seed: int = 0) -> Scene:
    """Image i shows things[i] in poses[i] before a background of its own."""
    features, saliency = [], []
    for image, (thing, pose) in enumerate(zip(things, poses, strict=True)):
        random = np.random.default_rng([seed, image])
        u = pose.to_thing(cell_centres(GRID))
        inside = thing.inside(u)
        clutter = random.normal(0, 1, CHANNELS) + 0.8 * random.normal(0, 1, (GRID, GRID, CHANNELS))
        seen = np.where(inside[..., None], thing.features(u), clutter)
        features.append(seen + noise * random.normal(0, 1, seen.shape))
        saliency.append(inside + 0.05 * random.random((GRID, GRID)))
    stack, light = np.float32(np.stack(features)), np.float32(np.stack(saliency))
    # These features know no handedness, so those of the mirror image are the mirrored features.
    return Scene(stack, stack[:, :, ::-1].copy(), light, light[:, :, ::-1].copy(), poses)


def varied_poses(count: int, seed: int = 0, *, mirrored: bool = False, bend: float = 0.0) -> list[Pose]:
    """Poses of moderate variety; every third is mirrored if `mirrored`."""
    random = np.random.default_rng([5, seed])
    return [
        Pose(
            scale=float(random.uniform(0.5, 0.9)),
            angle=float(random.uniform(-0.5, 0.5)),
            shift=(float(random.uniform(-0.2, 0.2)), float(random.uniform(-0.2, 0.2))),
            mirrored=mirrored and image % 3 == 1,
            bend=bend * (-1) ** image,
        )
        for image in range(count)
    ]


def lit(made: Scene, where: npt.NDArray[np.bool_], features: Floats, light: float = 0.9) -> Scene:
    """The scene with something else in some cells [n, g, g], as bright in attention as `light` says."""
    shown, attention = made.features.copy(), made.saliency.copy()
    shown[where], attention[where] = features[where], light
    mirrored, turned = shown[:, :, ::-1].copy(), attention[:, :, ::-1].copy()
    return Scene(shown, mirrored, attention, turned, made.poses)


def beside_patches(count: int) -> tuple[Scene, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A scene, the cells of the thing [n, g, g], and those of a patch, each time in another corner."""
    poses = [replace(pose, scale=0.7, shift=(0.0, 0.0)) for pose in varied_poses(count)]
    cells = cell_centres(GRID)
    things = np.stack([Thing(0).inside(pose.to_thing(cells)) for pose in poses])
    corners = [
        np.array([(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)][image % 4]) for image in range(count)
    ]
    patches = np.stack([np.linalg.norm(cells - corner, axis=-1) < 0.35 for corner in corners])
    return scene([Thing(0)] * count, poses), things, patches & ~things


def kinds(
    sizes: list[int], *, spread: float = 0.6, seed: int = 0, d: int = 32
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Unit vectors around random centres, and the kind of each."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (len(sizes), d)) / np.sqrt(d)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    points = centres[labels] + spread * random.normal(0, 1, (len(labels), d)) / np.sqrt(d)
    order = random.permutation(len(labels))
    points = points[order] / np.linalg.norm(points[order], axis=1, keepdims=True)
    return points.astype(np.float32), labels[order]
