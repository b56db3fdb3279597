"""The backbone that comes with the package: a small student, its weights and its card."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

NAME = "embedded"
ARCHITECTURE = "vit_small_patch14_dinov2.lvd142m@19"

_WEIGHTS = "student.safetensors"
_CARD = "card.json"
_FACTS = "facts.safetensors"
_FACTS_CARD = "facts.json"


def weights() -> bytes:
    """The packed weights file (see `congeal.backbones.packed_checkpoint`)."""
    return files(__name__).joinpath(_WEIGHTS).read_bytes()


def card() -> dict[str, Any]:
    """Who taught it, on what, by which recipe, and how well it agrees with its teacher."""
    content: dict[str, Any] = json.loads(files(__name__).joinpath(_CARD).read_text())
    return content


def facts() -> bytes:
    """What is known of it whatever images come (see `congeal.backbones.backbone_facts`), as safetensors.

    float32: NAME.directions [8, 384] and NAME.blank [1], NAME a precision.
    """
    return files(__name__).joinpath(_FACTS).read_bytes()


def facts_card() -> dict[str, Any]:
    """Of which weights the facts are, and what they were measured with."""
    content: dict[str, Any] = json.loads(files(__name__).joinpath(_FACTS_CARD).read_text())
    return content
