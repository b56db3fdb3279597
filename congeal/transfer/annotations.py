"""What a person marks on an image, whatever format it comes from or goes to.

Coordinates are pixels of the original image as everywhere: (0, 0) is the centre of the top-left pixel, so
the image covers [-0.5, width - 0.5] x [-0.5, height - 0.5]. Formats that count otherwise are converted.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles, Flags

# Which of the things of a kind that an image shows: all of them, the first, or the one that it is.
Instances = Literal["every", "first", "own"]
EVERY: Instances = "every"
FIRST: Instances = "first"
OWN: Instances = "own"


@dataclass(frozen=True)
class Annotation:
    """One thing marked on one image: any of keypoints, outline, box and mask.

    Attributes:
        image: the image's id, or its path relative to the source.
        category: what the thing is called.
        keypoints: float64 [k, 2]; NaN for one that is hidden or unknown. None: there are none.
        keypoint_names: k names, or empty.
        keypoint_confidence: float64 [k] in [0, 1]; None: a person has marked them.
        polygons: closed outlines, float64 [m, 2] each, without the first point repeated; together, one thing.
        box: left, top, right, bottom of the thing's edges.
        mask: bool [height, width] of the original image.
        confidence: 0 to 1; 1 for what a person has marked.
        origin: the images that the marks come from; empty: this one.
        category_id: tells categories of one name apart; None: the name does.
        crowd: many things in one outline, as COCO's iscrowd.
        place: which thing of its category it is on its image, from 0; None: the next.
        deformation: of the maps it was carried by, "rigid", "flow" or "guided"; empty: it was not carried.
        instances: where an image shows several of the kind it is carried to "every" one of them, to the
            "first", or to its "own": it is an individual that images have once, and is told by its look.
    """

    image: str
    category: str
    keypoints: Doubles | None = None
    keypoint_names: Sequence[str] = ()
    keypoint_confidence: Doubles | None = None
    polygons: Sequence[Doubles] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Flags | None = None
    confidence: float = 1.0
    origin: Sequence[str] = ()
    category_id: int | str | None = None
    crowd: bool = False
    place: int | None = None
    deformation: str = ""
    instances: Instances = EVERY

    @property
    def kind(self) -> tuple[Hashable, ...]:
        """What it shares with annotations of the same kind of thing."""
        return self.category, self.category_id, self.crowd

    @property
    def empty(self) -> bool:
        """True if it marks nothing."""
        return self.keypoints is None and self.box is None and self.mask is None and not len(self.polygons)


def together(annotations: Sequence[Annotation]) -> list[list[Annotation]]:
    """Annotations of several images that mean the same thing, in the order of their first appearance.

    On every image, the first thing of a category belongs with the first of that category on the others, the
    second with the second, and so on.

    Raises CongealError if they have different numbers of keypoints.
    """
    groups: dict[tuple[Hashable, ...], list[Annotation]] = {}
    seen: dict[tuple[Hashable, ...], int] = {}
    for annotation in annotations:
        counter = (annotation.image, *annotation.kind)
        place = seen.get(counter, 0) if annotation.place is None else annotation.place
        seen[counter] = max(place + 1, seen.get(counter, 0))
        groups.setdefault((*annotation.kind, place), []).append(annotation)
    for group in groups.values():
        counts = {len(one.keypoints): one for one in group if one.keypoints is not None}
        if len(counts) > 1:
            (few, first), (many, second) = sorted(counts.items(), key=lambda item: item[0])[:2]
            raise CongealError(
                f"{first.category!r} has {few} keypoints on {first.image} and {many} on {second.image}, "
                "not as many"
            )
    return list(groups.values())
