"""Which images are outliers of their set, and why."""

from __future__ import annotations

from torch import Tensor

from congeal.alignment.config.poses import OutliersConfig


def outlier_reasons(
    evidence: Tensor, sound: Tensor, blank: Tensor, config: OutliersConfig
) -> list[str | None]:
    """Why each image is an outlier, or None.

    Args:
        evidence: float32 [n], matches that agree with the image's pose, as a share of the set's usual.
        sound: bool [n], whether an image can be used.
        blank: bool [n], whether it cannot be used since it shows nothing; else its features are no numbers.
    """
    reasons: list[str | None] = []
    for share, used, empty in zip(evidence.tolist(), sound.tolist(), blank.tolist(), strict=True):
        if empty:
            reasons.append("it shows nothing by which one place in it could be told from another")
        elif not used:
            reasons.append("its features are not finite numbers")
        elif share < config.least_evidence:
            reasons.append(
                f"it has {share:.0%} of the matches that are usual in the set, "
                f"less than {config.least_evidence:.0%}"
            )
        else:
            reasons.append(None)
    return reasons
