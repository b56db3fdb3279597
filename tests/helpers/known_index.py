"""A published index whose truth is known: every image is an affine picture of its atlas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from congeal.geometry.frames import Frame, cell_centres
from congeal.results.schema.own_fields import own_field, with_own
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, IMAGES
from congeal.settings import Settings, recorded
from infra.ledger.commits import digest
from infra.ledger.publications import Publication, claim, publish
from infra.storage.location import Location
from tasks.execution import stage_versions
from tasks.execution.stage_runner import Unit, Work, address
from tasks.index.atlas_lattice import correspondences, lattice_points
from tasks.index.index_stage import Sampled, commit_tables
from tasks.publication.manifest import describe

LATTICE = 16
SIZES = ((640, 480), (300, 500), (400, 400), (500, 640))
CLUSTERS_THERE = ("c00000000001", "c00000000002")


def image_id(cluster: str, number: int) -> str:
    return digest(cluster, number)


def uri(cluster: str, number: int) -> str:
    return f"{cluster}/{number}.jpg"


def affine(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame coordinates of an image from atlas coordinates: matrix [2, 2] and shift [2]."""
    angle, scale = 0.2 * number, 0.75 - 0.05 * number
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if number % 2:
        turn = turn @ np.diag([-1.0, 1.0])
    return scale * turn, np.array([0.02 * number, -0.03 * number])


def pixels(number: int, uv: np.ndarray) -> np.ndarray:
    """Where atlas points [k, 2] are in image `number` of any cluster, pixels."""
    matrix, shift = affine(number)
    return np.asarray(Frame(*SIZES[number % len(SIZES)]).to_pixels(np.asarray(uv) @ matrix.T + shift))


def sampled(cluster: str, numbers: Sequence[int], salient: float = 0.7) -> Sampled:
    """One cluster; its atlas is salient where both coordinates are within `salient` of the middle."""
    cells = cell_centres(32).astype(np.float64)
    points = lattice_points((np.abs(cells).max(-1) <= salient).astype(np.float64), LATTICE)
    numbers = sorted(numbers, key=lambda number: image_id(cluster, number))
    ids = [image_id(cluster, number) for number in numbers]
    forward = np.stack([pixels(number, cells.reshape(-1, 2)).reshape(32, 32, 2) for number in numbers])
    sizes = [SIZES[number % len(SIZES)] for number in numbers]
    batch = correspondences(cluster, ids, sizes, forward, np.full((len(ids), 32, 32), 0.9), points)
    rows = [
        dict.fromkeys(ALIGNMENTS.names) | {"image_id": one, "cluster_id": cluster, "role": "member"}
        for one in ids
    ]
    facts = dict.fromkeys(CLUSTERS.names)
    facts |= {"cluster_id": cluster, "n_images": len(ids), "status": "ok", "medoid_image_id": ids[0]}
    return Sampled(facts, pa.Table.from_pylist(rows, schema=ALIGNMENTS), [batch])


def known_index(destination: Location, images: int = 4, prices: Sequence[float] = ()) -> Publication:
    """Publish two clusters, one file each, of the same affine pictures under different names.

    prices: a column of the collection's own, a value for each image of a cluster, in order.
    """
    claim(destination)
    version = stage_versions.VERSIONS[stage_versions.INDEX]
    units = []
    rows = []
    for cluster in CLUSTERS_THERE:
        work = Work(Unit(address(destination, stage_versions.INDEX, version, "known", digest(cluster)), {}))
        made = {cluster: {"seconds": 1.5, "device": "cpu"}}
        marker = commit_tables(work, [sampled(cluster, range(images))], made)
        units.append(f"{marker.scope}/{marker.unit}")
        for number in range(images):
            width, height = SIZES[number % len(SIZES)]
            row = dict.fromkeys(IMAGES.names) | {
                "uri": uri(cluster, number),
                "cluster_id": cluster,
                "bytes": 1,
            }
            row |= {"image_id": image_id(cluster, number), "width": width, "height": height, "status": "ok"}
            if prices:
                row["price"] = prices[number]
            rows += [row, row | {"uri": f"z/copy of {uri(cluster, number)}", "status": "duplicate"}]
    schema = with_own(IMAGES, [own_field("price", pa.float64())] if prices else [])
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["uri"])), schema=schema)
    work = Work(Unit(address(destination, stage_versions.INDEX, version, "known", digest("images")), {}))
    marker = work.commit({"images.parquet": encode_table(table, schema)}, {"rows": {"images": len(rows)}})
    units.append(f"{marker.scope}/{marker.unit}")
    settings = Settings()
    publication = Publication(
        run_key="known",
        source="memory://source",
        settings=recorded(settings),
        backbone="none",
        weights_fingerprint="none",
        units={stage_versions.INDEX: units},
        counts={"ok": len(rows) // 2, "failed": 0, "duplicate": len(rows) // 2, "clusters": 2, "outliers": 0},
        created="2026-01-01T00:00:00+00:00",
        code_version="0.1.0",
    )
    describe(destination, publication)
    publish(destination, publication)
    return publication
