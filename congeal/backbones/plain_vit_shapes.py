"""Sizes of the plain vision transformers that are built without timm; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlainVitShape:
    """Sizes of a vision transformer with a class token, learned positions and pre-norm blocks.

    Attributes:
        patch: side of a patch, pixels.
        channels: of a token.
        blocks: how many.
        heads: of each attention.
        image: side of the images that its weights were made for, pixels.
        registers: further tokens before the patches; with them, only patches have positions.
        scaled: whether a block's two branches are scaled channel by channel.
    """

    patch: int
    channels: int
    blocks: int
    heads: int
    image: int
    registers: int = 0
    scaled: bool = False


def _shapes() -> dict[str, PlainVitShape]:
    shapes = {}
    for size, channels, blocks, heads in (
        ("small", 384, 12, 6),
        ("base", 768, 12, 12),
        ("large", 1024, 24, 16),
    ):
        if size != "large":
            for patch in (8, 16):
                shapes[f"vit_{size}_patch{patch}_224.dino"] = PlainVitShape(
                    patch, channels, blocks, heads, 224
                )
        for registers in (0, 4):
            kind = f"reg{registers}_dinov2" if registers else "dinov2"
            shapes[f"vit_{size}_patch14_{kind}.lvd142m"] = PlainVitShape(
                14, channels, blocks, heads, 518, registers, scaled=True
            )
    return shapes


SHAPES = _shapes()  # by timm's full names
# What timm takes where a name has no tag, of those whose tag is that of a model above.
UNTAGGED = {name.partition(".")[0]: name for name in SHAPES if name.endswith(".lvd142m")}


def shape_of(model: str) -> PlainVitShape | None:
    """The sizes of a model by timm's name, with its tag or without; None for any other model."""
    return SHAPES.get(UNTAGGED.get(model, model))
