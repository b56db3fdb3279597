"""Settings of the steps in `congeal.alignment.selection`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from congeal.alignment.config.setting import ATLAS, Group, setting
from congeal.errors import CongealError

DEFORMATIONS = ("rigid", "flow", "guided")


@dataclass(frozen=True)
class FeatureSelectionConfig(Group):
    """Which of several features a set is compared by (``features.beside``)."""

    title: ClassVar[str] = "feature_selection"
    images: int = setting(12, "images of a set that mixtures are tried on", unit="images", at_least=2)
    gain: float = setting(
        0.01,
        "share of free matches that a mixture must explain beyond the first part alone",
        at_least=-1,
        at_most=1,
    )


@dataclass(frozen=True)
class MirrorSelectionConfig(Group):
    """Mirror states on which the pairs do not agree."""

    title: ClassVar[str] = "mirror_selection"
    gain: float = setting(
        0.035,
        "share of free matches that mirror states must explain beyond those explained without",
        at_least=-1,
        at_most=1,
        set_on="random draws of butterflies, mugs seen from within 65 degrees, and two other kinds",
        held_out=False,
    )


@dataclass(frozen=True)
class DeformationConfig(Group):
    """What a set's maps have beyond a pose: nothing, a smooth flow, or guided matching."""

    title: ClassVar[str] = "deformation"
    least: str = setting(
        "rigid",
        "what every set with free matches to judge by has at least",
        choices=DEFORMATIONS,
        set_on="switch of benchmarks/accuracy/ablation.py",
    )
    most: str = setting(
        "guided",
        "what a set has at most",
        choices=DEFORMATIONS,
        set_on="switch of benchmarks/accuracy/ablation.py",
    )
    mean_shape: bool = setting(
        True,
        "whether what the flows of all images have in common goes into the atlas",
        set_on="the annotated sets: within half a point on every one",
    )
    flow_gain: float = setting(
        0.01,
        "share of free matches that the flow must explain beyond those that the poses explain",
        at_least=-1,
        at_most=1,
    )
    guided_gain: float = setting(
        0.15,
        "by how much more often than matching the poses must be wrong for guided matching",
        at_least=-1,
        at_most=1,
        set_on="30 random draws of birds (0.14 to 0.46) and 103 of other objects (0.09 at most)",
        held_out=False,
    )
    few_matches: float = setting(
        6.0,
        "matches below which two images are matched cell by cell",
        unit="tokens",
        at_least=0,
        set_on="random pairs of birds and other objects",
        held_out=False,
    )
    symmetric_margin: float = setting(
        0.15,
        "margin below which a set looks the same in a mirror: it is not mirrored, nor matched cell by cell",
        at_least=-1,
        at_most=1,
        set_on="the annotated sets",
        held_out=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if DEFORMATIONS.index(self.least) > DEFORMATIONS.index(self.most):
            raise CongealError(
                f"deformation.least ({self.least}) is more than deformation.most ({self.most})"
            )


@dataclass(frozen=True)
class MatchAgreementConfig(Group):
    """How far plain matches of the features bear the maps out, by which a doubtful set is told."""

    title: ClassVar[str] = "match_agreement"
    images: int = setting(8, "images of a set that are matched with each other", unit="images", at_least=2)
    tokens: int = setting(96, "tokens of each", unit="tokens", at_least=1)
    salient: float = setting(
        0.5, "saliency of the atlas' cell that a token lies on, above which it counts", at_least=0, at_most=1
    )
    distance: float = setting(
        0.2,
        "distance within which a match leads back, and within which a map agrees with it",
        unit=ATLAS,
        at_least=1e-6,
    )
    few: int = setting(
        5,
        "images up to which a set that is little borne out is matched cell by cell as well",
        unit="images",
        at_least=0,
        set_on="draws of two and three dogs, birds and bottles",
        held_out=False,
    )
    few_below: float = setting(
        0.8, "agreement below which such a set is", at_least=0, at_most=1, set_on="the same", held_out=False
    )
    gain: float = setting(
        0.1,
        "agreement that matching cell by cell must add, to be kept",
        at_least=0,
        at_most=1,
        set_on="draws of two and three: dogs and birds 0.10 to 0.36, bottles 0.08, once 0.12",
        held_out=False,
    )


@dataclass(frozen=True)
class SecondLookConfig(Group):
    """A second look at windows of the images, where the thing covers a small part of the frame."""

    title: ClassVar[str] = "second_look"
    margin: float = setting(1.25, "side of a window against the longer side of the thing's box", at_least=1)
    least_zoom: float = setting(
        1.2,
        "by what windows of a set enlarge at the median at least, else there is no second look",
        at_least=1,
    )
    most_zoom: float = setting(4.0, "by what a window enlarges at most", at_least=1)
    same_frame_zoom: float = setting(
        1.6,
        "median enlargement up to which, at any angle, the second atlas lies as the first one's: beyond, the "
        "first look sees the thing larger than it is",
        at_least=1,
        set_on="butterflies, turned (1.3: 84.3 to 92.4) and the open-field mouse (2.1: 81.6 to 70.9)",
        held_out=False,
    )
    salient_cell: float = setting(
        0.3,
        "saliency of a cell of the atlas, against the highest, from which it is part of the thing",
        at_least=0,
        at_most=1,
    )
    salient_token: float = setting(
        0.5, "saliency of a token from which it is part of the thing", at_least=0, at_most=1
    )
    trusted: float = setting(
        0.3,
        "share of the atlas' salient cells that lie on an image's own salient tokens, if its pose is right",
        at_least=0,
        at_most=1,
    )
    region: float = setting(
        0.05,
        "share of the atlas' salient cells on a connected region from which it is part of the thing",
        at_least=0,
        at_most=1,
    )
    beside: float = setting(
        0.3,
        "saliency of a region, against the largest of the image, from which it is part of the thing, "
        "where the pose is wrong",
        at_least=0,
        at_most=1,
    )
    stray: float = setting(
        0.02, "share of what is salient that may lie beyond each side of a box", at_least=0, at_most=0.4
    )
    gain: float = setting(
        0.03,
        "share of the free matches on windows that the second solution must explain beyond the first",
        at_least=-1,
        at_most=1,
        set_on="dogs and mouse (0.033 and more) against duck, butterflies, dog, fish (0.02 at most)",
        held_out=False,
    )


@dataclass(frozen=True)
class CollapseConfig(Group):
    """Whether what came out can be an alignment."""

    title: ClassVar[str] = "collapse"
    size_ratio: float = setting(
        10.0, "ratio of an object's size in an image to the usual that is absurd", at_least=1
    )


@dataclass(frozen=True)
class InstancesConfig(Group):
    """Further instances of the thing in one image (``alignment.instances_max``)."""

    title: ClassVar[str] = "instances"
    salient: float = setting(
        0.8,
        "saliency of a cell of the atlas from which it is part of the thing that is looked for",
        at_least=0,
        at_most=1,
        set_on="the dogs of paper/limitation_multi_objects_n5",
        held_out=False,
    )
    least_rest: float = setting(
        0.02,
        "salient tokens left over, against those of the first instance, from which there may be another",
        at_least=0,
        set_on="mugs laid together (benchmarks/accuracy/instances.py)",
        held_out=False,
    )
    least_evidence: float = setting(
        0.15,
        "matches that agree with an instance's pose, as a share of what members usually reach",
        at_least=0,
        set_on="the same, and images of one thing: see docs/tried.md",
        held_out=False,
    )
    least_alone: float = setting(
        0.65,
        "share of an instance that lies on the image, off the other instances",
        at_least=0,
        at_most=1,
        set_on="the same dogs (0.74 and 1), wings of birds that are no birds (0.56 at most)",
        held_out=False,
    )
    least_confidence: float = setting(
        0.6,
        "an instance's mean confidence against that of the first in its image",
        at_least=0,
        set_on="the same dogs (0.86 and more), wings (0.58 at most)",
        held_out=False,
    )
    most_scale: float = setting(
        4.0, "size of an instance against the first in its image, either way", at_least=1
    )
