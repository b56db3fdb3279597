"""Zarr groups of backbone features: `features.zarr`, `position.zarr` and `targets.zarr`."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from congeal.results.schema.zarr_arrays import PLAIN, SHARE, ZarrArray, ZarrGroup, described

# ---- features.zarr: what the backbone computes of a shard of images ----

_CELLS = ("row", "column")


def _dense(name: str, about: str, turned: bool, optional: bool) -> tuple[ZarrArray, ZarrArray]:
    """Features and saliency of the same views of the images."""
    images = ("image", "turn") if turned else ("image",)
    return (
        ZarrArray(
            f"features{name}", "float16", (*images, *_CELLS, "channel"), PLAIN,
            f"the backbone's features of {about}", by_image=True, optional=optional,
        ),
        ZarrArray(
            f"saliency{name}", "float16", (*images, *_CELLS), SHARE,
            f"how much a cell stands out, by the backbone's attention, in {about}",
            by_image=True, optional=optional,
        ),
    )  # fmt: skip


FEATURES, SALIENCY = _dense("", "the image", turned=False, optional=False)
FEATURES_MIRRORED, SALIENCY_MIRRORED = _dense(
    "_mirrored", "the image mirrored left to right, in its own frame", turned=False, optional=True
)
FEATURES_TURNED, SALIENCY_TURNED = _dense(
    "_turned", "the image turned by 1 to 7 eighths of a full turn", turned=True, optional=True
)
FEATURES_TURNED_MIRRORED, SALIENCY_TURNED_MIRRORED = _dense(
    "_turned_mirrored", "the image turned, then mirrored left to right", turned=True, optional=True
)
EMBEDDING = ZarrArray(
    "embedding", "float32", ("image", "embedding_channel"), PLAIN,
    "one vector of the whole image, of unit length", by_image=True,
)  # fmt: skip

PREVIEW = ZarrArray(
    "preview", "uint8", ("image", "preview_row", "preview_column", "rgb"), "0 to 255, sRGB",
    "the square frame around the image, as the pictures of its cluster show it; zeros: there is none",
    by_image=True, optional=True,
)  # fmt: skip


class FeatureAttributes(TypedDict):
    """Attributes of `features.zarr`."""

    coordinates: Annotated[str, "what rows, columns and the other views are"]
    image_ids: Annotated[list[str], "ids of the images, in the arrays' order"]
    image_size: Annotated[int, "side of the square that the backbone was shown, pixels"]
    extent: Annotated[float, "the cells cover [-extent, extent]^2 of the frame"]
    backbone: Annotated[str, "timm's name of the backbone"]
    weights_fingerprint: Annotated[str, "digest of the backbone's weights"]
    layer: Annotated[int, "block that the features were taken from"]
    facet: Annotated[str, "what of the block: token, key, query or value"]
    taps: Annotated[list[tuple[str, int]], "each part of the channels and its size, in order"]
    stride: Annotated[int, "pixels between neighbouring cells"]
    precision: Annotated[str, "arithmetic of the backbone"]
    engine: NotRequired[Annotated[str, "what computed them, if it was not PyTorch"]]


FEATURE_COORDINATES = (
    "row, column: cells of the square frame around the image (edge-padded, centred), y down; cells cover "
    "[-extent, extent]^2 of the frame [-1, 1]^2, cell centres as in align_corners=False; features_mirrored: "
    "what the backbone sees in the mirrored image, in that image's own frame; features_turned: in the image "
    "turned by 1 to 7 eighths of a full turn against the clock, in that image's own frame"
)
FEATURE_GROUP = ZarrGroup(
    "features.zarr",
    "What the backbone computes of some images: a unit of the stage features. NaN: it could not be read.",
    (
        FEATURES, SALIENCY, FEATURES_MIRRORED, SALIENCY_MIRRORED,
        FEATURES_TURNED, SALIENCY_TURNED, FEATURES_TURNED_MIRRORED, SALIENCY_TURNED_MIRRORED,
        EMBEDDING, PREVIEW,
    ),
    described(FeatureAttributes),
)  # fmt: skip


def dense_arrays(turned: bool, mirrored: bool) -> tuple[ZarrArray, ZarrArray]:
    """Features and saliency of one kind of view of the images."""
    if turned:
        return (
            (FEATURES_TURNED_MIRRORED, SALIENCY_TURNED_MIRRORED)
            if mirrored
            else (FEATURES_TURNED, SALIENCY_TURNED)
        )
    return (FEATURES_MIRRORED, SALIENCY_MIRRORED) if mirrored else (FEATURES, SALIENCY)


# ---- position.zarr: the part of a backbone's features that depends on position alone ----

DIRECTIONS = ZarrArray(
    "directions", "float32", ("direction", "channel"), PLAIN,
    "directions in the features that tell position, not content; orthonormal rows",
)  # fmt: skip
BLANK = ZarrArray(
    "blank", "float32", ("part",), PLAIN,
    "contrast of the features of images without content, for each part of the channels",
)  # fmt: skip


class PositionAttributes(TypedDict):
    """Attributes of `position.zarr`."""

    backbone: Annotated[str, "timm's name of the backbone"]
    weights_fingerprint: Annotated[str, "digest of the backbone's weights"]


POSITION_GROUP = ZarrGroup(
    "position.zarr",
    "What in a backbone's features depends on position alone: one unit of the stage features.",
    (DIRECTIONS, BLANK),
    described(PositionAttributes),
)


# ---- targets.zarr: what a student learns from ----

VIEW_PIXELS = ZarrArray(
    "pixels", "uint8", ("view", "pixels_0", "pixels_1", "pixels_2"), "0 to 255",
    "row, column and colour of a view, at the student's size",
)  # fmt: skip
VIEW_FEATURES = ZarrArray(
    "features", "float16", ("view", "features_0", "features_1", "features_2"), PLAIN,
    "row, column and channel of the teacher's features of the view",
)  # fmt: skip
VIEW_EMBEDDING = ZarrArray(
    "embedding", "float16", ("view", "embedding_0"), PLAIN, "the teacher's embedding of the view"
)
VIEW_SALIENCY = ZarrArray(
    "saliency", "float16", ("view", "saliency_0", "saliency_1"), SHARE,
    "row and column of the teacher's saliency of the view",
)  # fmt: skip


class TargetAttributes(TypedDict):
    """Attributes of `targets.zarr`."""

    kind: Annotated[str, "views: to train on; held: to measure on"]
    grid: Annotated[int, "cells a side"]
    teacher: Annotated[str, "timm's name of the teacher"]


TARGET_GROUP = ZarrGroup(
    "targets.zarr",
    "Views of images and what the teacher computes of them: a unit of `congeal distill`.",
    (VIEW_PIXELS, VIEW_FEATURES, VIEW_EMBEDDING, VIEW_SALIENCY),
    described(TargetAttributes),
)
