"""A published collection of small photographs whose alignment is known: similarities, linear in every map."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from placed_maps import from_atlas, placed
from sample_runs import folder, picture

import congeal
from congeal.geometry.frames import Frame, cell_centres
from congeal.results.schema.atlas_arrays import (
    ATLAS_CONFIDENCE,
    ATLAS_FEATURES,
    ATLAS_GROUP,
    ATLAS_SALIENCY,
    INSTANCE_IDS,
    INSTANCES_GROUP,
    MAPS,
)
from congeal.results.schema.feature_arrays import EMBEDDING, FEATURE_GROUP
from congeal.results.schema.own_fields import own_field, with_own
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES
from congeal.settings import Settings, recorded
from congeal.transfer.points import Maps
from infra.ledger.commits import UnitAddress, commit_unit, digest
from infra.ledger.provenance import Provenance, Stopwatch
from infra.ledger.publications import Publication, claim, publish, published
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group

BIRDS, BOATS = "c00000000001", "c00000000002"
SURE = 0.8
# Name, cluster, size, and how the image shows its atlas: scale, shift, turn.
MEMBERS = (
    ("a/0.png", BIRDS, (80, 60), 0.8, (0.0, 0.0), 0.0),
    ("a/1.png", BIRDS, (160, 120), 0.8, (0.0, 0.0), 0.0),  # the same at twice the size
    ("a/2.png", BIRDS, (64, 84), 0.6, (0.1, -0.1), 0.3),
    ("a/3.png", BIRDS, (100, 100), 0.7, (-0.05, 0.1), -0.2),
    ("a/misfit.png", BIRDS, (70, 70), 0.5, (0.4, 0.4), 2.0),
    ("b/0.png", BOATS, (80, 60), 0.7, (0.0, 0.1), 0.0),
    ("b/1.png", BOATS, (90, 60), 0.8, (0.1, 0.0), 0.1),
)


@dataclass(frozen=True)
class Flock:
    """Images that show one or two, each somewhere: their maps, and the files."""

    maps: dict[str, list[Maps]]
    files: dict[str, bytes]


FITTING = ["a/0.png", "a/1.png", "a/2.png", "a/3.png"]  # of BIRDS, without the misfit


def maps_of(name: str) -> Maps:
    """The maps that an image's are."""
    _, _, size, scale, shift, turn = next(member for member in MEMBERS if member[0] == name)
    return placed(Frame(*size), scale, shift, turn, SURE)


def known_collection(home: Path, flock: Flock | None = None) -> Path:
    """Write source/ and destination/ into a folder, and give back the destination.

    flock: images of BIRDS that show two.
    """
    files = {name: picture(0, seed, size) for seed, (name, _, size, *_) in enumerate(MEMBERS)}
    files |= {} if flock is None else flock.files
    files |= {"c/outlier.png": picture(1, 99), "broken.jpg": b"no image", "a/copy.png": files["a/0.png"]}
    source = folder(home / "source", files)
    destination = Location.parse(home / "destination")
    claim(destination)
    ids = {name: hashlib.sha256(data).hexdigest()[:32] for name, data in files.items()}
    atlases = {cluster: _atlas(destination, cluster, ids, flock) for cluster in (BIRDS, BOATS)}
    features = _features(destination, ids)
    tables = {
        "images.parquet": encode_table(_images(files, ids, features), IMAGES),
        "alignments.parquet": encode_table(_alignments(ids), ALIGNMENTS),
        "clusters.parquet": encode_table(_clusters(atlases, ids), CLUSTERS),
        "correspondences.parquet": encode_table(_correspondences(ids), CORRESPONDENCES),
    }
    made = {cluster: {"seconds": 1.0, "device": "cpu"} for cluster in atlases}
    index = _commit(destination, "index", "index", tables, {"made": made, "rows": {}})
    publication = Publication(
        run_key="known",
        source=f"file://{source}",
        settings=recorded(Settings()),
        backbone="none",
        weights_fingerprint="none",
        units={"atlases": list(atlases.values()), "index": [index], "features": [features]},
        counts={
            "ok": len(MEMBERS) + 1,
            "failed": 1,
            "duplicate": 1,
            "clusters": 2,
            "outliers": 2,
            "misfits": 1,
        },
        created="2026-01-01T00:00:00+00:00",
        code_version="0.1.0",
    )
    publish(destination, publication)
    return home / "destination"


