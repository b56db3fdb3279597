"""Networks, and trainings under way, as bytes: safetensors with a card in JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from congeal.errors import CongealError
from congeal.neural.config import NetworkSize, as_record
from congeal.neural.networks import MappingNetworks
from congeal_floors.plurals import counted

KEY = "congeal"
FORMAT = 1
MOST_CHANNELS, MOST_CELLS = 4096, 1024  # of a card that is believed


@dataclass(frozen=True)
class Trained:
    """Mapping networks and what is known of them.

    Attributes:
        networks: in evaluation.
        card: what they were trained on and how, as JSON values.
    """

    networks: MappingNetworks
    card: Mapping[str, Any]


def encode_state(tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> bytes:
    """Tensors [...] by name and a card of JSON values, as the bytes of a safetensors file."""
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {KEY: json.dumps({"format": FORMAT, **card}, sort_keys=True)}
    return bytes(safetensors.torch.save(whole, metadata))


def decode_state(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `encode_state` wrote; raises CongealError for anything else."""
    try:
        tensors = safetensors.torch.load(data)
        size = int.from_bytes(data[:8], "little")
        card = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][KEY])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CongealError(
            f"these {counted(len(data), 'byte')} are no checkpoint of mapping networks: {error}"
        ) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CongealError("the checkpoint is of another format: train the networks anew")
    return tensors, card


def encode_networks(networks: MappingNetworks, card: Mapping[str, Any]) -> bytes:
    """Networks with what is needed to build them again, and a card, as the bytes of a safetensors file."""
    about = {
        "inputs": networks.inputs,
        "extent": networks.extent,
        "size": as_record(networks.size),
        "card": card,
    }
    return encode_state(networks.state_dict(), about)


def decode_networks(data: bytes) -> Trained:
    """What `encode_networks` wrote; raises CongealError, saying what does not fit, for anything else."""
    tensors, about = decode_state(data)
    try:
        size = about["size"]
        shape = NetworkSize(
            name=str(size["name"]),
            input_size=int(size["input_size"]),
            stem=int(size["stem"]),
            channels=tuple(int(width) for width in size["channels"]),
            coarse=int(size["coarse"]),
            upsampling=int(size["upsampling"]),
            pixels=bool(size["pixels"]),
        )
        inputs, extent, card = int(about["inputs"]), float(about["extent"]), dict(about["card"])
    except (KeyError, TypeError, ValueError) as error:
        raise CongealError(f"the card of the mapping networks is not complete: {error}") from error
    widths = (inputs, shape.stem, *shape.channels)
    sound = (
        all(1 <= width <= MOST_CHANNELS for width in widths)
        and 8 <= shape.input_size <= MOST_CELLS
        and 1 <= shape.coarse <= shape.input_size
        and 1 <= shape.resolution <= MOST_CELLS
        and 0 < extent <= 1
        and len(shape.channels) <= math.log2(MOST_CELLS)
    )
    if not sound:
        raise CongealError("the card of the mapping networks asks for sizes that no network has")
    networks = MappingNetworks(inputs, shape, extent)
    try:
        networks.load_state_dict(tensors)
    except RuntimeError as error:
        raise CongealError(f"the mapping networks do not fit their card: {error}") from error
    return Trained(networks.eval().requires_grad_(False), card)
