"""What sometimes stands between the camera and the thing."""

from __future__ import annotations

import numpy as np
from clutter import Layout, item, sized
from mesh import turn
from nature import leaf, weed
from scene import Prop


def occluder(spot: Layout, rng: np.random.Generator, make: str) -> list[Prop]:
    """Something between the camera and one side of the thing."""
    side = rng.choice([-1, 1])
    aside = side * rng.uniform(0.3, 0.65) * spot.radius
    if make == "water":
        return [Prop(weed(spot.at(-0.55, aside, -0.75), rng, 0.85))]
    if make == "foliage":
        spin = turn("z", rng.uniform(-30, 30)) @ turn("y", side * rng.uniform(30, 70))
        frame = np.stack([spot.at(0, 1), spot.at(1, 0), np.array([0, 0, 1.0])], 1)
        return [
            Prop(
                leaf(rng, 105, 0.75).moved(frame @ spin, spot.at(-0.7, side * 0.5, rng.uniform(-0.55, -0.25)))
            )
        ]
    at = spot.at(-spot.radius - 0.25, aside)
    return [Prop(sized(part, 0.75).moved(turn("z", rng.uniform(0, 360)), at)) for part in item(rng)]
