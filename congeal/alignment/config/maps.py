"""Settings of the steps in `congeal.alignment.maps`. Half the side of a frame, or of the atlas, is 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from congeal.alignment.config.setting import ATLAS, FRAME, Group, setting
from congeal.errors import CongealError


@dataclass(frozen=True)
class FlowConfig(Group):
    """The flow from coarse to fine; of the tuples, one number a round."""

    title: ClassVar[str] = "flow"
    finest_cells: int = setting(
        48, "cells along a side of the flow's grid, at most", unit="cells", at_least=1, at_most=1024
    )
    search_radius: tuple[float, ...] = setting(
        (0.3, 0.2, 0.15, 0.1, 0.07, 0.07),
        "standard deviation of the prior around the current map",
        unit=FRAME,
        at_least=1e-3,
    )
    smoothness: tuple[float, ...] = setting(
        (1.5, 0.6, 0.3, 0.15, 0.1, 0.1),
        "standard deviation of the smooth fit; the first round amounts to an affine map",
        unit=ATLAS,
        at_least=1e-3,
        set_on="ducks: affine first, then tight, gains 3 points",
    )
    inlier_distance: tuple[float, ...] = setting(
        (0.1, 0.1, 0.08, 0.08, 0.08, 0.08),
        "scale of the Geman-McClure weight of matches off the fit, in its last reweighting",
        unit=ATLAS,
        at_least=1e-3,
    )
    least_saliency: float = setting(
        0.05,
        "saliency of an atlas' cell, against its highest, above which it is matched",
        at_least=0,
        at_most=1,
    )
    cosine_weight: float = setting(20.0, "weight of the cosine against the log prior", at_least=0, at_most=60)
    prior_floor: float = setting(0.05, "prior of a place far from the current map", at_least=1e-9, at_most=1)
    subtoken_sharpness: float = setting(15.0, "of the softmax that puts a match between tokens", at_least=0)
    return_distance: float = setting(
        0.1, "scale of the weight of matches that do not lead back", unit=ATLAS, at_least=1e-6
    )
    rest_weight: float = setting(
        0.001,
        "weight of no displacement in the fit, against a neighbourhood full of matches",
        at_least=0,
        set_on="the annotated sets: 0.02 drags wings and tails back, 0.001 gains 1 to 4 points on what bends",
    )
    affine_ridge: float = setting(0.1, "the same for no local stretch or rotation", at_least=0)
    reweightings: int = setting(3, "reweightings of a fit", unit="rounds", at_least=2)
    widest_kernel: float = setting(
        3.0, "kernel of the first reweighting", unit="inlier distances", at_least=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.search_radius) == len(self.smoothness) == len(self.inlier_distance):
            raise CongealError(
                "flow.search_radius, flow.smoothness and flow.inlier_distance have one number a round each, "
                f"not {len(self.search_radius)}, {len(self.smoothness)} and {len(self.inlier_distance)}"
            )

    @property
    def rounds(self) -> list[tuple[float, float, float]]:
        """search_radius, smoothness and inlier_distance of every round."""
        return list(zip(self.search_radius, self.smoothness, self.inlier_distance, strict=True))


@dataclass(frozen=True)
class GuidedConfig(Group):
    """Cells matched with tokens near the place where the warp expects them."""

    title: ClassVar[str] = "guided"
    cosine_weight: float = setting(20.0, "weight of the cosine against the log prior", at_least=0, at_most=60)
    salient: float = setting(0.15, "saliency from which a match counts in full", at_least=1e-6, at_most=1)
    search_radius: float = setting(
        0.25, "standard deviation of the prior around the warp", unit="frame or atlas units", at_least=1e-3
    )
    rounds: int = setting(
        3,
        "matchings, each expecting what the last one found, in the atlas that this gave",
        unit="rounds",
        at_least=1,
        set_on="dogs, birds: 50.4, 80.6, 81.0 and 82.3 with one",
    )
    advantage: float = setting(
        0.0,
        "cosine by which a match must be more alike to take the expected place",
        unit="cosine",
        at_least=-2,
        at_most=2,
        set_on="the same: 0.06 is 2 points less on dogs, and half a point more on one set of birds",
    )
    advantage_softness: float = setting(
        0.1, "width of the step from the warp to the match", unit="cosine", at_least=1e-6
    )
    neighbours: int = setting(
        3, "cells on every side that a match is compared with", unit="cells", at_least=0, at_most=16
    )
    neighbour_sigma: float = setting(1.5, "standard deviation of their weight", unit="cells", at_least=1e-3)
    neighbour_distance: float = setting(
        0.15,
        "scale of the Geman-McClure weight on neighbouring offsets",
        unit=ATLAS,
        at_least=1e-6,
        set_on="nine random draws of twenty birds, on which folds fall from 12 to 6.5 percent",
    )
    neighbour_background: float = setting(
        0.05, "saliency that every neighbour has at least", at_least=1e-9, at_most=1
    )
    neighbour_rounds: int = setting(3, "reweightings among neighbours; 0: none", unit="rounds", at_least=0)


@dataclass(frozen=True)
class ErrorsConfig(Group):
    """How far maps and free matches err, from 3-cycles of nearest-neighbour matches."""

    title: ClassVar[str] = "errors"
    triples: int = setting(120, "random triples of images of a set, or all if there are fewer", at_least=1)
    tokens: int = setting(
        400,
        "salient tokens of an image, from which those that are followed are drawn",
        unit="tokens",
        at_least=1,
    )
    matches: int = setting(
        12288, "tokens of a set that are followed, over all triples", unit="tokens", at_least=1
    )
    salient: float = setting(0.4, "saliency above which a token counts", at_least=0, at_most=1)
    error_distance: float = setting(
        0.2,
        "distance from which a match or a map is wrong",
        unit=ATLAS,
        at_least=1e-6,
        set_on="wings against the sets that bend: at one tolerance alone any flow explains more",
    )
    close_distance: float = setting(
        0.1,
        "distance within which maps agree closely with matches",
        unit=ATLAS,
        at_least=1e-6,
        set_on="wings against the sets that bend: at one tolerance alone any flow explains more",
    )


@dataclass(frozen=True)
class MatchSupportConfig(Group):
    """Matches with single members, by which a smooth map's confidence is ranked."""

    title: ClassVar[str] = "match_support"
    exemplars: int = setting(6, "members that an image is matched with", unit="images", at_least=1)
    tokens: int = setting(96, "tokens of each, spread over the object", unit="tokens", at_least=1)
    temperature: float = setting(
        0.05,
        "of the softmax over cosines",
        at_least=1e-4,
        set_on="smooth maps of 12 sets: right points outrank wrong ones in 0.75 of cases, 0.68 without",
        held_out=False,
    )
    radius: float = setting(
        0.1, "standard deviation within which a match agrees with the map", unit=ATLAS, at_least=1e-3
    )
    spread: float = setting(
        0.06, "standard deviation within which tokens speak for a cell", unit=ATLAS, at_least=1e-3
    )


