"""How an atlas and the maps of its images are stored, and how they are read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.alignment.model import FAILED, SALIENT
from congeal.results.schema.parquet_files import dataset, encode_table
from congeal.results.schema.tables import ALIGNMENTS
from infra.errors import DamagedError
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group
from tasks.atlases.cluster_members import Member
from tasks.clusters.cluster_roles import MEMBER, NEWCOMER

if TYPE_CHECKING:
    from congeal.alignment.model import Alignment, Atlas

GROUP = "atlas.zarr"
TABLE = "alignment.parquet"
COORDINATES = (
    "maps/forward: for each atlas cell (v, u), its place x, y in pixels of the original image after EXIF "
    "orientation, x right, y down, (0, 0) the centre of the top-left pixel. maps/backward: for each cell "
    "(row, column) of the square frame around the image (edge-padded, centred), its place u, v in the atlas. "
    "The atlas and the frame are the square [-1, 1]^2, cell centres as in align_corners=False"
)
ATLAS = {
    "features": (np.float16, ("v", "u", "channel")),
    "saliency": (np.float32, ("v", "u")),
    "mean": (np.float32, ("channel",)),
    "projection": (np.float32, ("channel", "component")),
    "discriminant": (np.float32, ("weight",)),
    "exemplars/features": (np.float16, ("exemplar", "token", "component")),
    "exemplars/places": (np.float32, ("exemplar", "token", "uv")),
    "exemplars/weight": (np.float32, ("exemplar", "token")),
}
IMAGES = {
    "maps/forward": (np.float32, ("image", "v", "u", "xy")),
    "maps/forward_confidence": (np.float16, ("image", "v", "u")),
    "maps/backward": (np.float32, ("image", "row", "column", "uv")),
    "maps/backward_confidence": (np.float16, ("image", "row", "column")),
    "poses/mirrored": (np.bool_, ("image",)),
    "poses/rotation": (np.float32, ("image",)),
    "poses/scale": (np.float32, ("image",)),
    "poses/translation": (np.float32, ("image", "uv")),
    "poses/support": (np.float32, ("image",)),
}
PIXELS = "pixels of the original image"
ATLAS_UNITS = "atlas units: the atlas is the square [-1, 1]^2"
FRAME_UNITS = "frame units: the square frame around the image is [-1, 1]^2"
# What the numbers of an array are, and what its last axis goes over; each array says so itself.
ABOUT = {
    "maps/forward": {"units": PIXELS, "axes": "image, v and u of the atlas; then x (right), y (down)"},
    "maps/forward_confidence": {"units": "1, from 0 to 1", "axes": "image, v and u of the atlas"},
    "maps/backward": {"units": ATLAS_UNITS, "axes": "image, row and column of the frame; then u, v"},
    "maps/backward_confidence": {"units": "1, from 0 to 1", "axes": "image, row and column of the frame"},
    "poses/mirrored": {"units": "true or false", "axes": "image"},
    "poses/rotation": {"units": "radian", "axes": "image"},
    "poses/scale": {"units": "1", "axes": "image"},
    "poses/translation": {"units": FRAME_UNITS, "axes": "image; then u (right), v (down)"},
    "atlas/saliency": {"units": "1, from 0 to 1", "axes": "v (down) and u (right) of the atlas"},
    "atlas/confidence": {"units": "1, from 0 to 1", "axes": "v (down) and u (right) of the atlas"},
    "atlas/features": {"units": "1", "axes": "v (down) and u (right) of the atlas; then channel"},
    "atlas/average": {"units": "0 to 255", "axes": "row and column over the atlas; then red, green, blue"},
}
FIGURES = ("residual", "cycle_error", "fold_fraction", "coverage", "outlier", "outlier_reason")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Stored:
    """An atlas with n images, as it is stored.

    Attributes:
        status, margin: of the solution.
        medoid: image id.
        atlas: the template.
        members: the images.
        images: what IMAGES names, [n, …]; maps/forward in pixels of each image.
        figures: what FIGURES names of each image, as in the table of alignments.
    """

    status: str
    margin: float
    medoid: str
    atlas: Atlas
    members: Sequence[Member]
    images: Arrays
    figures: Arrays

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """bool [n]: the images that fit the atlas."""
        return ~np.asarray(self.figures["outlier"], bool)


def as_stored(members: Sequence[Member], aligned: Alignment) -> Stored:
    """A solution, or images fitted to an atlas, in the form in which they are stored."""
    from congeal.geometry.frames import Frame

    fields = zip(members, aligned.forward, strict=True)
    arrays = {
        **{f"maps/{name}": getattr(aligned, name) for name in ("backward", "backward_confidence")},
        "maps/forward": np.stack([Frame(m.width, m.height).to_pixels(field) for m, field in fields]),
        "maps/forward_confidence": aligned.forward_confidence,
        **{
            f"poses/{name}": getattr(aligned, name)
            for name in ("mirrored", "rotation", "scale", "translation", "support")
        },
    }
    return with_cycle_error(
        Stored(
            status=aligned.status,
            margin=aligned.margin,
            medoid=members[aligned.medoid].image_id,
            atlas=aligned.atlas,
            members=members,
            images={name: arrays[name].astype(kind) for name, (kind, _) in IMAGES.items()},
            figures={name: np.asarray(getattr(aligned, name)) for name in FIGURES},
        )
    )


def with_cycle_error(stored: Stored) -> Stored:
    """The same, its cycle errors those of the maps as they are stored, whoever made them and when."""
    from congeal.geometry.frames import Frame
    from congeal.transfer.forward_backward_error import forward_backward_error

    pixels = stored.images["maps/forward"].astype(np.float64)
    fields = zip(stored.members, pixels, strict=True)
    forward = np.stack([Frame(m.width, m.height).to_frame(field) for m, field in fields])
    found = forward_backward_error(forward, stored.images["maps/backward"], stored.atlas.saliency, SALIENT)
    return replace(stored, figures={**stored.figures, "cycle_error": found})


def encode(
    stored: Stored, cluster_id: str, weights: str, average: npt.NDArray[np.uint8] | None
) -> dict[str, bytes]:
    """The group and the table, by path. weights: fingerprint. average: the images' pictures averaged."""
    arrays = {
        f"atlas/{name}": (_part(stored.atlas, name).astype(kind), dims)
        for name, (kind, dims) in ATLAS.items()
    }
    sure = stored.images["maps/forward_confidence"].mean(axis=0, dtype=np.float32)
    arrays["atlas/confidence"] = (sure, ("v", "u"))
    if average is not None:
        arrays["atlas/average"] = (average, ("row", "column", "rgb"))
    arrays |= {name: (stored.images[name], dims) for name, (_, dims) in IMAGES.items()}
    specs = {}
    for name, (data, dims) in arrays.items():
        # A reader wants the maps of one image, and the whole of everything else.
        chunks = (1, *data.shape[1:]) if name.startswith("maps/") else None
        specs[name] = ArraySpec(data, dims=dims, chunks=chunks, attributes=ABOUT.get(name, {}))
    attributes = {
        "coordinates": COORDINATES,
        "cluster_id": cluster_id,
        "status": stored.status,
        "evidence": stored.atlas.evidence,
        "least_contrast": stored.atlas.least_contrast,
        "deformation": stored.atlas.deformation,
        "mixture": list(stored.atlas.mixture),
        "weighed": [[list(one), share] for one, share in stored.atlas.weighed.items()],
        "image_ids": [member.image_id for member in stored.members],
        "sizes": [[member.width, member.height] for member in stored.members],
        "weights_fingerprint": weights,
    }
    # Who opens a nested group alone, as xarray does, finds there what its axes and numbers are.
    own = {name: attributes[name] for name in ("coordinates", "cluster_id")}
    by_image = own | {name: attributes[name] for name in ("image_ids", "sizes")}
    within = {"atlas": own, "atlas/exemplars": own, "maps": by_image, "poses": by_image}
    group = encode_group(specs, attributes=attributes, within=within)
    return {
        **{f"{GROUP}/{path}": data for path, data in group.items()},
        TABLE: encode_table(_rows(stored, cluster_id), ALIGNMENTS),
    }


