"""The Zarr group of a cluster: its atlas, the dense maps and the poses of its images (`atlas.zarr`)."""

from __future__ import annotations

from typing import Annotated, TypedDict

from congeal.results.schema.zarr_arrays import (
    ATLAS_UNITS,
    FRAME_UNITS,
    PIXELS,
    PLAIN,
    SHARE,
    ZarrArray,
    ZarrGroup,
    described,
)

_OF_ATLAS = "v (down) and u (right) of the atlas"
_ATLAS_CELLS = "image, v and u of the atlas"
_FRAME_CELLS = "image, row and column of the frame"

# ---- atlas/: the template ----

ATLAS_FEATURES = ZarrArray(
    "atlas/features", "float16", ("v", "u", "channel"), PLAIN,
    "the members' features, averaged in place", f"{_OF_ATLAS}; then channel",
)  # fmt: skip
ATLAS_SALIENCY = ZarrArray(
    "atlas/saliency", "float32", ("v", "u"), SHARE,
    "how much a cell belongs to what the members have in common", _OF_ATLAS,
)  # fmt: skip
ATLAS_CONFIDENCE = ZarrArray(
    "atlas/confidence", "float32", ("v", "u"), SHARE, "mean of maps/forward_confidence over the images",
    _OF_ATLAS,
)  # fmt: skip
ATLAS_AVERAGE = ZarrArray(
    "atlas/average", "uint8", ("row", "column", "rgb"), "0 to 255",
    "average of the aligned images; absent where no image could be shown",
    "row and column over the atlas; then red, green, blue", optional=True,
)  # fmt: skip
ATLAS_MEAN = ZarrArray(
    "atlas/mean", "float32", ("channel",), PLAIN, "mean of the features, taken away before they are compared"
)
ATLAS_PROJECTION = ZarrArray(
    "atlas/projection", "float32", ("channel", "component"), PLAIN, "basis in which features are compared"
)
ATLAS_DISCRIMINANT = ZarrArray(
    "atlas/discriminant", "float32", ("weight",), PLAIN,
    "direction and offset that tell the common object from the background",
)  # fmt: skip
EXEMPLAR_FEATURES = ZarrArray(
    "atlas/exemplars/features", "float16", ("exemplar", "token", "component"), PLAIN,
    "salient tokens of some members, of unit length, in the basis of the atlas",
)  # fmt: skip
EXEMPLAR_PLACES = ZarrArray(
    "atlas/exemplars/places",
    "float32",
    ("exemplar", "token", "uv"),
    ATLAS_UNITS,
    "where they lie in the atlas",
)
EXEMPLAR_WEIGHT = ZarrArray(
    "atlas/exemplars/weight", "float32", ("exemplar", "token"), SHARE, "their saliency; 0 marks padding"
)

# ---- maps/: every image's dense maps ----

FORWARD = ZarrArray(
    "maps/forward", "float32", ("image", "v", "u", "xy"), PIXELS,
    "where each cell of the atlas is in the image",
    f"{_ATLAS_CELLS}; then x (right), y (down)", by_image=True,
)  # fmt: skip
FORWARD_CONFIDENCE = ZarrArray(
    "maps/forward_confidence", "float16", ("image", "v", "u"), SHARE, "how sure maps/forward is",
    _ATLAS_CELLS, by_image=True,
)  # fmt: skip
BACKWARD = ZarrArray(
    "maps/backward", "float32", ("image", "row", "column", "uv"), ATLAS_UNITS,
    "where each cell of the image's frame is in the atlas", f"{_FRAME_CELLS}; then u, v", by_image=True,
)  # fmt: skip
BACKWARD_CONFIDENCE = ZarrArray(
    "maps/backward_confidence", "float16", ("image", "row", "column"), SHARE, "how sure maps/backward is",
    _FRAME_CELLS, by_image=True,
)  # fmt: skip

# ---- poses/: the similarity from atlas to frame, of every image ----

MIRRORED = ZarrArray(
    "poses/mirrored",
    "bool",
    ("image",),
    "true or false",
    "whether the image shows the mirrored atlas",
    "image",
)
ROTATION = ZarrArray(
    "poses/rotation", "float32", ("image",), "radian", "rotation, clockwise on screen (y down)", "image"
)
SCALE = ZarrArray("poses/scale", "float32", ("image",), "1", "scale", "image")
TRANSLATION = ZarrArray(
    "poses/translation", "float32", ("image", "uv"), FRAME_UNITS, "translation",
    "image; then u (right), v (down)",
)  # fmt: skip
SUPPORT = ZarrArray(
    "poses/support", "float32", ("image",), SHARE,
    "share of the evidence from other images that agrees with the image's pose",
)  # fmt: skip


