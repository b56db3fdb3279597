"""PF-WILLOW as it is downloaded (Ham, Cho, Schmid, Ponce 2016): a folder a class, *.png with *.mat beside.

Each *.mat has `pts_coord`, 2 x k, counted from 1 as MATLAB does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from congeal.errors import CongealError, ImageError
from congeal.evaluation.datasets.files import chosen, folders, frame_of
from congeal.evaluation.datasets.matlab import matrix
from congeal.evaluation.datasets.types import AnnotatedImage, AnnotatedSet
from congeal.geometry.arrays import Doubles

FORM = "PF-WILLOW"
LARGEST = 2**20  # bytes of a *.mat file; those of the download have some hundred
MOST = 1000  # keypoints


def recognise(folder: Path) -> bool:
    """True if the folder is one class, or holds classes."""
    return _is_class(folder) or any(_is_class(folder / name) for name in folders(folder))


def load(folder: Path, category: str | None = None) -> AnnotatedSet:
    """Read one class; all pairs count. Raises CongealError for an unknown class or a *.mat that is none."""
    if _is_class(folder):
        place = folder
    else:
        classes = [name for name in folders(folder) if _is_class(folder / name)]
        place = folder / chosen(category, classes, str(folder))
    images, unreadable = [], {}
    for path in sorted(place.glob("*.mat")):
        picture = path.with_suffix(".png")
        try:
            frame = frame_of(picture)
        except ImageError as error:
            unreadable[picture.name] = error.reason
            continue
        images.append(AnnotatedImage(picture.name, picture, frame, _points(path)))
    count = len(images[0].points) if images else 0
    return AnnotatedSet(
        name=f"PF-WILLOW {place.resolve().name}",
        form=FORM,
        protocol="pf-willow",
        folder=place,
        keypoints=tuple(f"kp{number}" for number in range(count)),
        mirrored=np.arange(count),
        images=tuple(images),
        unreadable=unreadable,
    )


def _is_class(folder: Path) -> bool:
    return any(path.with_suffix(".png").is_file() for path in folder.glob("*.mat"))


def _points(path: Path) -> Doubles:
    try:
        if path.stat().st_size > LARGEST:
            raise CongealError(f"it has more than {LARGEST // 2**10} KiB: more than keypoints")
        values = matrix(path.read_bytes(), "pts_coord")
        if values.shape[0] != 2 or not 0 < values.shape[1] <= MOST:
            raise CongealError(f"its pts_coord is {values.shape[0]} x {values.shape[1]}, not 2 x keypoints")
        if not np.isfinite(values).all():
            raise CongealError("its pts_coord has what is no finite number")
    except OSError as error:
        raise CongealError(f"{path} cannot be read: {error.strerror}") from error
    except CongealError as error:
        raise CongealError(f"{path} holds no keypoints: {error}") from error
    return values.T - 1
