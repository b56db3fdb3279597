"""Settings of the steps in `congeal.alignment.poses`. Half the side of a frame, or of the atlas, is 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from congeal.alignment.config.setting import ATLAS, FRAME, Group, rising, setting


@dataclass(frozen=True)
class MatchingConfig(Group):
    """Mutual matches of an image pair, and the robust similarity that explains them."""

    title: ClassVar[str] = "matching"
    most: int = setting(128, "mutual matches of a pair that are kept", unit="matches", at_least=2)
    all_pairs_up_to: int = setting(
        64,
        "images of a set up to which all pairs are compared",
        unit="images",
        at_least=2,
        set_on="none: beyond the usual size of an atlas, and where a sparse plan halves the pairs",
    )
    neighbours: int = setting(
        16,
        "pairs of an image with those that look most like it, in a larger set, at most",
        unit="pairs",
        at_least=0,
        set_on="92 albatrosses, poses alone, three draws: PCK 67.4 to 67.8, and 67.9 by all pairs; no "
        "neighbours and 32 drawn: 66.1 to 67.5",
        held_out=False,
    )
    drawn_pairs: int = setting(
        16,
        "pairs of an image that are drawn at random, in a larger set",
        unit="pairs",
        at_least=2,
        set_on="the same; 8 neighbours and 24 drawn: 66.4 to 67.9",
        held_out=False,
    )
    hypotheses: int = setting(128, "two-point hypotheses of a pair", at_least=1)
    tolerance: float = setting(
        0.08,
        "scale of the Geman-McClure kernel",
        unit=FRAME,
        at_least=1e-6,
        set_on="none: a little more than a token at 32 tokens a side",
    )
    shortest_baseline: float = setting(
        2.0, "distance between the two matches of a hypothesis, at least", unit="tolerances", at_least=0
    )
    largest_log_scale: float = setting(1.1, "largest |log scale| of a similarity", at_least=0)
    reweightings: int = setting(8, "reweighted least-squares rounds", unit="rounds", at_least=0)
    widest_kernel: float = setting(2.0, "kernel of the first round", unit="tolerances", at_least=1)
    kernel_step: float = setting(0.5, "how much the kernel narrows a round", unit="tolerances", at_least=0)
    size_range: tuple[float, ...] = setting(
        (0.3, 3.0), "scales between which an error is measured against the size of the object", at_least=1e-6
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rising(self.title, "size_range", self.size_range)


@dataclass(frozen=True)
class PosesConfig(Group):
    """Mirror states and poses that agree best with the pairs."""

    title: ClassVar[str] = "poses"
    mirror_prior: float = setting(
        0.1,
        "how far the evidence for equal mirror states is favoured; 1: no image is mirrored",
        at_least=0,
        at_most=1,
        set_on="near-symmetric objects (bottles)",
    )
    mirror_prior_single_pair: float = setting(
        0.25,
        "the same for a single pair; it falls with the root of the number of pairs that an image has",
        at_least=0,
        at_most=1,
        set_on="random draws from sixteen annotated sets; figures are of other draws from them",
        held_out=False,
    )
    mirror_consistency: float = setting(
        0.85,
        "agreement of the pairs on mirror states (-1 to 1) below which free matches decide",
        at_least=-1,
        at_most=2,
        set_on="annotated sets: 0.89 to 1.0 on nine that are mirrored, 0.76 on butterflies",
        held_out=False,
    )
    strongest_pair: float = setting(
        3.0, "influence of a pair on mirror states at most, against the mean", at_least=0
    )
    tolerance: float = setting(
        0.2, "distance from the consensus at which a pair's agreement is one half", unit=FRAME, at_least=1e-6
    )
    reweightings: int = setting(12, "reweighting rounds", unit="rounds", at_least=1)
    compared_at: float = setting(0.5, "radius at which two similarities are compared", unit=FRAME, at_least=0)
    size_range: tuple[float, ...] = setting(
        (0.3, 3.0), "scales between which a disagreement is measured against the size", at_least=1e-6
    )
    chance_share: float = setting(
        1e-3, "share of its score that a pair keeps as weight when chance explains it", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rising(self.title, "size_range", self.size_range)


@dataclass(frozen=True)
class OutliersConfig(Group):
    """Images that do not belong, and sets that have nothing in common."""

    title: ClassVar[str] = "outliers"
    least_evidence: float = setting(
        0.3,
        "an image's matches that agree with its pose, against the set's median, below which it is an outlier",
        at_least=0,
        set_on="images of another kind planted in the annotated sets; figures are of other draws from them",
        held_out=False,
    )
    least_shared_tokens: float = setting(
        3.0,
        "matches that two images of a set share, at the median, for it to have anything in common",
        unit="tokens",
        at_least=0,
        set_on="unrelated images, which come to about 1",
    )


@dataclass(frozen=True)
class AtlasConfig(Group):
    """Where the atlas square lies, and what its features are the mean of."""

    title: ClassVar[str] = "atlas"
    fill: float = setting(
        0.85, "share of the square's side that the common object takes", at_least=0.01, at_most=1
    )
    tail: float = setting(
        0.02,
        "share of the saliency that may lie beyond the object's box, on every side",
        at_least=0,
        at_most=0.49,
        set_on="nine annotated sets: a frame that half of the images reach loses 0.25 points",
    )
    core_saliency: float = setting(
        0.5,
        "saliency from which a token bears on where the atlas lies, once the common object is learned",
        at_least=0,
        at_most=1,
    )
    background_weight: float = setting(
        1e-3, "weight of a place that is not salient in the mean of features", at_least=0, at_most=1
    )
    anchor_radius: float = setting(
        0.5, "radius at which scales and rotations of two solutions are compared", unit=ATLAS, at_least=1e-3
    )
    anchor_rounds: int = setting(
        50, "rounds of the geometric median of two solutions", unit="rounds", at_least=1
    )


@dataclass(frozen=True)
class CommonObjectConfig(Group):
    """What the images share, told from what is near it by where the poses put it."""

    title: ClassVar[str] = "common_object"
    relearn: bool = setting(
        True,
        "whether saliency is learned again where much of it lies off the common region",
        set_on="switch of benchmarks/accuracy/ablation.py",
    )
    least_outside: float = setting(
        0.2,
        "share of the saliency off the common region from which it is learned again",
        at_least=0,
        at_most=1,
        set_on="cups, butterflies, teapots, birds: a wide gap between them",
        held_out=False,
    )
    largest_return_rate: float = setting(
        0.25,
        "cycle-return rate off the common region, (off - background) / (common - background), below which "
        "what lies there is not part of the object",
        at_least=-1,
        at_most=1,
        set_on="cups, butterflies, teapots, birds: a wide gap between them",
        held_out=False,
    )
    largest_background_rate: float = setting(
        2 / 3,
        "cycle-return rate of the background, against the common region's, above which nothing is told apart",
        at_least=0,
        at_most=1,
        set_on="cups, butterflies, teapots, birds, a video: a wide gap between them",
        held_out=False,
    )
    fill: float = setting(
        0.5,
        "share of the square's side that the object takes while its region is sought",
        at_least=0.01,
        at_most=1,
    )
    cells: int = setting(64, "cells along a side of that square", unit="cells", at_least=2, at_most=1024)
    blur: float = setting(
        0.1, "standard deviation by which matches are blurred there", unit=ATLAS, at_least=1e-3
    )
    full_density: float = setting(
        0.15,
        "density of matches, against the highest, from which a place is in full part of it",
        at_least=1e-6,
    )
    images: int = setting(
        24,
        "images of a set whose return rates are measured, at most, evenly spread",
        unit="images",
        at_least=1,
        set_on="none: a set's rates are means over tokens of all of them",
    )
    neighbours: int = setting(
        2,
        "images that each is matched with for return rates",
        unit="images",
        at_least=1,
        set_on="nineteen annotated sets: not one result differs between 2 and 4",
    )
    return_distance: float = setting(
        1.6, "distance from its start within which a token has returned", unit="cells", at_least=0
    )
    rounds: int = setting(2, "refits of the discriminant", unit="rounds", at_least=1)


@dataclass(frozen=True)
class ExemplarsConfig(Group):
    """Members of an atlas, kept token by token, by which newcomers are posed."""

    title: ClassVar[str] = "exemplars"
    most: int = setting(
        16,
        "members that are kept",
        unit="images",
        at_least=1,
        set_on="wings: newcomers at 90.2, by the mean atlas 81.7",
    )
    judged: int = setting(
        12, "members whose matches with the others tell what is usual", unit="images", at_least=1
    )
    tolerance: float = setting(
        0.05, "scale of the Geman-McClure kernel of a newcomer's pose", unit=FRAME, at_least=1e-6
    )
