from __future__ import annotations

from typing import Any

import numpy as np
import torch

from congeal.backbones.extractor import DenseFeatures
from congeal.backbones.position_bias import blank_contrast, position_directions, probe_images

GRID, CHANNELS = 8, 32


class Backbone:
    """Features that are content (of the pixels alone) plus place (of the grid alone, in three directions)."""

    image_size, grid, channels = 64, GRID, CHANNELS
    device = torch.device("cpu")
    taps = {"last": CHANNELS}  # noqa: RUF012

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.axes = torch.linalg.qr(torch.randn((CHANNELS, 3), generator=generator)).Q.T
        ticks = torch.linspace(-1, 1, GRID)
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        self.place = torch.stack([x, y, x * y], -1) @ self.axes
        self.mixing = torch.randn((3, CHANNELS), generator=generator)

    def __call__(self, images: np.ndarray) -> DenseFeatures:
        pixels = torch.tensor(images).float().permute(0, 3, 1, 2)
        seen = torch.nn.functional.avg_pool2d(pixels, 64 // GRID).permute(0, 2, 3, 1) / 128 - 1
        features = torch.tanh(seen @ self.mixing) + self.place
        return DenseFeatures(features, features.mean((1, 2)), features.norm(dim=-1))


def made(kind: type[Backbone] = Backbone) -> Any:
    """A stand-in for a loaded backbone."""
    return kind()


def test_the_directions_of_place_are_found() -> None:
    backbone = made()
    found = torch.tensor(position_directions(backbone, directions=3))
    assert torch.allclose(found @ found.T, torch.eye(3), atol=1e-5)
    captured = (backbone.axes @ found.T).norm(dim=1)
    assert float(captured.min()) > 0.9


def test_each_part_of_the_features_has_its_own_directions() -> None:
    class Twice(Backbone):
        channels, taps = 2 * CHANNELS, {"last": CHANNELS, "again": CHANNELS}

        def __call__(self, images: np.ndarray) -> DenseFeatures:
            once = super().__call__(images)
            return once._replace(features=torch.cat([once.features, 3 * once.features], -1))

    alone = position_directions(made(), directions=3)
    found = position_directions(made(Twice), directions=3)
    expected = np.kron(np.eye(2, dtype=np.float32), alone)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_images_without_content_differ_by_what_is_left_without_their_place() -> None:
    backbone = made()
    known = position_directions(backbone, directions=3)
    (plain,) = blank_contrast(backbone, known)
    seen = backbone(probe_images(64)).features
    unit = torch.nn.functional.normalize(seen, dim=-1).flatten(1, 2)
    shown = (unit - unit.mean(1, keepdim=True)).square().sum(-1).mean(1)
    assert 0 < plain < 0.5 * float(shown.min())


def test_the_answer_is_the_same_every_time() -> None:
    first, again = (position_directions(made()) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert first.shape == (8, CHANNELS)


def test_probes_are_like_photographs_without_content() -> None:
    images = probe_images(64)
    assert images.shape == (8, 64, 64, 3)
    assert images.dtype == np.uint8
    assert images.tobytes() == probe_images(64).tobytes()
    neighbours = np.corrcoef(images[..., :-1, 0].ravel(), images[..., 1:, 0].ravel())[0, 1]
    assert neighbours > 0.6
    assert (images.std((1, 2)) > 15).all()
