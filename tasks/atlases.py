"""Atlases: a unit is one cluster, aligned, its maps in one Zarr group, its pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from infra.arrays import ArraySpec, encode_group
from infra.commits import Marker, digest
from infra.settings import Settings
from infra.tables import ALIGNMENTS, encode_table
from tasks import features, versions
from tasks.catalog import CATALOG, Catalog
from tasks.clusters import MEMBERS, SETS, Clusters
from tasks.features import Features
from tasks.members import Member, align_set, read_members
from tasks.previews import Pictures, draw
from tasks.spool import load, rows, workspace
from tasks.stage import Run, StageResult, Unit, Work, address, plan_units, run_units

if TYPE_CHECKING:
    from congeal.atlas import Alignment

STAGE = versions.ATLASES
VERSION = versions.VERSIONS[STAGE]
GROUP = "atlas.zarr"
COORDINATES = (
    "maps/forward: for each atlas cell (v, u), its place x, y in pixels of the original image after EXIF "
    "orientation, x right, y down, (0, 0) the centre of the top-left pixel. maps/backward: for each cell "
    "(row, column) of the square frame around the image (edge-padded, centred), its place u, v in the atlas. "
    "The atlas and the frame are the square [-1, 1]^2, cell centres as in align_corners=False"
)


@dataclass(frozen=True)
class Atlases:
    """The finished stage: each cluster's unit."""

    result: StageResult
    scope: str
    units: Mapping[str, str]  # cluster id -> unit


def scope(settings: Settings, features_scope: str) -> str:
    """Digest of what bears on an atlas besides its members."""
    asked, previews = settings.atlases, settings.previews
    return digest(
        STAGE,
        VERSION,
        features_scope,
        asked.solver,
        asked.resolution,
        asked.map_resolution,
        previews.size,
        previews.members,
        settings.catalog.max_pixels,
        settings.seed,
        length=16,
    )


def stage(run: Run, catalog: Catalog, made: Features, clusters: Clusters) -> Atlases:
    """Align every cluster whose members or features are not those of a unit that is there already."""
    here = scope(run.settings, made.scope)
    contents = {entry.unit: entry.content for entry in made.shards}
    place = address(
        run.destination, features.STAGE, features.VERSION, made.position.scope, made.position.unit
    )
    payload = {
        "source": run.source,
        "destination": run.destination,
        "settings": run.settings,
        "members": clusters.members,
        "position": place.folder / made.position.content,
        "weights": made.weights.fingerprint,
    }
    units, by_cluster = [], {}
    with workspace() as connection:
        load(connection, "members", [clusters.members], MEMBERS)
        load(connection, "images", [catalog.images], CATALOG, "image_id, uri, status")
        connection.execute("DELETE FROM images WHERE status <> 'ok'")
        load(connection, "sets", [clusters.sets], SETS)
        shown = run.settings.previews.members
        for cluster_id, size in list(
            rows(connection, "SELECT cluster_id, n_images FROM sets ORDER BY cluster_id")
        ):
            members = f"FROM members LEFT JOIN images USING (image_id) WHERE cluster_id = '{cluster_id}'"
            named = rows(
                connection, f"SELECT image_id, features_unit, features_row, role {members} ORDER BY rank"
            )
            parts = [
                [image_id, unit, contents[unit.partition("/")[2]], row, role]
                for image_id, unit, row, role in named
            ]
            name = digest(here, made.position.content, parts)
            uris = tuple(rows(connection, f"SELECT image_id, uri {members} ORDER BY rank LIMIT {shown}"))
            place = address(run.destination, STAGE, VERSION, here, name)
            units.append(Unit(place, {**payload, "cluster_id": cluster_id, "shown": uris}, items=size))
            by_cluster[cluster_id] = name
    plan = plan_units(STAGE, here, units, run.progress, gpu=True)
    return Atlases(run_units(plan, make_atlas, run), here, by_cluster)


def make_atlas(unit: Unit) -> Marker:
    """Align one cluster: atlas from the members, the rest fitted to it; commit maps, rows and pictures."""
    work = Work(unit)
    with work.watch.phase("start"):
        import torch

        import congeal.rendering
        import congeal.solver  # noqa: F401 - the first unit of a process pays for the imports
        from congeal.devices import resolve_device
    settings: Settings = unit.payload["settings"]
    torch.set_num_threads(unit.threads)
    device = resolve_device(settings.features.device)
    members = read_members(unit.payload["members"], unit.payload["cluster_id"])
    aligned = align_set(
        unit.payload["destination"], members, unit.payload["position"], settings, device, work.watch
    )
    with work.watch.phase("previews"):
        pictures = draw(unit.payload["source"], unit.payload["shown"], members, aligned, settings)
    with work.watch.phase("encode"):
        outputs = {
            **{f"{GROUP}/{path}": data for path, data in _group(unit, members, aligned, pictures).items()},
            "alignment.parquet": encode_table(
                _rows(unit.payload["cluster_id"], members, aligned), ALIGNMENTS
            ),
            **pictures.files,
        }
    return work.commit(outputs, _record(unit, members, aligned, pictures, str(device)))


