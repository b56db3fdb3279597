"""Which features of which backbone, and the shape of what comes out; no weights are needed to tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from congeal.backbones.architectures import patch_size, skeleton
from congeal.backbones.engines import Engine
from congeal.backbones.feature_layers import Tap, resolve_taps
from congeal.backbones.hooks import Facet
from congeal.backbones.registry import SHOWN_CELLS, parts_of, resolve_name
from congeal.errors import BackboneError

MOST_CELLS = 256  # a side: memory grows with the fourth power of it


@dataclass(frozen=True)
class BackboneSpec:
    """Which features: `name` as `resolve_name` takes it, `image_size` the side in pixels of the square input.

    `layer` and `facet` say where in the model they are taken, see `congeal.backbones.feature_layers.Tap`; so
    does `beside`, as "9.key", for further ones. `stride` below the patch size makes overlapping patches, thus
    a finer grid. `engine` is what computes them; "openvino" works on CPUs alone. `engine_shrinks`: whether it
    makes images smaller itself, where the backbone works on fewer cells, as it did once; else PyTorch does.
    """

    name: str
    image_size: int | None = None
    layer: int = -1
    facet: Facet = "token"
    beside: tuple[str, ...] = ()
    stride: int | None = None
    precision: str = "auto"
    engine: Engine = "torch"
    engine_shrinks: bool = False

    def __post_init__(self) -> None:
        wholes = {"layer": self.layer, "image_size": self.image_size, "stride": self.stride}
        for field, value in wholes.items():
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole and (value is not None or field == "layer"):
                unit = "of a block" if field == "layer" else "of pixels"
                raise BackboneError(f"{field} is a whole number {unit}, not {value!r:.80}")
        for field in ("name", "precision", "engine"):
            if not isinstance(getattr(self, field), str):
                raise BackboneError(f"{field} is a word, not {getattr(self, field)!r:.80}")
        if not isinstance(self.beside, list | tuple) or not all(isinstance(one, str) for one in self.beside):
            raise BackboneError(
                f"beside is a list of blocks and facets, as ['9.key'], not {self.beside!r:.80}"
            )
        object.__setattr__(self, "beside", tuple(self.beside))

    @property
    def taps(self) -> tuple[Tap, ...]:
        """All places where features are taken. Raises `BackboneError` if one is no block and facet."""
        return (Tap(self.layer, self.facet), *(Tap.read(text) for text in self.beside))


@dataclass(frozen=True)
class Geometry:
    """The shape of a spec's features: `grid` x `grid` cells that cover [-extent, extent]^2 of the frame.

    `taps`: where they are taken, and how many of the channels come from each, in the channels' order.
    The model itself works on `worked` x `worked` cells; if those are fewer, its features are interpolated.
    """

    grid: int
    extent: float
    taps: dict[Tap, int]
    embedding_channels: int
    image_size: int
    patch_size: int
    stride: int
    worked: int

    @property
    def channels(self) -> int:
        """Of the features, from all taps together."""
        return sum(self.taps.values())


def geometry(spec: BackboneSpec) -> Geometry:
    """The shape of a spec's features, without weights; raises `BackboneError` for a spec that cannot be."""
    name = resolve_name(spec.name)
    model = skeleton(name)
    taps = resolve_taps(name, model, spec.taps)
    patch = patch_size(model)
    size = SHOWN_CELLS * patch if spec.image_size is None else spec.image_size
    stride = patch if spec.stride is None else spec.stride
    if not 1 <= stride <= patch:
        raise BackboneError(
            f"the stride {stride} does not suit the patches of {patch} pixels of {name}; use 1 to {patch}"
        )
    grid = 1 + (size - patch) // stride
    if grid > MOST_CELLS:
        raise BackboneError(
            f"images of {size} pixels have {grid} cells a side for {name} (patches of {patch} pixels, stride "
            f"{stride}), more than the {MOST_CELLS} that memory is good for; use at most "
            f"{patch + (MOST_CELLS - 1) * stride} pixels"
        )
    if size < patch or (size - patch) % stride:
        below = patch + max(size - patch, 0) // stride * stride
        raise BackboneError(
            f"images of {size} pixels do not suit {name} (patches of {patch} pixels, stride {stride}); "
            f"use {below} or {below + stride}"
        )
    parts = parts_of(name)
    if parts.cells != SHOWN_CELLS and stride != patch:
        raise BackboneError(f"{name} interpolates its features already; leave the stride unset")
    worked = grid if parts.cells == SHOWN_CELLS else parts.worked(grid)
    return Geometry(grid, grid * stride / size, taps, int(model.embed_dim), size, patch, stride, worked)
