"""The names of the backbones: timm's own, short ones for the DINO family, and the embedded one."""

from __future__ import annotations

import difflib
import functools

import timm

from congeal import embedded
from congeal.errors import BackboneError

# The timm modules whose models are plain vision transformers: tokens on a grid, one after the other.
_MODULES = ("vision_transformer", "eva", "deit")
_DEEPEST = 100
_SIZES = {"s": "small", "b": "base", "l": "large", "g": "giant"}


def _short_names() -> dict[str, str]:
    names = {}
    for letter, patch in (("s", 8), ("s", 16), ("b", 8), ("b", 16)):
        names[f"dino_vit{letter}{patch}"] = f"vit_{_SIZES[letter]}_patch{patch}_224.dino"
    for letter, size in _SIZES.items():
        names[f"dinov2_vit{letter}14"] = f"vit_{size}_patch14_dinov2.lvd142m"
        names[f"dinov2_vit{letter}14_reg"] = f"vit_{size}_patch14_reg4_dinov2.lvd142m"
    for short, size in (
        ("s16", "small"),
        ("s16plus", "small_plus"),
        ("b16", "base"),
        ("l16", "large"),
        ("h16plus", "huge_plus"),
        ("7b16", "7b"),
    ):
        names[f"dinov3_vit{short}"] = f"vit_{size}_patch16_dinov3.lvd1689m"
    return names


SHORT_NAMES = _short_names()


@functools.cache
def _names() -> dict[str, str]:
    """Every accepted timm name, with or without its tag -> the full name."""
    names: dict[str, str] = {}
    for module in _MODULES:
        names |= {full: full for full in timm.list_models(module=module, pretrained=True)}
        for architecture in timm.list_models(module=module):
            config = timm.get_pretrained_cfg(architecture)
            full = f"{architecture}.{config.tag}" if config and config.tag else architecture
            names |= {architecture: full, full: full}
    return names


def available() -> list[str]:
    """All accepted names, sorted: the embedded one, the short ones, timm's with their tags and without."""
    return sorted({embedded.NAME, *SHORT_NAMES, *_names()})


def depth_of(name: str) -> tuple[str, int | None]:
    """A resolved name's timm model and how many of its blocks are used (None: all)."""
    model, _, depth = (embedded.ARCHITECTURE if name == embedded.NAME else name).partition(":")
    return model, int(depth) if depth else None


def resolve_name(name: str) -> str:
    """The full timm name ("architecture.tag") of a short or timm name; the one that results are kept under.

    "name:8" is a model's first eight blocks: "architecture:8", for its weights are never timm's. Raises
    `BackboneError` naming the nearest known names.
    """
    whole, cut, depth = name.partition(":")
    if cut:
        if not depth.isascii() or not depth.isdigit() or not 1 <= int(depth) <= _DEEPEST:
            raise BackboneError(
                f"{depth!r} in {name!r} is no number of blocks; write for example deit_tiny_patch16_224:7"
            )
        return f"{resolve_name(whole).partition('.')[0]}:{int(depth)}"
    if name == embedded.NAME:
        return name
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    names = _names()
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, available(), n=4, cutoff=0.5)
    hint = (
        f"the nearest names are {', '.join(near)}" if near else "for example vit_small_patch14_dinov2.lvd142m"
    )
    raise BackboneError(f"there is no backbone {name!r}; {hint}")
