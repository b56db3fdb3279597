"""Weights files that know themselves: their backbone, a checksum, a card; and half the bytes, or a quarter.

A packed file is a plain safetensors file. Its header's metadata has one entry, "congeal", canonical JSON:
the backbone's name, the SHA-256 of all bytes after the header, and the card. A matrix may be stored as int8
with a scale for each row ("<name>.scale", float32): value = int8 * scale.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from congeal.errors import BackboneError

KEY = "congeal"
SCALE = ".scale"
_LONGEST_HEADER = 2**24


@dataclass(frozen=True)
class About:
    """What a packed file says of itself. card: JSON, see `docs/distillation.md`."""

    backbone: str
    sha256: str
    card: Mapping[str, Any]


def pack(state: Mapping[str, Tensor], backbone: str, card: Mapping[str, Any], *, small: bool = True) -> bytes:
    """A packed file of a state dict, the same bytes for the same content.

    small: matrices of blocks and patches as int8 with a scale a row; all else is float16.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if small and tensor.ndim >= 2 and name.endswith(".weight"):
            rows = tensor.detach().float().flatten(1)
            scale = rows.abs().amax(1).clamp_min(1e-12) / 127
            tensors[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(tensor.shape).contiguous()
            tensors[name + SCALE] = scale
        else:
            tensors[name] = tensor.detach().half().contiguous()
    sha256 = checksum(safetensors.torch.save(tensors))
    about = {"backbone": backbone, "sha256": sha256, "card": dict(card)}
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return safetensors.torch.save(tensors, {KEY: text})


def about(data: bytes) -> About | None:
    """What a safetensors file says of itself; None if it is not a packed one, whatever else it may be.

    Raises `BackboneError` if it claims to be one and its checksum says otherwise.
    """
    try:
        header, _ = _split(data)
        metadata = json.loads(header).get("__metadata__") or {}
        said = json.loads(metadata[KEY])
        found = About(str(said["backbone"]), str(said["sha256"]), dict(said.get("card") or {}))
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
    sha256 = checksum(data)
    if sha256 != found.sha256:
        raise BackboneError(
            f"the weights of {found.backbone} are damaged: their SHA-256 should be {found.sha256} "
            f"and is {sha256}; fetch the file again"
        )
    return found


def checksum(data: bytes) -> str:
    """Hex SHA-256 of a safetensors file's bytes after its header."""
    return hashlib.sha256(_split(data)[1]).hexdigest()


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float tensors of a packed file's stored ones; int8 times scale is float32."""
    state = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in tensors:
            continue
        if tensor.dtype == torch.int8:
            scale = tensors.get(name + SCALE)
            if scale is None or scale.shape != tensor.shape[:1]:
                raise BackboneError(f"the weights lack the scales of {name}; fetch the file again")
            state[name] = tensor.float() * scale.reshape(-1, *[1] * (tensor.ndim - 1))
        else:
            state[name] = tensor
    return state


def _split(data: bytes) -> tuple[bytes, bytes]:
    """A safetensors file's header (JSON) and what follows it."""
    (length,) = struct.unpack_from("<Q", data)
    if length > min(_LONGEST_HEADER, len(data) - 8):
        raise ValueError("no safetensors header")
    return data[8 : 8 + length], data[8 + length :]
