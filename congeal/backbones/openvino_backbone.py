"""A backbone whose features OpenVINO computes, on the CPU."""

from __future__ import annotations

from dataclasses import astuple, replace
from importlib.metadata import version

import torch

from congeal.backbones import checkpoints, embedded, torch_backbone
from congeal.backbones.architectures import Cells
from congeal.backbones.backbone_spec import BackboneSpec, Geometry, geometry
from congeal.backbones.devices import resolve_device, resolve_precision
from congeal.backbones.engines import Engine
from congeal.backbones.openvino_model import CompiledModel, Convertible, compiled
from congeal.backbones.registry import resolve_name
from congeal.backbones.torch_backbone import Backbone, DenseFeatures
from congeal.errors import BackboneError


class OpenVinoBackbone(Backbone):
    """The same to its callers as a backbone of PyTorch, with results on the CPU. Made by `load`."""

    engine: Engine = "openvino"

    def __init__(
        self,
        spec: BackboneSpec,
        model: CompiledModel,
        shape: Geometry,
        fingerprint: str,
        device: torch.device,
    ) -> None:
        self._describe(spec, shape, fingerprint, device)
        self._compiled = model
        self._cells = Cells(shape.grid, shape.worked)
        self._shrinks = _shrinks(spec, self._cells)

    def _computed(self, pixels: torch.Tensor) -> DenseFeatures:
        images = pixels.cpu()
        if self._shrinks:
            # One by one, so that the bits of each do not depend on how many there are.
            images = torch.cat([self._cells.pixels(one[None], self.patch_size) for one in images])
        return DenseFeatures(*self._compiled(images.numpy()))


def load(spec: BackboneSpec, weights: bytes | None = None, device: str = "auto") -> OpenVinoBackbone:
    """As `congeal.backbones.extractor.load_backbone`, for a spec whose engine is "openvino".

    The PyTorch model is made only if the compiled one is not in the cache (see
    `congeal.backbones.openvino_model`). Raises `BackboneError` as `load_backbone` does, and if OpenVINO is
    missing or too old, fails, or cannot compute in the precision that is asked for.
    """
    where = resolve_device("cpu" if device == "auto" else device)
    if where.type != "cpu":
        raise BackboneError(
            f"the engine openvino computes on the CPU, not on {device}; set features.device=cpu or "
            "features.engine=torch"
        )
    precision = resolve_precision(spec.precision, where)
    shape = geometry(spec)
    name = resolve_name(spec.name)
    if weights is None and name == embedded.NAME:
        weights = embedded.weights()
    plain = replace(spec, engine="torch", precision="float32")
    # The hub's weights are known by their tensors, so there is no way past loading them.
    reference = torch_backbone.load(plain, None, "cpu") if weights is None else None
    fingerprint = reference.fingerprint if reference else checkpoints.fingerprint(weights or b"")

    cells = Cells(shape.grid, shape.worked)
    image = torch.zeros((1, shape.image_size, shape.image_size, 3), dtype=torch.uint8)

    def make() -> Convertible:
        backbone = reference or torch_backbone.load(plain, weights, "cpu")
        if _shrinks(spec, cells):
            # OpenVINO makes 448 pixels 266 in 14 ms, a fifth of the embedded backbone's time; PyTorch in 1.5.
            example = cells.pixels(image, shape.patch_size)
            return Convertible(backbone.model, backbone.forward_pixels, example)
        return Convertible(backbone.model, backbone.forward, image)

    known_by = [name, fingerprint, version("timm"), *map(str, shape.taps), *astuple(replace(shape, taps={}))]
    known_by += ["pixels"] * _shrinks(spec, cells)
    return OpenVinoBackbone(spec, compiled(make, precision, known_by), shape, fingerprint, where)


def _shrinks(spec: BackboneSpec, cells: Cells) -> bool:
    """Whether images are made smaller before OpenVINO gets them."""
    return cells.shrinks and not spec.engine_shrinks
