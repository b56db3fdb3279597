"""A backbone whose features PyTorch computes: DINO and other plain timm ViTs, on any device."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from congeal.backbones import checkpoints as weights_files
from congeal.backbones import embedded
from congeal.backbones.architectures import Cells, build
from congeal.backbones.backbone_spec import BackboneSpec, Geometry, geometry
from congeal.backbones.devices import PRECISIONS, resolve_device, resolve_precision
from congeal.backbones.engines import Engine
from congeal.backbones.fast_attention import quicken
from congeal.backbones.feature_layers import Tap
from congeal.backbones.hooks import (
    AttentionInput,
    attention_of,
    class_attention,
    project,
    record_attention_input,
    record_output,
)
from congeal.backbones.registry import parts_of, resolve_name
from congeal.errors import BackboneError


class DenseFeatures(NamedTuple):
    """What a backbone sees in a batch of b images, all float32 on the backbone's device.

    features [b, g (v), g (u), c], centred as `cell_centres(g, extent)`; if they are taken at several places,
    those of each are of unit length and lie one after the other; embedding [b, d], the last block's class
    token (without one, the mean patch token) after the final norm, of length 1; saliency [b, g, g], the last
    block's attention from the class token to each patch, mean over heads, largest value 1 (without a class
    token or a plain attention: the length of the last block's patch tokens, largest value 1).
    """

    features: torch.Tensor
    embedding: torch.Tensor
    saliency: torch.Tensor


class Backbone:
    """A loaded backbone: call it on square RGB images. Made by `load_backbone`; safe to call from threads."""

    engine: Engine = "torch"

    def __init__(
        self, spec: BackboneSpec, model: Any, shape: Geometry, fingerprint: str, device: torch.device
    ) -> None:
        self._describe(spec, shape, fingerprint, device)
        self.model = model
        self._cells = Cells(shape.grid, shape.worked)
        self._mean, self._deviation = (
            torch.tensor(model.pretrained_cfg[key], device=device).reshape(1, -1, 1, 1)
            for key in ("mean", "std")
        )

    def _describe(self, spec: BackboneSpec, shape: Geometry, fingerprint: str, device: torch.device) -> None:
        """Set what there is to know of it, and the lock."""
        self.name = resolve_name(spec.name)
        self.taps = shape.taps
        self.patch_size = shape.patch_size
        self.stride = shape.stride
        self.image_size = shape.image_size
        self.grid = shape.grid
        self.extent = shape.extent
        self.channels = shape.channels
        self.embedding_channels = shape.embedding_channels
        self.fingerprint = fingerprint
        self.device = device
        self.precision = resolve_precision(spec.precision, device)
        # Hooks belong to the model, so two calls at once would read each other's tokens.
        self._lock = threading.Lock()

    def __call__(self, images: torch.Tensor | npt.NDArray[np.uint8]) -> DenseFeatures:
        """Features of images, uint8 [b, image_size, image_size, 3], RGB (see
        `congeal.imaging.decoding.square`)."""
        # A copy, for torch takes neither mirrored views nor, without a warning, read-only arrays.
        pixels = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.array(images))
        expected = (self.image_size, self.image_size, 3)
        if (
            pixels.dtype != torch.uint8
            or pixels.ndim != 4
            or tuple(pixels.shape[1:]) != expected
            or not len(pixels)
        ):
            raise BackboneError(
                f"{self.name} takes uint8 images [b, {self.image_size}, {self.image_size}, 3], "
                f"not {str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}"
            )
        with self._lock:
            return self._computed(pixels)

    def _computed(self, pixels: torch.Tensor) -> DenseFeatures:
        half = PRECISIONS[self.precision]
        with (
            torch.no_grad(),
            # Features must not depend on which convolution happens to be the quickest today.
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
            torch.autocast(self.device.type, dtype=half, enabled=half != torch.float32),
        ):
            return self.forward(pixels.to(self.device))

    def forward(self, images: torch.Tensor) -> DenseFeatures:
        """What a call computes of images uint8 [b, s, s, 3] on the device, in whatever precision is set."""
        return self.forward_pixels(self._cells.pixels(images, self.patch_size))

    def forward_pixels(self, pixels: torch.Tensor) -> DenseFeatures:
        """The same of what `Cells.pixels` makes of images, float [b, 3, w, w] from 0 to 1."""
        return self._read((pixels - self._mean) / self._deviation)

    def _read(self, pixels: torch.Tensor) -> DenseFeatures:
        model, blocks = self.model, self.model.blocks
        prefix = int(model.num_prefix_tokens)
        has_class_token = getattr(model, "cls_token", None) is not None
        last_attention = attention_of(blocks[-1]) if has_class_token else None
        attentions = {tap: attention_of(blocks[tap.layer]) for tap in self.taps if tap.facet != "token"}
        inputs: dict[torch.nn.Module, AttentionInput] = {}
        outputs: dict[torch.nn.Module, torch.Tensor] = {}
        with ExitStack() as hooks:
            for attention in {*attentions.values(), last_attention}:
                if attention is not None:
                    hooks.enter_context(record_attention_input(attention, inputs))
            for block in {blocks[-1], *(blocks[tap.layer] for tap in self.taps)}:
                hooks.enter_context(record_output(block, outputs))
            final = model.forward_features(pixels)

        def tapped(tap: Tap) -> torch.Tensor:
            attention = attentions.get(tap)
            if attention is not None:
                return project(attention, inputs[attention].tokens, tap.facet)
            return final if tap.layer == len(blocks) - 1 else outputs[blocks[tap.layer]]

        parts = [tapped(tap)[:, prefix:].float() for tap in self.taps]
        if len(parts) > 1:
            # What one tap is larger by must not count for more.
            parts = [torch.nn.functional.normalize(part, dim=-1) for part in parts]
        pooled = final[:, 0] if has_class_token else final[:, prefix:].mean(dim=1)
        if last_attention is not None:
            saliency = class_attention(last_attention, inputs[last_attention], prefix)
        else:
            saliency = torch.linalg.vector_norm(outputs[blocks[-1]][:, prefix:].float(), dim=-1)
        saliency = self._cells.enlarged(saliency[..., None])[..., 0]
        saliency = saliency / saliency.amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        features = self._cells.enlarged(torch.cat(parts, dim=-1))
        shape = (len(pixels), self.grid, self.grid)
        return DenseFeatures(
            features=features.reshape(*shape, self.channels).contiguous(),
            embedding=torch.nn.functional.normalize(model.fc_norm(pooled).float(), dim=-1),
            saliency=saliency.reshape(shape),
        )


def load(spec: BackboneSpec, weights: bytes | None = None, device: str = "auto") -> Backbone:
    """As `congeal.backbones.extractor.load_backbone`, for a spec whose engine is "torch"."""
    name = resolve_name(spec.name)
    shape = geometry(spec)
    where = resolve_device(device)
    if weights is None and name == embedded.NAME:
        weights = embedded.weights()
    if weights is None:
        parts = parts_of(name)
        state = weights_files.from_hub(parts.model if parts.blocks is None else name)
        fingerprint = weights_files.fingerprint_tensors(state)
    else:
        state = weights_files.state_dict(weights)
        fingerprint = weights_files.fingerprint(weights)
    size = shape.image_size if shape.worked == shape.grid else shape.worked * shape.patch_size
    model = build(name, size, shape.stride)
    weights_files.load_strict(model, state, name)
    if where.type == "cpu" and resolve_precision(spec.precision, where) == "bfloat16":
        quicken(model)
    return Backbone(spec, model.eval().requires_grad_(False).to(where), shape, fingerprint, where)
