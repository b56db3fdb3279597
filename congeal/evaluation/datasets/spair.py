"""SPair-71k as it is downloaded (Min, Lee, Ponce, Cho 2019): one category, the pairs of one split.

`JPEGImages/<category>/*.jpg`, `ImageAnnotation/<category>/*.json` (bndbox, kps) and
`PairAnnotation/{trn,val,test}/*:<category>.json` (src_imname, trg_imname). Keypoints have numbers, no names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.evaluation.datasets.files import below, chosen, folders, numbers, points, read_json, usable
from congeal.evaluation.datasets.types import AnnotatedImage, AnnotatedSet, exchanged, numbered_pairs
from congeal.geometry.frames import Frame

FORM = "SPair-71k"
PARTS = ("JPEGImages", "ImageAnnotation", "PairAnnotation")

# Which numbers change places when an image is mirrored: the right one's first, as the annotators counted.
_LIMBS = ((0, 1), (2, 3), (4, 5), (6, 7), (9, 10), (11, 12))
_WHEELS = ((10, 20), (11, 21), (12, 22), (13, 23), (14, 24), (15, 25), (16, 17), (18, 19), (26, 27), (28, 29))
MIRRORED: dict[str, tuple[tuple[int, int], ...]] = {
    "aeroplane": tuple((number, number + 1) for number in range(4, 22, 2)),
    "bicycle": ((2, 3), (6, 7), (9, 10)),
    "bird": ((1, 2), (4, 5), (7, 8), (10, 11), (12, 13), (14, 15)),
    "boat": tuple((number, number + 1) for number in range(1, 13, 2)),
    "bottle": tuple((number, number + 1) for number in range(0, 10, 2)),
    "bus": ((0, 1), (2, 3), (5, 6), *_WHEELS),
    "car": ((0, 1), (2, 3), (6, 7), *_WHEELS),
    "cat": _LIMBS,
    "chair": tuple((number, number + 1) for number in range(0, 14, 2)),
    "cow": (*_LIMBS, (15, 16), (17, 18), (19, 20)),
    "dog": ((0, 1), (2, 3), (4, 5), (9, 10), (11, 12)),
    "horse": ((0, 1), (2, 3), (4, 5), (6, 7), (10, 11), (12, 13), (16, 17), (18, 19)),
    "motorbike": ((0, 1), (2, 3)),
    "person": ((0, 1), (2, 3), *((number, number + 1) for number in range(8, 20, 2))),
    "pottedplant": ((0, 2), (4, 5), (6, 8)),
    "sheep": (*_LIMBS, (15, 16), (17, 18), (19, 20)),
    "train": tuple((number, number + 1) for number in range(0, 18, 2)),
    "tvmonitor": ((0, 2), (3, 7), (4, 6), (8, 10), (11, 15), (12, 14)),
}


def recognise(folder: Path) -> bool:
    """True if the folder is, or is meant to be, such a download."""
    return any((folder / part).is_dir() for part in PARTS[1:])


def load(folder: Path, category: str | None = None, split: str = "test") -> AnnotatedSet:
    """Read one category: the images of the split's pairs, and these pairs.

    Raises CongealError for a part that is missing, an unknown category, annotations that are none.
    """
    for part in PARTS:
        if not (folder / part).is_dir():
            raise CongealError(f"{folder} looks like SPair-71k, but its folder {part} is missing")
    if not (folder / "PairAnnotation" / split).is_dir():
        raise CongealError(f"{folder} has no folder PairAnnotation/{split}")
    kind = chosen(category, folders(folder / "ImageAnnotation"), str(folder))
    pairs = _pairs(folder / "PairAnnotation" / split, kind)
    names = sorted({name for pair in pairs for name in pair})
    read = {name: _read(folder, kind, name) for name in names}
    count = max((int(number) + 1 for entry in read.values() for number in entry["kps"]), default=0)
    images, unreadable = usable(
        (name, _image(folder, kind, name, entry, count)) for name, entry in read.items()
    )
    return AnnotatedSet(
        name=f"SPair-71k {kind} ({split})",
        form=FORM,
        protocol="spair",
        folder=folder / "JPEGImages" / kind,
        keypoints=tuple(map(str, range(count))),
        mirrored=exchanged(count, MIRRORED.get(kind, ())),
        images=tuple(images),
        pairs=numbered_pairs(images, pairs),
        unreadable=unreadable,
    )


def _pairs(folder: Path, kind: str) -> list[tuple[str, str]]:
    # The category ends the name; what stands before it is a colon, or what a file system made of it.
    named = re.compile(rf".*[^A-Za-z]{re.escape(kind)}\.json")
    pairs = []
    for path in sorted(folder.iterdir()):
        if named.fullmatch(path.name):
            entry = read_json(path)
            pair = entry.get("src_imname"), entry.get("trg_imname")
            if not all(isinstance(name, str) for name in pair):
                raise CongealError(f"{path} does not name a source and a target image")
            pairs.append((str(pair[0]), str(pair[1])))
    if not pairs:
        raise CongealError(f"{folder} has no pair of the category {kind}")
    return pairs


def _read(folder: Path, kind: str, name: str) -> dict[str, Any]:
    path = below(folder / "ImageAnnotation" / kind, name).with_suffix(".json")
    entry = read_json(path)
    kps = entry.get("kps")
    if not isinstance(kps, dict) or not all(number.isdecimal() and int(number) < 1000 for number in kps):
        raise CongealError(f'{path} has no numbered keypoints "kps"')
    return entry | {"path": path}


def _image(folder: Path, kind: str, name: str, entry: dict[str, Any], count: int) -> AnnotatedImage:
    where = str(entry["path"])
    size = numbers([entry.get("image_width"), entry.get("image_height")], 2, f"{where}: image_width, …")
    x0, y0, x1, y1 = numbers(entry.get("bndbox"), 4, f"{where}: bndbox")
    return AnnotatedImage(
        name=name,
        path=below(folder / "JPEGImages" / kind, name),
        frame=Frame(int(size[0]), int(size[1])),
        points=points([entry["kps"].get(str(number)) for number in range(count)], f"{where}: a keypoint"),
        box=(x0, y0, x1, y1),
    )
