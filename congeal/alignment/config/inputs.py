"""Settings of the steps in `congeal.alignment.inputs`, and of the search for the orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from congeal.alignment.config.setting import Group, setting


@dataclass(frozen=True)
class FeaturesConfig(Group):
    """The basis in which features are compared, and images that show nothing."""

    title: ClassVar[str] = "features"
    channels: int = setting(
        128, "leading principal components of a set's features that are compared", at_least=1
    )
    least_variance: float = setting(
        1e-6,
        "share of the largest component's variance below which a component of some channels is dropped",
        at_least=0,
        set_on="none: it is the rounding of float32",
    )
    blank_contrast_factor: float = setting(
        1.2,
        "contrast that an image must have to show anything, against the backbone's on plain images",
        at_least=0,
        set_on="noise, grey, gradients, coloured squares; the annotated sets (DINOv2 weights) and 400 "
        "photographs (embedded backbone)",
        held_out=False,
    )
    blank_contrast_limit: float = setting(
        0.1,
        "contrast that is enough in any case",
        at_least=0,
        at_most=1,
        set_on="noise, grey, gradients, coloured squares (0.10 at most; 0.08 with the embedded backbone) and "
        "photographs (0.15 at least)",
        held_out=False,
    )


@dataclass(frozen=True)
class CosaliencyConfig(Group):
    """A linear discriminant of a set's tokens, learned from attention."""

    title: ClassVar[str] = "cosaliency"
    learned: bool = setting(
        True,
        "whether saliency is what the discriminant finds; else the smoothed attention",
        set_on="switch of benchmarks/ablation.py",
    )
    attention_peak: float = setting(
        0.95, "quantile of an image's attention that counts as fully salient", at_least=0, at_most=1
    )
    threshold_tail: float = setting(
        0.02,
        "share of the scores on either side beyond the span in which the threshold is sought",
        at_least=0,
        at_most=0.49,
    )
    threshold_bins: int = setting(64, "bins of the histogram that is split in two", at_least=2, at_most=65536)
    ridge: float = setting(1e-2, "regularisation against the mean feature variance", at_least=0)
    rounds: int = setting(3, "refits of the discriminant to its own answer", unit="rounds", at_least=0)
    softness: float = setting(
        0.1, "width of the step from not salient to salient, as a share of the scores' span", at_least=1e-6
    )


@dataclass(frozen=True)
class TokensConfig(Group):
    """The tokens of an image that are matched with other images'."""

    title: ClassVar[str] = "tokens"
    most: int = setting(400, "salient tokens of an image that are matched", unit="tokens", at_least=1)
    least_saliency: float = setting(
        0.1,
        "saliency of a token, against its image's highest, from which it is matched",
        at_least=0,
        at_most=1,
    )


@dataclass(frozen=True)
class OrientationConfig(Group):
    """Which of eight angles an image is turned by (``alignment.rotation=any``)."""

    title: ClassVar[str] = "orientation"
    largest_rotation: float = setting(
        math.pi / 4,
        "rotation beyond which a view is not the right one",
        unit="radians",
        at_least=0,
        at_most=math.pi,
        set_on="none: views are an eighth of a turn apart",
    )
    sweeps: int = setting(50, "coordinate ascent sweeps at most", unit="rounds", at_least=1)