def failed(
    members: Sequence[Member], cluster_id: str, reason: str
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The table alone, by path, of a cluster whose atlas could not be made, and what is said of it."""
    n, roles = len(members), [member.role for member in members]
    columns: dict[str, Any] = {
        "image_id": [member.image_id for member in members],
        "cluster_id": [cluster_id] * n,
        "role": roles,
        "outlier": [True] * n,
        "outlier_reason": [f"its cluster has no atlas: {reason}"] * n,
    }
    arrays = [pa.array(columns.get(field.name, [None] * n), field.type) for field in ALIGNMENTS]
    table = pa.Table.from_arrays(arrays, names=ALIGNMENTS.names).sort_by("image_id")
    figures = ("drift", "residual", "cycle_error", "fold_fraction", "coverage", "confidence", "margin")
    record = {
        "cluster_id": cluster_id,
        "status": FAILED,
        "error": reason,
        "n_images": n,
        "n_members": roles.count(MEMBER),
        "n_outliers": n,
        "n_new": roles.count(NEWCOMER),
        "medoid_image_id": members[0].image_id,
        **dict.fromkeys(figures),
    }
    return {TABLE: encode_table(table, ALIGNMENTS)}, record


def read(place: Location, margin: float | None, medoid: str) -> Stored:
    """What `encode` has written at a place. margin, medoid: as in the unit's record.

    Raises DamagedError if the parts do not fit each other.
    """
    group: Any = open_group(place / GROUP)
    ids, sizes = list(group.attrs["image_ids"]), group.attrs["sizes"]
    table = {row["image_id"]: row for row in dataset([place / TABLE], ALIGNMENTS).to_table().to_pylist()}
    images = {name: np.asarray(group[name][:]) for name in IMAGES}
    if set(ids) != set(table) or any(len(data) != len(ids) for data in images.values()):
        raise DamagedError(f"The parts of {place} do not fit each other: delete the unit and run again.")
    members = [
        Member(name, table[name]["role"], "", 0, int(width), int(height))
        for name, (width, height) in zip(ids, sizes, strict=True)
    ]
    kinds = {"outlier": bool, "outlier_reason": object}
    return Stored(
        status=str(group.attrs["status"]),
        margin=float("nan") if margin is None else margin,
        medoid=medoid,
        atlas=_read_atlas(group),
        members=members,
        images=images,
        figures={
            name: np.array([table[one][name] for one in ids], kinds.get(name, np.float32)) for name in FIGURES
        },
    )


def _part(atlas: Atlas, name: str) -> npt.NDArray[Any]:
    parent, _, leaf = name.rpartition("/")
    found: npt.NDArray[Any] = getattr(getattr(atlas, parent) if parent else atlas, leaf)
    return found


def _read_atlas(group: Any) -> Atlas:
    from congeal.alignment.model import Atlas, Exemplars

    arrays: dict[str, Any] = {name: np.asarray(group[f"atlas/{name}"][:]) for name in ATLAS}
    exemplars = {name.partition("/")[2]: arrays.pop(name) for name in ATLAS if name.startswith("exemplars/")}
    return Atlas(
        **arrays,
        exemplars=Exemplars(**exemplars),
        evidence=float(group.attrs["evidence"]),
        status=str(group.attrs["status"]),
        least_contrast=float(group.attrs["least_contrast"]),
        deformation=str(group.attrs["deformation"]),
        mixture=tuple(group.attrs["mixture"]),
        weighed={tuple(one): float(share) for one, share in group.attrs["weighed"]},
    )


def _rows(stored: Stored, cluster_id: str) -> pa.Table:
    shift = stored.images["poses/translation"]
    columns: dict[str, Any] = {
        "image_id": [member.image_id for member in stored.members],
        "cluster_id": [cluster_id] * len(stored.members),
        "role": [member.role for member in stored.members],
        **{name: stored.images[f"poses/{name}"] for name in ("mirrored", "rotation", "scale")},
        "translation_u": shift[:, 0],
        "translation_v": shift[:, 1],
        **{name: stored.figures[name] for name in FIGURES},
    }
    arrays = [
        pa.array(
            list(values) if name == "outlier_reason" else values,
            ALIGNMENTS.field(name).type,
            from_pandas=True,
        )
        for name, values in columns.items()
    ]
    return pa.Table.from_arrays(arrays, names=list(columns)).sort_by("image_id")


def facts(stored: Stored) -> dict[str, Any]:
    """What the table of clusters says about it."""
    good, roles = stored.good, np.array([member.role for member in stored.members])
    sure = stored.images["maps/forward_confidence"]
    return {
        "status": stored.status,
        "n_images": len(roles),
        "n_members": int((roles == MEMBER).sum()),
        "n_outliers": int((~good).sum()),
        "n_new": int((roles == NEWCOMER).sum()),
        "drift": _drift(stored, roles),
        "medoid_image_id": stored.medoid,
        **{
            name: _median(stored.figures[name], good)
            for name in ("residual", "cycle_error", "fold_fraction", "coverage")
        },
        "confidence": _median(sure.reshape(len(roles), -1).mean(axis=1, dtype=np.float64), good),
        "margin": _number(stored.margin),
        "deformation": stored.atlas.deformation,
    }


def _drift(stored: Stored, roles: npt.NDArray[np.str_]) -> float | None:
    """The newcomers' median residual over that of the images before them, of those that fit.

    Not of the members alone: they are the nearest to the medoid, and fit better than most.
    """
    residual, new = stored.figures["residual"], roles == NEWCOMER
    usual, theirs = _median(residual, ~new & stored.good), _median(residual, new)
    return None if theirs is None or not usual else _number(theirs / usual)


def _median(values: Any, chosen: Any) -> float | None:
    found = np.asarray(values, np.float64)[chosen]
    found = found[np.isfinite(found)]
    return _number(np.median(found)) if found.size else None


def _number(value: Any) -> float | None:
    # What is not finite has no place in JSON: it is not known.
    return float(np.float32(value)) if np.isfinite(value) else None