def _group(unit: Unit, members: list[Member], aligned: Alignment, pictures: Pictures) -> dict[str, bytes]:
    from congeal.coordinates import Frame

    forward = np.stack(
        [Frame(m.width, m.height).to_pixels(field) for m, field in zip(members, aligned.forward, strict=True)]
    ).astype(np.float32)
    arrays = {
        "atlas/features": (aligned.atlas.features.astype(np.float16), ("v", "u", "channel")),
        "atlas/saliency": (aligned.atlas.saliency.astype(np.float32), ("v", "u")),
        "atlas/mean": (aligned.atlas.mean.astype(np.float32), ("channel",)),
        "atlas/projection": (aligned.atlas.projection.astype(np.float32), ("channel", "component")),
        "atlas/discriminant": (aligned.atlas.discriminant.astype(np.float32), ("weight",)),
        "atlas/confidence": (aligned.forward_confidence.mean(axis=0, dtype=np.float32), ("v", "u")),
        "maps/forward": (forward, ("image", "v", "u", "xy")),
        "maps/forward_confidence": (aligned.forward_confidence.astype(np.float16), ("image", "v", "u")),
        "maps/backward": (aligned.backward.astype(np.float32), ("image", "row", "column", "uv")),
        "maps/backward_confidence": (
            aligned.backward_confidence.astype(np.float16),
            ("image", "row", "column"),
        ),
        "poses/mirrored": (aligned.mirrored.astype(np.bool_), ("image",)),
        "poses/rotation": (aligned.rotation.astype(np.float32), ("image",)),
        "poses/scale": (aligned.scale.astype(np.float32), ("image",)),
        "poses/translation": (aligned.translation.astype(np.float32), ("image", "uv")),
        "poses/support": (aligned.support.astype(np.float32), ("image",)),
    }
    if pictures.average is not None:
        arrays["atlas/average"] = (pictures.average, ("row", "column", "rgb"))
    attributes = {
        "coordinates": COORDINATES,
        "cluster_id": unit.payload["cluster_id"],
        "status": aligned.status,
        "evidence": aligned.atlas.evidence,
        "deformation": aligned.atlas.deformation,
        "image_ids": [member.image_id for member in members],
        "sizes": [[member.width, member.height] for member in members],
        "weights_fingerprint": unit.payload["weights"],
    }
    specs = {}
    for name, (data, dims) in arrays.items():
        # A reader wants the maps of one image, and the whole of everything else.
        chunks = (1, *data.shape[1:]) if name.startswith("maps/") else None
        specs[name] = ArraySpec(data, dims=dims, chunks=chunks)
    return encode_group(specs, attributes=attributes)


def _rows(cluster_id: str, members: list[Member], aligned: Alignment) -> pa.Table:
    n = len(members)
    columns: dict[str, Any] = {
        "image_id": [member.image_id for member in members],
        "cluster_id": [cluster_id] * n,
        "role": [member.role for member in members],
        "mirrored": aligned.mirrored,
        "rotation": aligned.rotation,
        "scale": aligned.scale,
        "translation_u": aligned.translation[:, 0],
        "translation_v": aligned.translation[:, 1],
        "residual": aligned.residual,
        "cycle_error": aligned.cycle_error,
        "fold_fraction": aligned.fold_fraction,
        "coverage": aligned.coverage,
        "outlier": aligned.outlier,
        "outlier_reason": list(aligned.outlier_reason),
    }
    arrays = [
        pa.array(values, ALIGNMENTS.field(name).type, from_pandas=True) for name, values in columns.items()
    ]
    return pa.Table.from_arrays(arrays, names=list(columns)).sort_by("image_id")


def _record(
    unit: Unit, members: list[Member], aligned: Alignment, pictures: Pictures, device: str
) -> dict[str, Any]:
    good = ~np.asarray(aligned.outlier, bool)
    return {
        "cluster_id": unit.payload["cluster_id"],
        "status": aligned.status,
        "n_images": len(members),
        "n_members": sum(member.role == "member" for member in members),
        "n_outliers": int((~good).sum()),
        "medoid_image_id": members[aligned.medoid].image_id,
        "residual": _median(aligned.residual, good),
        "cycle_error": _median(aligned.cycle_error, good),
        "fold_fraction": _median(aligned.fold_fraction, good),
        "coverage": _median(aligned.coverage, good),
        "confidence": _median(aligned.forward_confidence.reshape(len(members), -1).mean(axis=1), good),
        "margin": _number(aligned.margin),
        "device": device,
        "not_shown": pictures.not_shown,
    }


def _median(values: Any, good: Any) -> float | None:
    chosen = np.asarray(values, np.float64)[good]
    chosen = chosen[np.isfinite(chosen)]
    return _number(np.median(chosen)) if chosen.size else None


def _number(value: Any) -> float | None:
    # What is not finite has no place in JSON: it is not known.
    return float(np.float32(value)) if np.isfinite(value) else None