def labelled(destination: Path) -> None:
    """Publish a second version of a known collection: a column of its owner's, and one image gone."""

    def images(found: pa.Table) -> tuple[pa.Table, pa.Schema]:
        found = found.filter(pc.not_equal(found["uri"], "a/2.png"))
        uris = found["uri"].to_pylist()
        label = pa.array([None if "/" not in uri else uri.partition("/")[0] for uri in uris])
        taken = pa.array([datetime.date(2024, 5, 1 + at) for at in range(len(uris))])
        schema = with_own(IMAGES, [own_field("status of it", pa.string()), own_field("taken", pa.date32())])
        return pa.Table.from_arrays(
            [*found.select(IMAGES.names).columns, label, taken], schema=schema
        ), schema

    republished(destination, "labelled", images, gone=1)


def republished(
    destination: Path, name: str, images: Callable[[pa.Table], tuple[pa.Table, pa.Schema]], gone: int = 0
) -> None:
    """Publish a further version of a known collection, with other rows of images, fewer by `gone`."""
    place = Location.parse(destination)
    before = published(place)
    assert before is not None
    tables = {path.name: path.read_bytes() for path in destination.rglob("stages/index/**/*.parquet")}
    tables["images.parquet"] = encode_table(*images(pq.read_table(io.BytesIO(tables["images.parquet"]))))
    record = {"made": {cluster: {"seconds": 1.0, "device": "cpu"} for cluster in (BIRDS, BOATS)}, "rows": {}}
    index = _commit(place, "index", name, tables, record)
    counts = before.counts | {"ok": before.counts["ok"] - gone}
    units = before.units | {"index": [index]}
    publish(place, before.model_copy(update={"run_key": name, "units": units, "counts": counts}))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A destination with a known alignment; its source lies beside it. To be read only."""
    return known_collection(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def opened(known: Path) -> Any:
    """The same, as `congeal.open` gives it."""
    return congeal.open(known)


def _atlas(destination: Location, cluster: str, ids: dict[str, str], flock: Flock | None) -> str:
    names = [name for name, mine, *_ in MEMBERS if mine == cluster]
    shown = {} if flock is None or cluster != BIRDS else flock.maps
    maps = [shown[name][0] if name in shown else maps_of(name) for name in names]
    data = {array: np.stack([getattr(one, array.name) for one in maps]).astype(np.float32) for array in MAPS}
    data |= {array: np.ones((16, 16), np.float32) for array in (ATLAS_SALIENCY, ATLAS_CONFIDENCE)}
    data |= {ATLAS_FEATURES: np.ones((16, 16, 4), np.float32)}
    arrays = {
        array.path: ArraySpec(values, array.dims, array.chunks(values.shape))
        for array, values in data.items()
    }
    facts = {
        "cluster_id": cluster,
        "status": "ok",
        "deformation": "rigid",
        "image_ids": [ids[name] for name in names],
        "sizes": [[one.frame.width, one.frame.height] for one in maps],
    }
    outputs = {f"{ATLAS_GROUP.name}/{path}": data for path, data in encode_group(arrays, facts).items()}
    further = {name: both[1] for name, both in shown.items() if len(both) > 1}
    if further:
        outputs |= _instances(further, ids)
    if cluster == BIRDS:
        grey = io.BytesIO()
        Image.new("RGB", (8, 8), (200, 200, 200)).save(grey, "PNG")
        outputs["previews/average_after.png"] = grey.getvalue()
    return _commit(destination, "atlases", cluster, outputs, {"cluster_id": cluster})


def _instances(further: dict[str, Maps], ids: dict[str, str]) -> dict[str, bytes]:
    data = {array: np.stack([getattr(one, array.name) for one in further.values()]) for array in MAPS}
    arrays = {
        array.path: ArraySpec(values.astype(np.float32), array.dims, array.chunks(values.shape))
        for array, values in data.items()
    }
    arrays[INSTANCE_IDS.path] = ArraySpec(np.ones(len(further), np.int32), INSTANCE_IDS.dims)
    facts = {
        "image_ids": [ids[name] for name in further],
        "sizes": [[one.frame.width, one.frame.height] for one in further.values()],
        "deformation": "rigid",
    }
    return {f"{INSTANCES_GROUP.name}/{path}": one for path, one in encode_group(arrays, facts).items()}


def _features(destination: Location, ids: dict[str, str]) -> str:
    """Embeddings on a circle: neighbours in the order of names are neighbours there."""
    angle = np.linspace(0, 1, len(ids))
    embedding = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    group = encode_group({EMBEDDING.path: ArraySpec(embedding, EMBEDDING.dims)}, {})
    outputs = {f"{FEATURE_GROUP.name}/{path}": data for path, data in group.items()}
    return _commit(
        destination, "features", "features", outputs, {"image_ids": [ids[name] for name in sorted(ids)]}
    )


def _correspondences(ids: dict[str, str]) -> pa.Table:
    uv = cell_centres(4, 0.5).reshape(-1, 2).astype(np.float64)
    rows = []
    for name, cluster, *_ in MEMBERS:
        maps = maps_of(name)
        xy, sure = from_atlas(uv, maps)
        seen = np.asarray(maps.frame.inside(xy))
        for point, (u, v) in enumerate(uv):
            row = {"cluster_id": cluster, "point_id": point, "u": u, "v": v, "image_id": ids[name]}
            row["instance_id"] = 0
            x, y = xy[point]
            rows.append(row | {"x": x, "y": y, "confidence": sure[point], "visible": bool(seen[point])})
    rows.sort(key=lambda row: (row["cluster_id"], row["image_id"], row["point_id"]))
    return pa.Table.from_pylist(rows, schema=CORRESPONDENCES)


def _images(files: dict[str, bytes], ids: dict[str, str], features: str) -> pa.Table:
    clusters = {name: (cluster, size) for name, cluster, size, *_ in MEMBERS}
    clusters["a/copy.png"] = clusters["a/0.png"]
    rows = []
    for name in sorted(files):
        row = dict.fromkeys(IMAGES.names) | {"uri": name, "bytes": len(files[name]), "image_id": ids[name]}
        if name == "broken.jpg":
            row |= {"status": "failed", "error": "not an image"}
        else:
            cluster, (width, height) = clusters.get(name, (None, (80, 60)))
            outlier = cluster is None or "misfit" in name
            row |= {"width": width, "height": height, "cluster_id": cluster, "outlier": outlier}
            row["status"] = "duplicate" if name == "a/copy.png" else "ok"
            row |= {"features_unit": features, "features_row": sorted(ids).index(name)}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=IMAGES)


def _alignments(ids: dict[str, str]) -> pa.Table:
    rows = [
        dict.fromkeys(ALIGNMENTS.names)
        | {"image_id": ids[name], "cluster_id": cluster, "instance_id": 0, "role": "member"}
        | {"outlier": "misfit" in name}
        | ({"outlier_reason": "few matches"} if "misfit" in name else {})
        for name, cluster, *_ in MEMBERS
    ]
    rows.sort(key=lambda row: (str(row["cluster_id"]), str(row["image_id"])))
    return pa.Table.from_pylist(rows, schema=ALIGNMENTS)


def _clusters(atlases: dict[str, str], ids: dict[str, str]) -> pa.Table:
    rows = []
    for cluster, unit in atlases.items():
        names = [name for name, mine, *_ in MEMBERS if mine == cluster]
        row = dict.fromkeys(CLUSTERS.names) | {"cluster_id": cluster, "status": "ok", "atlas_unit": unit}
        misfits = sum("misfit" in name for name in names)
        row |= {"n_images": len(names), "n_outliers": misfits, "deformation": "rigid"}
        row["fixed_camera"] = cluster == next(iter(atlases))
        row["match_agreement"] = 0.9 if row["fixed_camera"] else 0.5
        rows.append(row | {"medoid_image_id": ids[names[0]]})
    return pa.Table.from_pylist(rows, schema=CLUSTERS)


def _commit(
    destination: Location, stage: str, name: str, outputs: dict[str, bytes], record: dict[str, object]
) -> str:
    place = UnitAddress(destination, stage, 1, "known", digest(name))
    marker = commit_unit(place, outputs, record, Provenance.of(Stopwatch()))
    return f"{marker.scope}/{marker.unit}"