FITTED = "benchmarks/confidence/calibration.py: likelihood on all sets; its figures are of kinds left out"


@dataclass(frozen=True)
class ConfidenceConfig(Group):
    """The likeness of a cell, and the probability it stands for."""

    title: ClassVar[str] = "confidence"
    search_radius: float = setting(
        0.2,
        "standard deviation of the prior of matches that the map is compared with",
        unit=FRAME,
        at_least=1e-3,
    )
    agreement_distance: float = setting(
        0.15, "distance of the match from the map at which agreement is one half", unit=ATLAS, at_least=1e-6
    )
    covered: float = setting(0.3, "likeness from which a cell is covered", at_least=0, at_most=1)
    steepness: float = setting(
        20.0,
        "of the factor 1 - (1 - likeness) ** steepness, which is 0 where the object does not show",
        at_least=0,
    )
    temperature: float = setting(
        0.05, "of the softmax over cosines by which matches are near and spread", at_least=1e-4
    )
    near_width: float = setting(
        0.1, "standard deviation within which a match is near the map's place", unit=ATLAS, at_least=1e-3
    )
    spread_width: float = setting(
        0.2, "standard deviation of the prior within which the spread is measured", unit=ATLAS, at_least=1e-3
    )
    term_weights: tuple[float, ...] = setting(
        (1.09, 0.32, 0.54),
        "log odds of a right place for a unit of minus the log spread, of the log odds of near, of those of "
        "support",
        set_on=FITTED,
        held_out=True,
    )
    level: float = setting(
        2.61, "log odds of the usual place of a set on smooth maps", set_on=FITTED, held_out=True
    )
    level_by_cell: float = setting(
        1.1, "the same where cells are matched one by one", set_on=FITTED, held_out=True
    )
    agreement_weight: float = setting(
        6.0,
        "log odds for a unit of match agreement beyond the usual",
        set_on="the same: held out, the error is 0.082 with 4, 0.080 with 6, 0.086 with the likeliest",
        held_out=False,
    )
    usual_agreement: float = setting(
        0.8, "match agreement that changes nothing", at_least=0, at_most=1, set_on="none: about the median"
    )
    agreement_images: float = setting(
        3.0,
        "images at which match agreement has half its weight",
        unit="images",
        at_least=0,
        set_on="draws of three and seven images",
        held_out=False,
    )
    fold_factor: float = setting(
        0.5,
        "what a confidence is multiplied by where the map folds",
        at_least=0,
        at_most=1,
        set_on="none: no cell that folds is then highly confident",
    )
    return_distance: float = setting(
        0.1,
        "distance from the start, there and back, at which the confidence of the way back is one half",
        unit=FRAME,
        at_least=1e-6,
    )