class AtlasAttributes(TypedDict):
    """Attributes of `atlas.zarr`."""

    coordinates: Annotated[str, "what the maps' axes and numbers are"]
    cluster_id: Annotated[str, "the cluster"]
    status: Annotated[str, "as clusters.status"]
    evidence: Annotated[float, "matches, in tokens, that a member usually shares with an exemplar"]
    least_contrast: Annotated[float, "contrast of features below which an image counts as blank"]
    deformation: Annotated[str, "as clusters.deformation"]
    fixed_camera: Annotated[bool, "as clusters.fixed_camera"]
    match_agreement: Annotated[float | None, "as clusters.match_agreement"]
    confidence_level: Annotated[float | None, "log odds added to the evidence for a place, in its confidence"]
    mixture: Annotated[list[str], "parts of the features that are compared; empty: all"]
    weighed: Annotated[list[tuple[list[str], float]], "each mixture that was tried, and the evidence for it"]
    image_ids: Annotated[list[str], "ids of the images, in the arrays' order"]
    sizes: Annotated[list[tuple[int, int]], "width and height of each image, pixels after EXIF orientation"]
    weights_fingerprint: Annotated[str, "digest of the backbone's weights"]


COORDINATES = (
    "maps/forward: for each atlas cell (v, u), its place x, y in pixels of the original image after EXIF "
    "orientation, x right, y down, (0, 0) the centre of the top-left pixel. maps/backward: for each cell "
    "(row, column) of the square frame around the image (edge-padded, centred), its place u, v in the atlas. "
    "The atlas and the frame are the square [-1, 1]^2, cell centres as in align_corners=False"
)
# Attributes that the nested groups repeat: whoever opens one alone, as xarray does, finds what it needs.
ALL_NESTED = ("coordinates", "cluster_id")
OF_IMAGES = (*ALL_NESTED, "image_ids", "sizes")
NESTED = {"atlas": ALL_NESTED, "atlas/exemplars": ALL_NESTED, "maps": OF_IMAGES, "poses": OF_IMAGES}

EXEMPLARS = (EXEMPLAR_FEATURES, EXEMPLAR_PLACES, EXEMPLAR_WEIGHT)
# What the solver's `Atlas` holds, by the names of its fields.
TEMPLATE = (ATLAS_FEATURES, ATLAS_SALIENCY, ATLAS_MEAN, ATLAS_PROJECTION, ATLAS_DISCRIMINANT)
MAPS = (FORWARD, FORWARD_CONFIDENCE, BACKWARD, BACKWARD_CONFIDENCE)
POSES = (MIRRORED, ROTATION, SCALE, TRANSLATION, SUPPORT)
ATLAS_GROUP = ZarrGroup(
    "atlas.zarr",
    "The atlas of a cluster, and the maps and poses of its images: a unit of the stage atlases.",
    (*TEMPLATE, *EXEMPLARS, ATLAS_CONFIDENCE, ATLAS_AVERAGE, *MAPS, *POSES),
    described(AtlasAttributes),
)


# ---- instances.zarr: beside an atlas, what its images show of the kind besides the first ----

INSTANCE_IDS = ZarrArray(
    "instances", "int32", ("image",), "1, from 1 on", "which instance of its image this is", "instance"
)


class InstancesAttributes(TypedDict):
    """Attributes of `instances.zarr`."""

    coordinates: Annotated[str, "what the maps' axes and numbers are"]
    cluster_id: Annotated[str, "the cluster"]
    image_ids: Annotated[list[str], "id of the image that each is in, in the arrays' order"]
    sizes: Annotated[list[tuple[int, int]], "width and height of that image, pixels after EXIF orientation"]


INSTANCES_GROUP = ZarrGroup(
    "instances.zarr",
    "Beside the atlas of a cluster some of whose images show several of the kind: maps and poses of those "
    "besides the first, as if each were an image. The axis called image goes over them.",
    (INSTANCE_IDS, *MAPS, *POSES),
    described(InstancesAttributes),
)


# ---- first_look.zarr: beside an atlas that is of windows of the images ----

WINDOWS = ZarrArray(
    "windows", "float32", ("image", "uvh"), FRAME_UNITS,
    "the square of each image that was looked at a second time",
    "image; then u (right) and v (down) of its middle, half its side",
)  # fmt: skip


class FirstLookAttributes(TypedDict):
    """Attributes of `first_look.zarr`."""

    cluster_id: Annotated[str, "the cluster"]
    status: Annotated[str, "as clusters.status, of the first look"]
    evidence: Annotated[float, "matches, in tokens, that a member usually shares with an exemplar"]
    least_contrast: Annotated[float, "contrast of features below which an image counts as blank"]
    deformation: Annotated[str, "as clusters.deformation, of the first look"]
    confidence_level: Annotated[float | None, "as of `atlas.zarr`"]
    mixture: Annotated[list[str], "parts of the features that are compared; empty: all"]
    weighed: Annotated[list[tuple[list[str], float]], "each mixture that was tried, and the evidence for it"]
    image_ids: Annotated[list[str], "ids of the images, in the arrays' order"]


FIRST_LOOK_GROUP = ZarrGroup(
    "first_look.zarr",
    "Beside the atlas of a cluster whose maps come from a second look at windows of its images: the windows, "
    "and the atlas of the whole frames, by which newcomers are found.",
    (*TEMPLATE, *EXEMPLARS, WINDOWS),
    described(FirstLookAttributes),
)
