"""Models without weights: which blocks of which vision transformer, for which grid of cells.

The usual ones are built without timm, which is imported for the others and for training.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from congeal.backbones.plain_vit import PlainVit
from congeal.backbones.plain_vit_shapes import shape_of
from congeal.backbones.registry import parts_of
from congeal.errors import BackboneError


@dataclass(frozen=True)
class Cells:
    """The cells a side that a backbone shows and those that it works on; both cover the same square frame.

    Attributes:
        shown: of its features.
        worked: of its tokens; fewer than shown makes it faster.
    """

    shown: int
    worked: int

    @property
    def shrinks(self) -> bool:
        """Whether images are made smaller first."""
        return self.worked != self.shown

    def pixels(self, images: Tensor, patch: int) -> Tensor:
        """Images uint8 [b, s, s, 3] as float [b, 3, w, w] from 0 to 1, at the size that is worked on."""
        return self.shrunk(images.permute(0, 3, 1, 2).float() / 255, patch)

    def shrunk(self, pixels: Tensor, patch: int) -> Tensor:
        """Float images [b, 3, s, s] at the size in pixels that is worked on."""
        if self.worked == self.shown:
            return pixels
        size = (self.worked * patch,) * 2
        return interpolate(pixels, size=size, mode="bilinear", antialias=True)

    def enlarged(self, tokens: Tensor) -> Tensor:
        """What was found in the worked cells, float32 [b, worked², c], in the shown ones: [b, shown², c]."""
        if self.worked == self.shown:
            return tokens
        square = tokens.reshape(len(tokens), self.worked, self.worked, -1).permute(0, 3, 1, 2)
        finer = interpolate(square, size=(self.shown,) * 2, mode="bilinear", align_corners=False)
        return finer.flatten(2).transpose(1, 2)


@functools.lru_cache(maxsize=16)
def skeleton(name: str) -> Any:
    """A resolved name's model without storage, for its shapes; never changed.

    Raises `BackboneError` for a model that is no plain vision transformer and for blocks that it has not.
    """
    parts = parts_of(name)
    count = _blocks(name)
    if parts.blocks is not None and parts.blocks[-1] >= count:
        raise BackboneError(f"{parts.model} has no block {parts.blocks[-1]}; its blocks are 0 to {count - 1}")
    return _without_weights(name)


def patch_size(model: Any) -> int:
    """The side of a model's patches, in pixels."""
    height, width = model.patch_embed.patch_size
    if height != width:
        raise BackboneError(f"patches of {height} x {width} pixels are not square")
    return int(width)


def untrained(name: str, cells: int) -> Any:
    """A resolved name's model for a square of so many cells a side, on the CPU, its parameters random."""
    return _by_timm(name, "cpu", img_size=cells * patch_size(skeleton(name)))


def build(name: str, size: int, stride: int) -> Any:
    """The model on the CPU for images of `size` pixels a side, its parameters yet to be loaded.

    A stride below the patch makes overlapping patches: a finer grid of the same patches (Amir et al. 2021).
    """
    model = _without_weights(name, size)
    side = 1 + (size - patch_size(model)) // stride
    grid, embed = (side, side), model.patch_embed
    if embed.grid_size != grid:
        cells = embed.num_patches
        embed.proj.stride = (stride, stride)
        embed.grid_size, embed.num_patches = grid, side**2
        if model.pos_embed is not None:
            _, count, channels = model.pos_embed.shape
            longer = torch.empty(1, count - cells + embed.num_patches, channels, device="meta")
            model.pos_embed = torch.nn.Parameter(longer)
        if hasattr(getattr(model, "rope", None), "update_feat_shape"):
            model.rope.update_feat_shape(list(grid))
    for module in model.modules():
        _give_room(module)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()
        elif module._non_persistent_buffers_set:
            raise BackboneError(f"{name} keeps tables that its weights do not hold; use another backbone")
    return model


def _give_room(module: torch.nn.Module) -> None:
    """Parameters and tables of a module without storage, on the CPU, with whatever is in memory there.

    As `torch.nn.Module.to_empty` does it; but that asks for tensors "like" those without storage, for which
    PyTorch imports its symbolic shapes and SymPy, a fifth of a second.
    """
    for name, one in module._parameters.items():
        if one is not None:
            room = torch.empty(one.shape, dtype=one.dtype)
            module._parameters[name] = torch.nn.Parameter(room, requires_grad=one.requires_grad)
    for name, table in module._buffers.items():
        if table is not None:
            module._buffers[name] = torch.empty(table.shape, dtype=table.dtype)


def _blocks(name: str) -> int:
    """How many blocks the whole model has."""
    model = parts_of(name).model
    shape = shape_of(model)
    return len(_by_timm(model, "meta").blocks) if shape is None else shape.blocks


def _without_weights(name: str, size: int | None = None) -> Any:
    """The model without storage, for images of `size` pixels a side; None: of its own size."""
    parts = parts_of(name)
    shape = shape_of(parts.model)
    if shape is None:
        asked = {} if size is None else {"img_size": size, "dynamic_img_size": False}
        return _by_timm(name, "meta", **asked)
    with torch.device("meta"):
        return PlainVit(shape, size, None if parts.blocks is None else len(parts.blocks))


def _by_timm(name: str, device: str, **settings: Any) -> Any:
    # Seconds of imports, so only here.
    import timm
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    parts = parts_of(name)
    if parts.blocks is not None:
        settings["depth"] = len(parts.blocks)
    with torch.device(device):
        model = timm.create_model(parts.model, pretrained=False, num_classes=0, **settings)
    if not isinstance(model, VisionTransformer | Eva):
        raise BackboneError(f"{name} is not a plain vision transformer; use for example dinov2_vits14")
    return model
