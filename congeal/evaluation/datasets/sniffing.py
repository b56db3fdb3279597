"""Which form an annotated set has."""

from __future__ import annotations

from pathlib import Path

from congeal.errors import CongealError
from congeal.evaluation.datasets import cub, keypoints_json, spair, willow
from congeal.evaluation.datasets.types import AnnotatedSet

# A download is often unpacked into a folder of its own name.
NESTED = ("SPair-71k", "CUB_200_2011", "PF-dataset", "PF-dataset-WILLOW")


def load(folder: str | Path, category: str | None = None) -> AnnotatedSet:
    """Read an annotated set in any of the known forms.

    Args:
        folder: `keypoints.json` with `images/`, or a download of SPair-71k, CUB-200-2011 or PF-WILLOW.
        category: which part of a download.

    Raises:
        CongealError: if it is none of these, or what makes one is missing or damaged.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise CongealError(f"{folder} is no folder on this machine: an annotated set is one")
    for here in (place, *(place / name for name in NESTED)):
        if not here.is_dir():
            continue
        if keypoints_json.recognise(here):
            if category is not None:
                raise CongealError(f"{here} is one set: it has no categories to choose from")
            return keypoints_json.load(here)
        if spair.recognise(here):
            return spair.load(here, category)
        if cub.recognise(here):
            return cub.load(here, category)
        if willow.recognise(here):
            return willow.load(here, category)
    raise CongealError(
        f"{folder} is no annotated set: there is neither {keypoints_json.FORM} (with images/), nor "
        f"{', '.join(spair.PARTS)} (SPair-71k), nor images.txt and parts/ (CUB-200-2011), nor *.png with "
        "*.mat beside (PF-WILLOW)"
    )
