"""Weights files that know themselves: their backbone, a checksum, a card; and half the bytes, or an eighth.

A packed file is a plain safetensors file. Its header's metadata has one entry, "congeal", canonical JSON:
the backbone's name, the SHA-256 of all bytes after the header, and the card. A matrix may be stored in whole
numbers with a scale for each row ("<name>.scale", float16): as int8, value = int8 * scale, or the same as one
stream (uint8 [bytes]) of Huffman codes, as zlib writes them.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from congeal.errors import BackboneError
from congeal_floors.plurals import counted

KEY = "congeal"
SCALE = ".scale"
POSITIONS = "pos_embed"
_MOST_NUMBERS = 2**27
_LONGEST_HEADER = 2**24


@dataclass(frozen=True)
class About:
    """What a packed file says of itself. card: JSON, see `docs/distillation.md`."""

    backbone: str
    sha256: str
    card: Mapping[str, Any]


def pack(
    state: Mapping[str, Tensor],
    backbone: str,
    card: Mapping[str, Any],
    *,
    half: bool = False,
    steps: Mapping[str, Tensor] | None = None,
) -> bytes:
    """A packed file of a state dict, the same bytes for the same content.

    half: everything as float16, else matrices as int8. steps: of the rows [rows] of matrices that are rounded
    to whole multiples of them already (see `congeal.distillation.quantization`); those are kept as they are,
    in Huffman codes.
    """
    steps = steps or {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in steps:
            whole = (tensor.detach().float() / steps[name][:, None]).round().to(torch.int8)
            tensors[name], tensors[name + SCALE] = _squeezed(whole), steps[name].half()
        elif not half and is_matrix(name, tensor):
            numbers, scale = _numbers(tensor.detach().float())
            tensors[name], tensors[name + SCALE] = numbers.contiguous(), scale.half()
        else:
            tensors[name] = tensor.detach().half().contiguous()
    sha256 = checksum(safetensors.torch.save(tensors))
    about = {"backbone": backbone, "sha256": sha256, "card": dict(card)}
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return safetensors.torch.save(tensors, {KEY: text})


def is_matrix(name: str, tensor: Tensor) -> bool:
    """Whether a tensor [...] of a state dict is stored in whole numbers: [rows, ...] of at least 2 axes."""
    return tensor.ndim >= 2 and (name.endswith(".weight") or name == POSITIONS)


def _numbers(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The int8 numbers of a matrix and its rows' scales float32."""
    scale = _scale(tensor)
    return (tensor / _spread(scale, tensor)).round().clamp(-127, 127).to(torch.int8), scale


def _scale(tensor: Tensor) -> Tensor:
    """What each row's largest value is 127 times of, float32; as float16 keeps it.

    A row is what belongs to one output; of positions [1, n, c], one position's.
    """
    rows = tensor if tensor.ndim == 3 else tensor.flatten(1)
    return (rows.abs().amax(-1) / 127).clamp(1e-7, 6e4).half().float()


def _spread(scale: Tensor, numbers: Tensor) -> Tensor:
    """Rows' scales as they multiply the rows' numbers."""
    return scale.float().reshape(*scale.shape, *[1] * (numbers.ndim - scale.ndim))


def _squeezed(whole: Tensor) -> Tensor:
    """Int8 numbers [rows, columns] as uint8 [bytes]: the commoner a number, the fewer its bits."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    data = packer.compress(whole.contiguous().numpy().tobytes()) + packer.flush()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _unsqueezed(name: str, data: Tensor, rows: int) -> Tensor:
    """The int8 numbers [rows, columns] of a stream."""
    reader = zlib.decompressobj(-15)
    try:
        found = reader.decompress(data.numpy().tobytes(), _MOST_NUMBERS)
    except zlib.error as error:
        raise BackboneError(f"the numbers of {name} are damaged ({error}); fetch the file again") from error
    if not reader.eof or not rows or len(found) % rows:
        raise BackboneError(f"the numbers of {name} are not {counted(rows, 'row')}; fetch the file again")
    return torch.frombuffer(bytearray(found), dtype=torch.int8).reshape(rows, -1)


def _values(numbers: Tensor, scale: Tensor) -> Tensor:
    """Float32 values of whole numbers."""
    return numbers.float() * _spread(scale, numbers)


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
    """The float tensors of a packed file's stored ones, by name.

    tensors: whole numbers int8 [rows, ...] or packed bytes uint8 [m], each with scales float32 [rows]; the
    rest as it is. Raises `BackboneError` for numbers without scales.
    """
    state = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in tensors:
            continue
        if tensor.dtype in (torch.int8, torch.uint8):
            scale = tensors.get(name + SCALE)
            squeezed = tensor.dtype == torch.uint8 and tensor.ndim == 1
            if scale is None or (not squeezed and scale.shape != tensor.shape[: scale.ndim]):
                raise BackboneError(f"the weights lack the scales of {name}; fetch the file again")
            numbers = _unsqueezed(name, tensor, len(scale)) if squeezed else tensor
            state[name] = _values(numbers, scale)
        else:
            state[name] = tensor
    return state


def _split(data: bytes) -> tuple[bytes, bytes]:
    """A safetensors file's header (JSON) and what follows it."""
    (length,) = struct.unpack_from("<Q", data)
    if length > min(_LONGEST_HEADER, len(data) - 8):
        raise ValueError("no safetensors header")
    return data[8 : 8 + length], data[8 + length :]
