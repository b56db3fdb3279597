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
ATLAS_BASIS = ZarrArray(
    "atlas/basis", "float32", ("basis_row", "basis_column"), PLAIN,
    "basis in which features are compared, a row a channel and a column a component; its last column is the "
    "mean that is taken away before, its last row the direction and offset that tell the common object from "
    "the background",
    "basis_row over channels, then the direction; basis_column over components, then the mean and the offset",
)  # fmt: skip
EXEMPLAR_FEATURES = ZarrArray(
    "atlas/exemplar_features", "float16", ("exemplar", "token", "component"), PLAIN,
    "salient tokens of some members, of unit length, in the basis of the atlas",
)  # fmt: skip
EXEMPLAR_PLACES = ZarrArray(
    "atlas/exemplar_places", "float32", ("exemplar", "token", "uvs"), f"{ATLAS_UNITS}; saliency from 0 to 1",
    "where they lie in the atlas, and their saliency; 0 marks padding",
    "exemplar and token; then u (right), v (down), saliency",
)  # fmt: skip

# ---- maps/: every image's dense maps ----

FORWARD = ZarrArray(
    "maps/forward", "float32", ("image", "v", "u", "xy"), PIXELS,
    "where each cell of the atlas is in the image",
    f"{_ATLAS_CELLS}; then x (right), y (down), (0, 0) the centre of the top-left pixel", by_image=True,
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

# ---- the similarity from atlas to frame, of every image ----

POSE = ZarrArray(
    "poses", "float32", ("image", "pose"),
    "mirrored: 0 or 1; rotation: radian; scale: 1; translation: frame units, the square frame around the "
    "image is [-1, 1]^2; support: 0 to 1",
    "the similarity from atlas to frame: whether the image shows the mirrored atlas, rotation (clockwise on "
    "screen, y down), scale, translation; and the share of other images' evidence that agrees with it",
    "image; then mirrored, rotation, scale, translation u (right), translation v (down), support",
)  # fmt: skip

# ---- arrays of versions 16 and before; poses are in memory as they were ----

MIRRORED = ZarrArray("poses/mirrored", "bool", ("image",), "true or false", "as in poses")
ROTATION = ZarrArray("poses/rotation", "float32", ("image",), "radian", "as in poses")
SCALE = ZarrArray("poses/scale", "float32", ("image",), PLAIN, "as in poses")
TRANSLATION = ZarrArray("poses/translation", "float32", ("image", "uv"), FRAME_UNITS, "as in poses")
SUPPORT = ZarrArray("poses/support", "float32", ("image",), SHARE, "as in poses")
POSES = (MIRRORED, ROTATION, SCALE, TRANSLATION, SUPPORT)
FORMER_AVERAGE = ZarrArray(
    "atlas/average", "uint8", ("row", "column", "rgb"), "0 to 255", "as previews/average_after.png"
)
FORMER_BASIS = (
    ZarrArray("atlas/mean", "float32", ("channel",), PLAIN, "as in atlas/basis"),
    ZarrArray("atlas/projection", "float32", ("channel", "component"), PLAIN, "as in atlas/basis"),
    ZarrArray("atlas/discriminant", "float32", ("weight",), PLAIN, "as in atlas/basis"),
)
FORMER_EXEMPLARS = (
    ZarrArray("atlas/exemplars/features", "float16", ("exemplar", "token", "component"), PLAIN, "the same"),
    ZarrArray("atlas/exemplars/places", "float32", ("exemplar", "token", "uv"), ATLAS_UNITS, "the same"),
    ZarrArray("atlas/exemplars/weight", "float32", ("exemplar", "token"), SHARE, "the same"),
)


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
NESTED = {"atlas": ALL_NESTED, "maps": OF_IMAGES}

# What the solver's `Atlas` holds; `congeal.results.stored.template` says how.
TEMPLATE = (ATLAS_FEATURES, ATLAS_SALIENCY, ATLAS_BASIS, EXEMPLAR_FEATURES, EXEMPLAR_PLACES)
MAPS = (FORWARD, FORWARD_CONFIDENCE, BACKWARD, BACKWARD_CONFIDENCE)
ATLAS_GROUP = ZarrGroup(
    "atlas.zarr",
    "The atlas of a cluster, and the maps and poses of its images: a unit of the stage atlases. Units of its "
    "version 16 and before have poses, basis, exemplars and the average image in arrays of their own, under "
    "`poses/`, `atlas/exemplars/` and `atlas/`.",
    (*TEMPLATE, ATLAS_CONFIDENCE, *MAPS, POSE),
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
    (INSTANCE_IDS, *MAPS, POSE),
    described(InstancesAttributes),
)


# ---- first_look.zarr: beside an atlas that is of windows of the images ----

WINDOWS = ZarrArray(
    "windows", "float32", ("image", "uvhtm"), FRAME_UNITS,
    "the square of each image that was looked at a second time",
    "image; then u (right) and v (down) of its middle, half its side, and of things at any "
    "angle its turn in radians, from u to v, and 1 if it shows the image mirrored",
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
    (*TEMPLATE, WINDOWS),
    described(FirstLookAttributes),
)
