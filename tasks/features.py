"""Dense features: a unit is a shard of images, one Zarr group with one writer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal import greys
from infra.arrays import ArraySpec, encode_group
from infra.commits import Marker, digest
from infra.settings import Settings
from infra.storage import Location
from tasks import position, versions
from tasks.catalog import CATALOG, Catalog, load_depths
from tasks.reading import Named, Pixels, Unreadable, decoded
from tasks.spool import insert, load, rows, workspace
from tasks.stage import (
    Run,
    StagePlan,
    StageResult,
    Unit,
    UnitReport,
    Work,
    address,
    batched,
    read_markers,
    report,
    run_units,
    take_back,
)
from tasks.weights import Weights, backbone_spec, load_weights

if TYPE_CHECKING:
    from congeal.backbones import Backbone

STAGE = versions.FEATURES
VERSION = versions.VERSIONS[STAGE]
GROUP = "features.zarr"
Dimensioned = tuple[npt.NDArray[Any], tuple[str, ...]]
MOST_IMAGES = 256  # in a unit
COORDINATES = (
    "row, column: cells of the square frame around the image (edge-padded, centred), y down; cells cover "
    "[-extent, extent]^2 of the frame [-1, 1]^2, cell centres as in align_corners=False; features_mirrored: "
    "what the backbone sees in the mirrored image, in that image's own frame; features_turned: in the image "
    "turned by 1 to 7 eighths of a full turn against the clock, in that image's own frame"
)


@dataclass(frozen=True)
class Features:
    """The finished stage: its shards, the scope that they lie in, the backbone that made them.

    position: the unit that knows what in the features is place rather than content.
    """

    result: StageResult
    scope: str
    weights: Weights
    shards: tuple[UnitReport, ...]
    position: UnitReport


def scope(settings: Settings, weights: Weights) -> str:
    """Digest of everything that bears on the features of an image."""
    from congeal.backbones import geometry

    asked = settings.features
    return digest(
        STAGE,
        VERSION,
        weights.backbone,
        weights.fingerprint,
        geometry(backbone_spec(weights, asked)).image_size,
        asked.layer,
        asked.facet,
        asked.stride,
        asked.mirror,
        asked.precision,
        # Upright, from one place, is what all features were before there was a choice: their digests stay.
        *(["any"] if at_any_angle(settings) else []),
        *([list(asked.beside)] if asked.beside else []),
        *(["range", list(settings.catalog.range)] if settings.catalog.range else []),
        length=16,
    )


def at_any_angle(settings: Settings) -> bool:
    """Whether images are looked at from eight angles."""
    return settings.alignment.rotation == "any"


def stage(run: Run, catalog: Catalog, weights: Weights) -> Features:
    """Features of every sound image of the catalog that has none yet."""
    here = scope(run.settings, weights)
    place = position.stage(run, weights, here)
    shards = run_units(_plan(run, catalog, weights, here), make_shard, run)
    return Features(place + shards, here, weights, shards.units, place.units[0])


def images_per_unit(settings: Settings, weights: Weights) -> int:
    """How many images make one shard of about features.shard_bytes."""
    from congeal.backbones import geometry
    from congeal.turns import TURNS

    shape = geometry(backbone_spec(weights, settings.features))
    views = (2 if settings.features.mirror else 1) * (TURNS if at_any_angle(settings) else 1)
    one = shape.grid**2 * shape.channels * 2 * views
    return min(max(settings.features.shard_bytes // one, 1), MOST_IMAGES)


def _plan(run: Run, catalog: Catalog, weights: Weights, here: str) -> StagePlan:
    """Units that hold a wanted image stay as they are; images without one go into new units, by image id."""
    payload = {"source": run.source, "settings": run.settings, "weights": weights}

    def unit(found: Sequence[tuple[str, str | None, bool]]) -> Unit:
        members = tuple((image_id, uri) for image_id, uri, _ in found)
        # Units of 8-bit images do not depend on how deeper ones become pixels.
        deep = any(deep for _, _, deep in found)
        made_by = ["greys", greys.VERSION] if deep else []
        place = address(
            run.destination, STAGE, VERSION, here, digest(here, [image_id for image_id, _ in members], *made_by)
        )
        return Unit(place, {**payload, "members": members, "deep": deep}, items=len(members))

    with workspace() as connection:
        load(connection, "catalog", [catalog.images], CATALOG, "image_id, uri, status")
        connection.execute("CREATE TABLE wanted AS SELECT image_id, uri FROM catalog WHERE status = 'ok'")
        load_depths(connection, catalog)
        connection.execute(
            "CREATE TABLE covered "
            "(image_id VARCHAR, unit VARCHAR, position INTEGER, unread BOOLEAN, greys INTEGER)"
        )
        reports = {}
        for marker in _committed(run, here):
            reports[marker.unit] = report(marker)
            insert(connection, "covered", _covered(marker))
        # A unit that holds a deep image does not count if it was made when such images became other pixels.
        connection.execute(
            f"""DELETE FROM covered WHERE unit IN (
                SELECT unit FROM covered JOIN depths USING (image_id)
                WHERE greys IS DISTINCT FROM {greys.VERSION})"""  # noqa: S608 - a number of our own
        )
        todo = []
        # An image that could not be read then, though the catalog says that it can, is worth another try.
        again = "SELECT DISTINCT unit FROM covered JOIN wanted USING (image_id) WHERE unread ORDER BY unit"
        for (name,) in list(rows(connection, again)):
            members = (
                "SELECT image_id, uri, greys IS NOT NULL FROM covered LEFT JOIN wanted USING (image_id) "
                "WHERE unit = "
            )
            todo.append(unit(list(rows(connection, f"{members} '{name}' ORDER BY position"))))
            take_back(todo[-1].address)
            del reports[name]
        used = "SELECT DISTINCT unit FROM covered JOIN wanted USING (image_id)"
        done = [reports[name] for (name,) in rows(connection, used) if name in reports]
        missing = (
            "SELECT image_id, uri, bits IS NOT NULL FROM (FROM wanted ANTI JOIN covered USING (image_id)) "
            "LEFT JOIN depths USING (image_id) ORDER BY image_id"
        )
        size = images_per_unit(run.settings, weights)
        todo.extend(unit(members) for members in batched(rows(connection, missing), size))
    return StagePlan(STAGE, here, tuple(done), tuple(todo), gpu=True)


def _committed(run: Run, here: str) -> Iterator[Marker]:
    names = (run.destination / "stages" / STAGE / here).children()
    places = (address(run.destination, STAGE, VERSION, here, name) for name in names)
    yield from (marker for marker in read_markers(places, run.progress) if marker is not None)


def _covered(marker: Marker) -> pa.Table:
    ids = marker.record["image_ids"]
    unread = set(marker.record["unread"])
    return pa.table(
        {
            "image_id": pa.array(ids, pa.string()),
            "unit": pa.array([marker.unit] * len(ids), pa.string()),
            "position": pa.array(range(len(ids)), pa.int32()),
            "unread": pa.array([image_id in unread for image_id in ids], pa.bool_()),
            "greys": pa.array([marker.record.get("greys")] * len(ids), pa.int32()),
        }
    )


def make_shard(unit: Unit) -> Marker:
    """Read, decode and square the unit's images ahead of the backbone; commit one Zarr group.

    An image that cannot be read or is no longer what was catalogued is recorded; its row stays NaN.
    """
    work = Work(unit)
    settings: Settings = unit.payload["settings"]
    members: Sequence[Named] = unit.payload["members"]
    weights: Weights = unit.payload["weights"]
    with work.watch.phase("start"):
        import torch

        torch.set_num_threads(unit.threads)
        backbone = load_weights(weights, settings.features)
    failed: dict[str, Unreadable] = {}
    arrays = _empty(backbone, len(members), settings)
    source: Location = unit.payload["source"]
    images = decoded(source, members, backbone.image_size, settings, failed)
    for batch in batched(_timed(images, work), settings.features.batch_size):
        positions = [position for position, _ in batch]
        pixels = np.stack([image for _, image in batch])
        with work.watch.phase("backbone"):
            _store(arrays, positions, backbone, pixels, settings)
    with work.watch.phase("encode"):
        specs = {
            name: ArraySpec(data, dims, chunks=(1, *data.shape[1:])) for name, (data, dims) in arrays.items()
        }
        encoded = encode_group(specs, attributes=_attributes(backbone, members, weights, settings))
        outputs = {f"{GROUP}/{path}": data for path, data in encoded.items()}
    record = {
        "image_ids": [image_id for image_id, _ in members],
        "failed": {image_id: fault.reason for image_id, fault in sorted(failed.items())},
        "unread": sorted(image_id for image_id, fault in failed.items() if fault.unread),
        "image_size": backbone.image_size,
        "grid": backbone.grid,
        "extent": backbone.extent,
        "channels": backbone.channels,
        **({"greys": greys.VERSION} if unit.payload["deep"] else {}),
    }
    return work.commit(outputs, record)


def _empty(backbone: Backbone, n: int, settings: Settings) -> dict[str, Dimensioned]:
    from congeal.turns import TURNS

    cells = ("row", "column")
    arrays: dict[str, Dimensioned] = {}
    for turned in ("", "_turned") if at_any_angle(settings) else ("",):
        images, shape = (("image", "turn"), (n, TURNS - 1)) if turned else (("image",), (n,))
        shape = (*shape, backbone.grid, backbone.grid)
        for mirrored in ("", "_mirrored") if settings.features.mirror else ("",):
            features = np.full((*shape, backbone.channels), np.nan, np.float16)
            arrays[f"features{turned}{mirrored}"] = (features, (*images, *cells, "channel"))
            saliency = np.full(shape, np.nan, np.float16)
            arrays[f"saliency{turned}{mirrored}"] = (saliency, (*images, *cells))
    embedding = np.full((n, backbone.embedding_channels), np.nan, np.float32)
    arrays["embedding"] = (embedding, ("image", "embedding_channel"))
    return arrays


def _store(
    arrays: Mapping[str, Dimensioned],
    positions: list[int],
    backbone: Backbone,
    pixels: Pixels,
    settings: Settings,
) -> None:
    """What the backbone sees in images; an embedding is the mean over all angles, so that none matters."""
    from congeal.turns import TURNS, turned_pixels

    embeddings = []
    for turn in range(TURNS if at_any_angle(settings) else 1):
        turned = np.stack([turned_pixels(image, turn) for image in pixels]) if turn else pixels
        rows = (positions, turn - 1) if turn else positions
        for mirrored in ("", "_mirrored") if settings.features.mirror else ("",):
            seen = backbone(np.ascontiguousarray(turned[:, :, ::-1]) if mirrored else turned)
            name = f"{'_turned' if turn else ''}{mirrored}"
            arrays[f"features{name}"][0][rows] = seen.features.float().cpu().numpy()
            arrays[f"saliency{name}"][0][rows] = seen.saliency.float().cpu().numpy()
            if not mirrored:
                embeddings.append(seen.embedding.float().cpu().numpy())
    embedding = embeddings[0]
    if len(embeddings) > 1:
        embedding = np.mean(embeddings, axis=0)
        embedding = embedding / np.linalg.norm(embedding, axis=-1, keepdims=True).clip(1e-9)
    arrays["embedding"][0][positions] = embedding


def _attributes(
    backbone: Backbone, members: Sequence[Named], weights: Weights, settings: Settings
) -> dict[str, Any]:
    return {
        "coordinates": COORDINATES,
        "image_ids": [image_id for image_id, _ in members],
        "image_size": backbone.image_size,
        "extent": backbone.extent,
        "backbone": weights.backbone,
        "weights_fingerprint": weights.fingerprint,
        "layer": settings.features.layer,
        "facet": settings.features.facet,
        "taps": [[str(tap), size] for tap, size in backbone.taps.items()],
        "stride": backbone.stride,
        "precision": str(backbone.precision),
    }


def _timed(images: Iterable[tuple[int, Pixels]], work: Work) -> Iterator[tuple[int, Pixels]]:
    # What is counted as decoding is how long the backbone waits for it.
    iterator = iter(images)
    while True:
        with work.watch.phase("decode"):
            image = next(iterator, None)
        if image is None:
            return
        yield image
