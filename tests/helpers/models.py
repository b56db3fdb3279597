"""Backbones with random weights, and pictures for them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch

from congeal.backbones.extractor import (
    Backbone,
    BackboneSpec,
    load_backbone,
    resolve_name,
)

TINY = "test_vit"


@functools.lru_cache(maxsize=2)
def random_weights(name: str) -> bytes:
    """A safetensors file for a model, of random values that keep its activations in a lively range."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in create(name).state_dict().items()}
    generator = torch.Generator().manual_seed(7)
    state = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        plain = (len(shape) == 1 and key.endswith("weight")) or "gamma" in key or "ls" in key
        state[key] = 1 + 0.2 * noise if plain else noise / max(np.prod(shape[1:]), 1) ** 0.5
    for key in ("pos_embed", "cls_token", "reg_token"):
        if key in state:
            state[key] = 0.5 * torch.randn(shapes[key], generator=generator)
    return safetensors.torch.save(state)


def create(name: str, **options: Any) -> Any:
    return timm.create_model(resolve_name(name), pretrained=False, num_classes=0, **options).eval()


def load(name: str, weights: bytes | None = None, **spec: Any) -> Backbone:
    return load_backbone(
        BackboneSpec(name, **({"precision": "float32"} | spec)), weights or random_weights(name), "cpu"
    )


def pictures(size: int, count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
