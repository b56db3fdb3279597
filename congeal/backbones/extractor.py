"""Dense features, a global embedding and a saliency of images, from DINO and other plain timm ViTs."""

from __future__ import annotations

from congeal.backbones import torch_backbone
from congeal.backbones.backbone_spec import BackboneSpec, Geometry, geometry
from congeal.backbones.devices import resolve_device, resolve_precision
from congeal.backbones.engines import ENGINES
from congeal.backbones.hooks import Facet
from congeal.backbones.registry import available, resolve_name
from congeal.backbones.torch_backbone import Backbone, DenseFeatures
from congeal.errors import BackboneError

__all__ = [
    "Backbone",
    "BackboneSpec",
    "DenseFeatures",
    "Facet",
    "Geometry",
    "available",
    "geometry",
    "load_backbone",
    "resolve_device",
    "resolve_name",
    "resolve_precision",
]


def load_backbone(spec: BackboneSpec | str, weights: bytes | None = None, device: str = "auto") -> Backbone:
    """Load a backbone with the weights of a safetensors file (its bytes), or with timm's from its hub (None).

    spec: a name alone stands for `BackboneSpec(name)`. The embedded backbone brings its own weights: None is
    the package's file.
    Raises `BackboneError`: an unknown name, a spec that cannot be, weights that do not fit (naming the
    tensors), a hub that cannot be reached, a device that is not there, an engine that cannot be used.
    """
    spec = BackboneSpec(spec) if isinstance(spec, str) else spec
    if not issubclass(type(spec), BackboneSpec):
        raise BackboneError(
            f"spec is {type(spec).__name__}, not the name of a backbone or congeal.BackboneSpec"
        )
    if weights is not None and not isinstance(weights, bytes):
        raise BackboneError(
            f"weights are the bytes of a safetensors file, not {type(weights).__name__}: read the file first"
        )
    if spec.engine not in ENGINES:
        raise BackboneError(f"there is no engine {spec.engine!r}; use {' or '.join(ENGINES)}")
    if spec.engine == "openvino":
        from congeal.backbones import openvino_backbone

        return openvino_backbone.load(spec, weights, device)
    return torch_backbone.load(spec, weights, device)
