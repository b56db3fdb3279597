"""Which images are outliers of their set, and why."""

from __future__ import annotations

from torch import Tensor

STANDING = 0.3  # an image's evidence, against the median of its set, below which it is an outlier


def judge(standing: Tensor, sound: Tensor, blank: Tensor) -> list[str | None]:
    """Why each image is an outlier, or None.

    Args:
        standing: float32 [n], matches that agree with the image's pose, as a share of the set's usual.
        sound: bool [n], whether an image can be used.
        blank: bool [n], whether it cannot be used since it shows nothing; else its features are no numbers.
    """
    reasons: list[str | None] = []
    for share, used, empty in zip(standing.tolist(), sound.tolist(), blank.tolist(), strict=True):
        if empty:
            reasons.append("it shows nothing by which one place in it could be told from another")
        elif not used:
            reasons.append("its features are not finite numbers")
        elif share < STANDING:
            reasons.append(
                f"it has {share:.0%} of the matches that are usual in the set, less than {STANDING:.0%}"
            )
        else:
            reasons.append(None)
    return reasons
