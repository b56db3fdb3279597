"""What a published run of an annotated set is worth: its own maps, and the baselines on its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from congeal.errors import CongealError
from congeal.evaluation.cycle_consistency import cycle_pck
from congeal.evaluation.datasets import AnnotatedSet
from congeal.evaluation.datasets.files import other_size
from congeal.evaluation.pck import (
    Annotated,
    Assured,
    Outcomes,
    Renaming,
    carry,
    identity,
    nearest_neighbour,
    unsure,
)
from congeal.evaluation.protocols import Protocol, View, pairs_of
from congeal.evaluation.saliency_iou import saliency_iou
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import decode
from congeal.results.collection import Collection
from congeal.transfer.points import Maps, transfer
from infra.storage.location import Location
from tasks.atlases.cluster_members import Member, read_features

CYCLES = (2, 3)


@dataclass(frozen=True)
class Asked:
    """What is measured, and how.

    Attributes:
        annotated: the set.
        protocol: how it is shown and counted.
        shown: its images under the protocol.
        alphas: thresholds; what is broken down, is by the first one.
    """

    annotated: AnnotatedSet
    protocol: Protocol
    shown: list[View]
    alphas: tuple[float, ...]


@dataclass(frozen=True)
class Method:
    """What one way of carrying points came to.

    Attributes:
        outcomes: every point that was carried.
        cycles: k-cycle PCK in percent for each threshold, by k; None where no cycle has a visible point.
    """

    outcomes: Outcomes
    cycles: dict[int, list[float] | None]


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        seed: of the run.
        collection: what it has published.
        used: the images that have maps.
        pairs: the pairs of positions in `used` that count.
        method: the published maps; None if the set has no keypoints.
        iou: of the masks, by image name.
    """

    seed: int
    collection: Collection
    used: list[View]
    pairs: list[tuple[int, int]]
    method: Method | None
    iou: dict[str, float]

    @property
    def images(self) -> list[Annotated]:
        """The keypoints of the images in `used`."""
        return [view.measured for view in self.used]


def measure(asked: Asked, place: Location, seed: int, left_out: dict[str, str]) -> Measured:
    """Measure what is published at a place; images without maps are named, with the reason, in left_out.

    Raises CongealError if fewer than two images have maps, or a mask does not fit its image.
    """
    collection = Collection(place)
    positions = _usable(asked.shown, collection, left_out)
    if len(positions) < 2:
        reasons = ", ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise CongealError(f"fewer than two images of {asked.annotated.name} can be measured ({reasons})")
    at = {position: index for index, position in enumerate(positions)}
    used = [asked.shown[position] for position in positions]
    named = pairs_of(asked.annotated, asked.protocol, asked.shown)
    pairs = [(at[source], at[target]) for source, target in named if source in at and target in at]
    maps = [collection.maps(view.name) for view in used]
    method = None
    if asked.annotated.keypoints:
        renaming = _renaming(asked, used, collection)
        carried = _through(maps)
        method = _method(asked, [view.measured for view in used], carried, pairs, renaming, seed)
    return Measured(seed, collection, used, pairs, method, _masks(used, maps, collection))


def baselines(asked: Asked, run: Measured) -> dict[str, Method]:
    """Identity, and nearest neighbour on the stored features, for the same images and pairs."""
    if run.method is None:
        return {}
    columns = ["image_id", "features_unit", "features_row", "width", "height"]
    table = run.collection.images.set_index("uri").loc[[view.name for view in run.used], columns]
    members = [
        Member(image_id, "member", unit, int(row), int(width), int(height))
        for image_id, unit, row, width, height in table.itertuples(index=False)
    ]
    dense = read_features(run.collection.place, members)
    images = run.images
    ways = {
        "identity": identity(images),
        "nearest_neighbour": nearest_neighbour(images, dense.features, dense.extent),
    }
    return {
        name: _method(asked, images, unsure(way), run.pairs, None, run.seed) for name, way in ways.items()
    }


def _usable(shown: Sequence[View], collection: Collection, left_out: dict[str, str]) -> list[int]:
    table = collection.images.set_index("uri")
    positions: list[int] = []
    for position, view in enumerate(shown):
        name, frame = view.image.name, view.measured.frame
        if view.name not in table.index:
            left_out.setdefault(name, "the run has not seen it")
            continue
        row: Any = table.loc[view.name]  # as pandas' stubs have it, nothing is ever missing
        if row["status"] == "failed" or pd.isna(row["cluster_id"]):
            left_out[name] = "it has no cluster" if pd.isna(row["error"]) else str(row["error"])
        elif (row["width"], row["height"]) != (frame.width, frame.height):
            left_out[name] = other_size(Frame(int(row["width"]), int(row["height"])), frame)
        else:
            positions.append(position)
    return positions


def _renaming(asked: Asked, used: Sequence[View], collection: Collection) -> Renaming | None:
    rule = asked.protocol.exchange
    if rule == "never":
        return None
    ids = collection.images.set_index("uri").loc[[view.name for view in used], "image_id"]
    first = collection.table("alignments", columns=["image_id", "mirrored", "instance_id"])
    first = first[first["instance_id"].fillna(0) == 0].set_index("image_id")
    mirrored = first["mirrored"].loc[ids].to_numpy(bool)
    listed = asked.protocol.pairs == "listed" and asked.annotated.pairs is not None
    return Renaming(mirrored, asked.annotated.mirrored, early=rule == "paper", by_pair=listed)


def _through(maps: Sequence[Maps]) -> Assured:
    def carried(source: int, target: int, points: Doubles) -> tuple[Doubles, Doubles]:
        # A few hand-set marks lie a hair beyond the picture; transfer refuses those, so they are drawn in.
        frame = maps[source].frame
        inside = np.clip(points, -0.5, [frame.width - 0.5, frame.height - 0.5])
        moved = transfer(inside, maps[source], maps[target])
        return moved.xy, moved.confidence

    return carried


def _method(
    asked: Asked,
    images: Sequence[Annotated],
    way: Assured,
    pairs: Sequence[tuple[int, int]],
    renaming: Renaming | None,
    seed: int,
) -> Method:
    def bare(source: int, target: int, points: Doubles) -> Doubles:
        return way(source, target, points)[0]

    cycles = {length: cycle_pck(images, bare, length, asked.alphas, seed) for length in CYCLES}
    return Method(carry(images, way, pairs, renaming), cycles)


def _masks(used: Sequence[View], maps: Sequence[Maps], collection: Collection) -> dict[str, float]:
    masked = [
        (view, map_, view.image.mask)
        for view, map_ in zip(used, maps, strict=True)
        if view.image.mask is not None
    ]
    if not masked:
        return {}
    saliency = collection.atlas(collection.clusters["cluster_id"].iloc[0]).saliency
    found = {}
    for view, map_, path in masked:
        frame = view.image.frame
        mask = decode(path.read_bytes())[..., 0]
        if mask.shape != (frame.height, frame.width):
            raise CongealError(
                f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels, and its image {frame.width} x "
                f"{frame.height}"
            )
        corner = (0, 0) if view.crop is None else (view.crop.left, view.crop.top)
        found[view.image.name] = saliency_iou(saliency, map_, mask, corner)
    return found
