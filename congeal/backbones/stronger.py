"""Which backbone to try where another one sees nothing that the images of a set share."""

from __future__ import annotations

from congeal.backbones import embedded

# The least size of DINOv2 that tells more than the one before it, and its short name.
_NEXT = {"small": "dinov2_vitb14", "base": "dinov2_vitl14", "large": "dinov2_vitg14"}


def stronger(backbone: str) -> str | None:
    """The short name of a backbone whose features tell more; None if none is known.

    backbone: as results are kept under it (`congeal.backbones.registry.resolve_name`). Of DINOv2 it is the
    next larger one; for all others, the embedded one among them, DINOv2 ViT-S/14.
    """
    model = backbone.partition(":")[0].partition("@")[0]
    if backbone == embedded.NAME or "_dinov2" not in model:
        return None if "_dinov3" in model else "dinov2_vits14"
    if model != backbone:  # some of its blocks, or on fewer cells
        return "dinov2_vits14"
    return next((larger for size, larger in _NEXT.items() if f"vit_{size}_" in model), None)
