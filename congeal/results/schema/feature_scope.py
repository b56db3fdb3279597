"""Which features of an image are the same: the digest of all that bears on them, in their units' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.ledger.commits import digest

STAGE = "features"


def feature_scope(
    version: int,
    backbone: str,
    fingerprint: str,
    image_size: int,
    features: Mapping[str, Any],
    *,
    any_angle: bool,
    value_range: Sequence[float] | None,
    shrunk: bool,
) -> str:
    """16 hex digits.

    Args:
        version: of the stage.
        backbone: timm's name of it, or "embedded". fingerprint: of its weights. image_size: pixels a side.
        features: the section of the settings: layer, facet, stride, mirror, precision, engine, beside.
        any_angle: whether images are looked at from eight angles.
        value_range: that of images of more than 8 bits a sample, if it is set.
        shrunk: whether PyTorch makes images smaller for OpenVINO, see `congeal.backbones.openvino_backbone`.
    """
    engine, beside = features.get("engine", "torch"), features.get("beside") or ()
    return digest(
        STAGE,
        version,
        backbone,
        fingerprint,
        image_size,
        *(features[name] for name in ("layer", "facet", "stride", "mirror", "precision")),
        # Upright, from one place, by PyTorch: so all features were before there was a choice, and their
        # digests stay.
        *(["any"] if any_angle else []),
        *([engine] if engine not in ("auto", "torch") else []),
        # OpenVINO made images smaller itself once, where a backbone works on fewer cells; PyTorch does now.
        *(["shrunk"] if shrunk else []),
        *([list(beside)] if beside else []),
        *(["range", list(value_range)] if value_range else []),
        length=16,
    )
