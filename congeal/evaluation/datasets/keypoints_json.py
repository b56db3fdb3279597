"""Congeal's own form: `images/`, `keypoints.json` and, if there are masks, `masks/<stem>.png`.

    {"keypoint_names": [...],
     "images": {file: {"size": [w, h], "bbox": [x0, y0, x1, y1] or null, "points": [[x, y] or null, ...]}},
     "pairs": [[source, target], ...], "protocol": name}

Pixels of the original file, the first one 0; with `"coords": "… (1-based)"` the first one 1. "pairs" and
"protocol" may be absent.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.evaluation.datasets.files import below, numbers, points, read_json, usable
from congeal.evaluation.datasets.types import AnnotatedImage, AnnotatedSet, mirrored_by_name, numbered_pairs
from congeal.geometry.frames import Frame

FORM = "keypoints.json"
# Words in the folder's name, or its parent's, that say which benchmark a set is cut from.
FAMILIES = {"willow": "pf-willow", "cub": "cub", "spair": "spair", "flywings": "landmarks"}


def recognise(folder: Path) -> bool:
    """True if the folder holds such a set."""
    return (folder / FORM).is_file()


def load(folder: Path) -> AnnotatedSet:
    """Read a set. Raises CongealError, naming file and image, for what does not fit the form."""
    path = folder / FORM
    document = read_json(path)
    entries, keypoints = document.get("images"), document.get("keypoint_names")
    if not isinstance(entries, dict) or not isinstance(keypoints, list):
        raise CongealError(f'{path} must have "images", an object, and "keypoint_names", a list')
    shift = 1 if "1-based" in str(document.get("coords", "")) else 0
    images, unreadable = usable(
        (name, _image(folder, name, entries[name], shift, f"{path}, {name}")) for name in sorted(entries)
    )
    return AnnotatedSet(
        name=folder.resolve().name,
        form=FORM,
        protocol=_protocol(folder, document, images),
        folder=folder / "images",
        keypoints=tuple(map(str, keypoints)),
        mirrored=mirrored_by_name([str(name) for name in keypoints]),
        images=tuple(images),
        pairs=numbered_pairs(images, _pairs(document, entries, path)),
        unreadable=unreadable,
    )


def _image(folder: Path, name: str, entry: Any, shift: int, where: str) -> AnnotatedImage:
    if not isinstance(entry, dict) or not isinstance(entry.get("points"), list):
        raise CongealError(f'{where}: must have "size", "bbox" and "points"')
    width, height = numbers(entry.get("size"), 2, f"{where}: size")
    box = entry.get("bbox")
    mask = below(folder / "masks", name).with_suffix(".png")
    return AnnotatedImage(
        name=name,
        path=below(folder / "images", name),
        frame=Frame(int(width), int(height)),
        points=points(entry["points"], f"{where}: a point") - shift,
        box=None if box is None else _box(numbers(box, 4, f"{where}: bbox"), shift),
        mask=mask if mask.is_file() else None,
    )


def _box(box: tuple[float, ...], shift: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (value - shift for value in box)
    return x0, y0, x1, y1


def _pairs(document: dict[str, Any], entries: dict[str, Any], path: Path) -> list[tuple[str, str]]:
    pairs = document.get("pairs") or []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(name in entries for name in pair):
            raise CongealError(f"{path}: the pair {str(pair)[:60]} does not name two of its images")
    return [(source, target) for source, target in pairs]


def _protocol(folder: Path, document: dict[str, Any], images: list[AnnotatedImage]) -> str:
    if isinstance(document.get("protocol"), str):
        return str(document["protocol"])
    here = folder.resolve()
    words = re.findall("[a-z]+", f"{here.parent.name} {here.name}".lower())
    for word, protocol in FAMILIES.items():
        if word in words:
            return protocol
    return "spair" if all(image.box is not None for image in images) else "pf-willow"
