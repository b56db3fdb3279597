"""Whether what came out of a set can be an alignment: an atlas may collapse, or its images blow up."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from congeal.alignment.config.selection import CollapseConfig
from congeal.alignment.model import SALIENT, Atlas, Verdict
from congeal.alignment.outcomes import COLLAPSED, OK
from congeal.geometry.complex_math import length


def check_collapse(
    verdict: Verdict, atlas: Atlas, poses: Tensor, good: Tensor, config: CollapseConfig
) -> Verdict:
    """The verdict, or COLLAPSED with the reason for every image that was thought to fit.

    Args:
        verdict: on a set of n images.
        atlas: that they came to.
        poses: complex64 [n], their scales and rotations.
        good: bool [n], who is no outlier.
        config: what is absurd.
    """
    fault = _fault(atlas, length(poses).cpu()[good], config) if verdict.status == OK else None
    if fault is None:
        return verdict
    return replace(
        verdict, status=COLLAPSED, reasons=[fault if reason is None else reason for reason in verdict.reasons]
    )


def _fault(atlas: Atlas, scales: Tensor, config: CollapseConfig) -> str | None:
    most = float(atlas.saliency.max())
    if not most >= SALIENT:
        return f"the atlas of its set collapsed: nothing shows in it (saliency {most:.2f} at most)"
    usual = scales.median()
    ratio = float((scales / usual).log().abs().max().exp())
    if not ratio <= config.size_ratio:
        return f"the poses of its set blew up: sizes are {ratio:.3g} times apart from the usual"
    return None
