"""Pre-trained weights: safetensors only, checked strictly against the model, known by a fingerprint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import safetensors
import safetensors.torch
import torch
from torch.nn.functional import interpolate

from congeal.backbones import packed_checkpoint as packing
from congeal.backbones.fingerprint import fingerprint
from congeal.errors import BackboneError
from congeal_floors.plurals import counted

__all__ = ["fingerprint", "fingerprint_tensors", "from_hub", "load_strict", "state_dict"]

_NAMED = 4
_CURE = "set features.backbone to the model these weights were made for, or features.weights to its own file"


def state_dict(data: bytes) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU and in the dtypes of the file, of a safetensors file given as bytes.

    What `congeal.backbones.packed_checkpoint` packed is unpacked, after its checksum. Raises `BackboneError`
    for anything else, and for a checksum that does not hold: nothing is ever unpickled.
    """
    if data[:2] in {b"PK", b"\x80\x02"}:
        raise BackboneError(
            "the weights are a pickled PyTorch checkpoint, which is not read for safety; "
            "save its state dict with safetensors.torch.save_file and give that file"
        )
    packed = packing.about(data) is not None
    try:
        state: dict[str, torch.Tensor] = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BackboneError(
            f"the weights ({counted(len(data), 'byte')}) are not a sound safetensors file: {error}; "
            "fetch the file again"
        ) from error
    if not state:
        raise BackboneError("the weights file holds no tensor")
    broken = sorted(name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all()))
    if broken:
        raise BackboneError(
            f"the weights hold values that are not finite in {_listed(broken)}; fetch the file again"
        )
    return packing.unpacked(state) if packed else state


def from_hub(name: str) -> dict[str, torch.Tensor]:
    """Tensors by name of timm's own weights for a full model name, fetched from its hub or the hub's cache.

    Raises `BackboneError`, saying what to set instead, where they cannot be fetched or do not exist.
    """
    import timm
    from huggingface_hub.errors import EntryNotFoundError

    cure = "set features.weights to the path or URL of a safetensors file of it"
    try:
        # Building a model draws random numbers; the caller's generator is none of our business.
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, EntryNotFoundError) as error:
        raise BackboneError(
            f"the weights of {name} cannot be fetched from the hub ({type(error).__name__}); {cure}"
        ) from error
    except RuntimeError as error:
        raise BackboneError(f"the hub's weights of {name} cannot be loaded ({error}); {cure}") from error
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


def fingerprint_tensors(state: Mapping[str, torch.Tensor]) -> str:
    """Fingerprint of tensors by name, shape, dtype and content, for weights that came without a file.

    state: tensors [...] of any shapes and dtypes, by name; their order does not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


def load_strict(model: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Fill every parameter and persistent buffer of `model`, in place and in the model's dtypes.

    state: tensors by name, each of its model's shape. A position embedding [1, n, d] of another (square) grid
    is resampled to the model's, the classifier's tensors are left out if the model has none. name: the
    model's, in sentences. Raises `BackboneError` naming the tensors that are missing, unexpected or of
    another shape.
    """
    own = model.state_dict()
    given = {key: tensor for key, tensor in state.items() if key in own or not _of_classifier(model, key)}
    if "pos_embed" in own and "pos_embed" in given:
        given["pos_embed"] = _position_embedding(model, given["pos_embed"], own["pos_embed"])
    missing = sorted(own.keys() - given.keys())
    unexpected = sorted(given.keys() - own.keys())
    misshapen = [
        f"{key} ({_shape(given[key])} instead of {_shape(own[key])})"
        for key in sorted(own.keys() & given.keys())
        if given[key].shape != own[key].shape
    ]
    faults = [
        f"{len(tensors)} {what}: {_listed(tensors)}"
        for what, tensors in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if tensors
    ]
    if faults:
        raise BackboneError(f"the weights do not fit {name}: {'; '.join(faults)}; {_CURE}")
    model.load_state_dict(given, strict=True)


def _position_embedding(model: torch.nn.Module, given: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The given embedding [1, n, d] on the model's grid, or unchanged where it cannot be brought there."""
    if given.ndim != 3 or given.shape == own.shape or given.shape[-1] != own.shape[-1]:
        return given
    prefix = 0 if getattr(model, "no_embed_class", False) else int(getattr(model, "num_prefix_tokens", 1))
    cells, new_cells = given.shape[1] - prefix, own.shape[1] - prefix
    side, new_side = math.isqrt(max(cells, 0)), math.isqrt(max(new_cells, 0))
    if side < 1 or side * side != cells or new_side * new_side != new_cells:
        return given
    given = given.float()
    square = given[:, prefix:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resampled = interpolate(square, size=(new_side, new_side), mode="bicubic", antialias=True)
    placed = resampled.permute(0, 2, 3, 1).reshape(1, new_side**2, -1)
    return torch.cat([given[:, :prefix], placed], dim=1)


def _of_classifier(model: torch.nn.Module, key: str) -> bool:
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    names = (names,) if isinstance(names, str) else names
    return any(key.startswith(f"{classifier}.") for classifier in names)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
