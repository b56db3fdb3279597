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
class FixedCameraConfig(Group):
    """Frames of a fixed camera, and what moves in front of it."""

    title: ClassVar[str] = "fixed_camera"
    looked_for: bool = setting(
        True,
        "whether sets are tested for being frames of a fixed camera",
        set_on="switch of benchmarks/accuracy/ablation.py",
    )
    least_frames: int = setting(
        3,
        "usable images from which a set can be told to be frames",
        unit="images",
        at_least=3,
        set_on="draws of 3 to 5 images, DINOv2 and embedded: 51 of 72 of the mouse are told (of 6 frames 23 "
        "of 24), and 2 of 1,296 of the other eighteen sets",
        held_out=False,
    )
    compared: int = setting(
        24, "frames at most that each frame is compared with", unit="images", at_least=3, at_most=1024
    )
    share: float = setting(
        1 / 3,
        "share of the other frames, the most alike, that say what is usual in a place: frames of several "
        "cameras may be mixed",
        at_least=0,
        at_most=1,
    )
    most_change: float = setting(
        0.11,
        "1 - cosine of a token with the usual in its place, at the median, at most, where a scene stays",
        unit="cosine",
        at_least=0,
        at_most=2,
        set_on="open-field mouse (0.06) against all other sets; wings (0.04) and bottles without clutter "
        "(0.06) are below, too, the next is 0.16 (butterflies)",
        held_out=False,
    )
    least_share: float = setting(0.005, "share of the frame that moves at least", at_least=0, at_most=1)
    most_share: float = setting(0.35, "share of the frame that moves at most", at_least=0, at_most=1)
    most_overlap: float = setting(
        0.32,
        "intersection over union of what moves in two frames, at most",
        at_least=0,
        at_most=1,
        set_on="open-field mouse (0.17; embedded backbone 0.25) against bottles without clutter (0.58), two "
        "videos in which the camera follows the thing (embedded backbone, 0.39 and 0.40)",
        held_out=False,
    )
    least_alike: float = setting(
        0.5,
        "share of the tokens that move whose best match in another frame moves, too",
        at_least=0,
        at_most=1,
        set_on="open-field mouse (0.68) against wings (0.26)",
        held_out=False,
    )
    steps: int = setting(3, "other frames that each frame's moving tokens are matched with", at_least=1)
    width: int = setting(
        5, "side of the neighbourhood over which change is averaged", unit="tokens", at_least=1, at_most=33
    )
    softness: float = setting(
        0.1, "width of the step from still to moving, as a share of a frame's highest change", at_least=1e-6
    )


@dataclass(frozen=True)
class CosaliencyConfig(Group):
    """A linear discriminant of a set's tokens, learned from attention."""

    title: ClassVar[str] = "cosaliency"
    learned: bool = setting(
        True,
        "whether saliency is what the discriminant finds; else the smoothed attention",
        set_on="switch of benchmarks/accuracy/ablation.py",
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
