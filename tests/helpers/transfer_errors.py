"""How far landmarks of synthetic scenes land from the truth when they are transferred by an alignment."""

from __future__ import annotations

import numpy as np
from synthetic import GRID, Pose

from congeal.alignment.model import Alignment
from congeal.geometry.frames import Frame
from congeal.transfer.points import Maps, transfer

SIDE = 480  # pixels of the made-up originals
TOKEN = SIDE / GRID
LANDMARKS = np.array(
    [[-0.5, 0.0], [0.5, 0.0], [0.0, 0.3], [0.0, -0.3], [0.3, 0.15], [-0.25, -0.2]], np.float32
)


def maps(found: Alignment, image: int) -> Maps:
    frame = Frame(SIDE, SIDE)
    return Maps(
        frame,
        frame.to_pixels(found.forward[image]),
        found.forward_confidence[image],
        found.backward[image],
        found.backward_confidence[image],
    )


def errors(found: Alignment, poses: list[Pose], images: list[int]) -> np.ndarray:
    """Transfer errors of the landmarks over all pairs of images, in tokens."""
    frame = Frame(SIDE, SIDE)
    truth = {image: frame.to_pixels(poses[image].to_frame(LANDMARKS)) for image in images}
    return np.concatenate(
        [
            np.linalg.norm(transfer(truth[a], maps(found, a), maps(found, b)).xy - truth[b], axis=1) / TOKEN
            for a in images
            for b in images
            if a != b
        ]
    )
