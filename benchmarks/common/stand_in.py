"""A stand-in for collections that nobody has at hand: generated pictures and a backbone that costs little.

The backbone is timm's smallest ViT with random weights, 64 channels on 16 × 16 cells, so that what is
measured is everything but the backbone. Pictures are small JPEGs, a folder a kind of thing, 25 of each.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

BACKBONE = "test_vit"
KIND = 25  # images of a kind, and so of a cluster
SIDE = 128  # pixels
SHARD = 46  # images of a shard of features: as many as of DINOv2 ViT-S/14


def weights(home: Path) -> Path:
    """A file of random weights, always the same."""
    import safetensors.torch
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
    path = home / "stand-in.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def settings(file: Path) -> list[str]:
    """As --set takes them; nothing else differs from what a run does by itself."""
    return [
        f"features.backbone={BACKBONE}",
        f"features.weights={file}",
        "features.image_size=256",
        f"features.shard_bytes={SHARD * 16 * 16 * 64 * 2 * 2}",
        "clusters.method=folder",
    ]


def pictures(count: int, start: int = 0) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of so many pictures, never twice the same."""
    from PIL import Image

    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    for number in range(start, start + count):
        kind = number // KIND
        own, each = np.random.default_rng([1, kind]), np.random.default_rng([2, number])
        colours = own.integers(0, 256, (4, 3))
        centre = 0.5 + each.uniform(-0.1, 0.1, 2)
        reach = 0.3 * each.uniform(0.9, 1.1)
        dx, dy = (x - centre[0]) / reach, (y - centre[1]) / (reach * own.uniform(0.5, 1.0))
        pixels = np.broadcast_to(colours[0], (SIDE, SIDE, 3)).astype(np.float32)
        pixels[dx**2 + dy**2 < 1] = colours[1]
        pixels[(dx**2 + dy**2 < 1) & (dx > own.uniform(-0.5, 0.5))] = colours[2]
        pixels[(dx - own.uniform(-0.5, 0.5)) ** 2 + dy**2 < 0.08] = colours[3]
        pixels += each.normal(0, 6, (SIDE, SIDE, 1))
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
        yield f"{kind % 1000:03}/{kind:06}/{number:08}.jpg", buffer.getvalue()
