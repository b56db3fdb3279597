"""One shard of dense features: a Zarr group with one writer, made as a whole or in pieces."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.imaging import intensity_scaling
from congeal.results.schema.feature_arrays import (
    EMBEDDING,
    FEATURE_COORDINATES,
    FEATURE_GROUP,
    PREVIEW,
    FeatureAttributes,
    dense_arrays,
)
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.settings import Settings
from infra.compute.worker_death import exhausted
from infra.ledger.commits import Marker
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group
from tasks.catalog.image_reading import Named, Pixels, Squares, Unreadable, decoded
from tasks.execution.division import Division, Items, place_of, reasons
from tasks.execution.stage_runner import APART, Unit, Work
from tasks.features.run_backbone import Weights, load_weights

if TYPE_CHECKING:
    from congeal.backbones.extractor import Backbone, DenseFeatures

# A square of 192 pixels is 60 KB beside 1.5 MB of an image's features. Larger ones would soon be more than
# those: above this side, pictures are made from the originals again.
MOST_PREVIEW = 256
Arrays = dict[ZarrArray, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FeaturesPayload:
    """A shard. members: its images, in order. deep: whether one has samples of more than 8 bits."""

    source: Location
    settings: Settings
    weights: Weights
    members: tuple[Named, ...]
    deep: bool


FeaturesUnit = Unit[FeaturesPayload]


def at_any_angle(settings: Settings) -> bool:
    """Whether images are looked at from eight angles."""
    return settings.alignment.rotation == "any"


class ShardFacts(NamedTuple):
    """What later stages need of a shard's marker.

    images: the ids, in order of their rows, a line each: a third of the memory of so many texts. failed: why
    an image has no features, by id. preview: the side of the squares that are kept; None if there are none.
    unread: those of the failed that could not be read that time.
    """

    images: str
    failed: Mapping[str, str]
    preview: int | None
    unread: tuple[str, ...] = ()

    @classmethod
    def of(cls, marker: Marker) -> ShardFacts:
        """From the marker of a shard."""
        record = marker.record
        images = "\n".join(record["image_ids"])
        return cls(images, record["failed"], record.get("preview_size"), tuple(record["unread"]))

    @property
    def rows(self) -> Iterator[tuple[int, str]]:
        """Row and id of every image that has features."""
        return (
            (row, image_id)
            for row, image_id in enumerate(self.images.split("\n"))
            if image_id not in self.failed
        )


def preview_side(settings: Settings) -> int | None:
    """The side of the squares that are kept for the pictures; None if pictures are larger than is kept."""
    return settings.previews.size if settings.previews.size <= MOST_PREVIEW else None


def make_shard(unit: FeaturesUnit) -> Marker:
    """Read, decode and square the unit's images ahead of the backbone; commit one Zarr group.

    An image that cannot be read or is no longer what was catalogued is recorded; its row stays NaN.
    """
    work = Work(unit)
    backbone = _backbone(unit, work)
    return _commit(work, backbone, *_seen(unit, backbone, range(len(unit.payload.members)), work))


def make_piece(unit: FeaturesUnit, items: Items) -> None:
    """The same for some of the unit's images, by position; kept until the unit is joined."""
    work = Work(unit)
    arrays, failed = _seen(unit, _backbone(unit, work), items, work)
    buffer = io.BytesIO()
    plain: dict[str, Any] = {array.path: data for array, data in arrays.items()}
    np.savez(buffer, **plain)
    faults = json.dumps({image_id: list(fault) for image_id, fault in failed.items()})
    place_of(unit, items).write_bytes(len(faults).to_bytes(8) + faults.encode("ascii") + buffer.getvalue())


def join_shard(unit: FeaturesUnit, pieces: Sequence[Items], killers: Items) -> Marker:
    """Commit the unit, from its pieces; images that have killed are recorded, and their rows stay NaN."""
    work = Work(unit)
    members = unit.payload.members
    backbone = _backbone(unit, work)
    arrays = empty_arrays(backbone, len(members), unit.payload.settings)
    failed = {members[item][0]: Unreadable(why, unread=False) for item, why in reasons(unit, killers).items()}
    for items in pieces:
        data = place_of(unit, items).read_bytes()
        end = 8 + int.from_bytes(data[:8])
        failed |= {image_id: Unreadable(*fault) for image_id, fault in json.loads(data[8:end]).items()}
        with np.load(io.BytesIO(data[end:]), allow_pickle=False) as found:
            for array, whole in arrays.items():
                whole[list(items)] = found[array.path]
    return _commit(work, backbone, arrays, failed, [members[item][0] for item in killers])


DIVISION = Division(
    items=lambda unit: len(unit.payload.members),
    make=make_piece,
    join=join_shard,
    # A backbone sees so many images at once.
    grain=lambda unit: unit.payload.settings.features.batch_size,
)


def _backbone(unit: FeaturesUnit, work: Work[FeaturesPayload]) -> Backbone:
    settings = unit.payload.settings
    with work.watch.phase("start"):
        import torch

        torch.set_num_threads(unit.threads)
        return load_weights(unit.payload.weights, settings.features)


def _seen(
    unit: FeaturesUnit, backbone: Backbone, items: Sequence[int], work: Work[FeaturesPayload]
) -> tuple[Arrays, dict[str, Unreadable]]:
    """What the backbone sees in some images, by position in the unit, and which cannot be read."""
    settings = unit.payload.settings
    members = [unit.payload.members[item] for item in items]
    failed: dict[str, Unreadable] = {}
    arrays = empty_arrays(backbone, len(members), settings)
    images = decoded(
        unit.payload.source, members, backbone.image_size, preview_side(settings), settings, failed
    )
    # Cut by position in the unit, so that a piece is seen in the same batches as the whole.
    size = settings.features.batch_size
    for _, batch in groupby(_timed(images, work), key=lambda found: items[found[0]] // size):
        positions, squares = zip(*batch, strict=True)
        for position, image in zip(positions, squares, strict=True):
            if image.preview is not None:
                arrays[PREVIEW][position] = image.preview
        with work.watch.phase("backbone"):
            pixels = np.stack([image.pixels for image in squares])
            store_views(arrays, list(positions), backbone, pixels, settings)
    return arrays, failed


def _commit(
    work: Work[FeaturesPayload],
    backbone: Backbone,
    arrays: Arrays,
    failed: Mapping[str, Unreadable],
    killed: Sequence[str] = (),
) -> Marker:
    settings = work.unit.payload.settings
    members = work.unit.payload.members
    killed = [*killed, *(image_id for image_id, fault in failed.items() if fault.limited)]
    with work.watch.phase("encode"):
        squares = PREVIEW in arrays
        specs = {
            array.path: ArraySpec(data, array.dims, array.chunks(data.shape), array.attributes)
            for array, data in arrays.items()
        }
        arrays.clear()  # they go one by one as they are encoded
        attributes = _attributes(backbone, members, work.unit.payload.weights, settings)
        encoded = encode_group(specs, attributes=attributes)
        outputs = {f"{FEATURE_GROUP.name}/{path}": data for path, data in encoded.items()}
    record = {
        "image_ids": [image_id for image_id, _ in members],
        "failed": {image_id: fault.reason for image_id, fault in sorted(failed.items())},
        "unread": sorted(image_id for image_id, fault in failed.items() if fault.unread),
        "image_size": backbone.image_size,
        "grid": backbone.grid,
        "extent": backbone.extent,
        "channels": backbone.channels,
        **({"greys": intensity_scaling.VERSION} if work.unit.payload.deep else {}),
        **({"killed": sorted(killed)} if killed else {}),
    }
    if squares:
        # What is computed from features is the same whether squares lie beside them or not, and of what size.
        record |= {"preview_size": preview_side(settings), APART: [f"{FEATURE_GROUP.name}/{PREVIEW.path}/"]}
    return work.commit(outputs, record)


def empty_arrays(backbone: Backbone, n: int, settings: Settings) -> Arrays:
    """The arrays of n images of which nothing is known yet: NaN."""
    from congeal.alignment.inputs.rotated_views import TURNS

    arrays: Arrays = {}
    for turned in (False, True) if at_any_angle(settings) else (False,):
        shape = (n, TURNS - 1, backbone.grid, backbone.grid) if turned else (n, backbone.grid, backbone.grid)
        for mirrored in (False, True) if settings.features.mirror else (False,):
            features, saliency = dense_arrays(turned, mirrored)
            arrays[features] = np.full((*shape, backbone.channels), np.nan, features.dtype)
            arrays[saliency] = np.full(shape, np.nan, saliency.dtype)
    arrays[EMBEDDING] = np.full((n, backbone.embedding_channels), np.nan, EMBEDDING.dtype)
    side = preview_side(settings)
    if side is not None:
        arrays[PREVIEW] = np.zeros((n, side, side, 3), PREVIEW.dtype)
    return arrays


def store_views(
    arrays: Arrays,
    positions: list[int],
    backbone: Backbone,
    pixels: Pixels,
    settings: Settings,
) -> None:
    """What the backbone sees in images; an embedding is the mean over all angles, so that none matters."""
    from congeal.alignment.inputs.rotated_views import TURNS, turned_pixels

    embeddings = []
    for turn in range(TURNS if at_any_angle(settings) else 1):
        turned = np.stack([turned_pixels(image, turn) for image in pixels]) if turn else pixels
        rows = (positions, turn - 1) if turn else positions
        for mirrored in (False, True) if settings.features.mirror else (False,):
            seen = _looked(backbone, np.ascontiguousarray(turned[:, :, ::-1]) if mirrored else turned)
            features, saliency = dense_arrays(turn > 0, mirrored)
            arrays[features][rows] = seen.features.float().cpu().numpy()
            arrays[saliency][rows] = seen.saliency.float().cpu().numpy()
            if not mirrored:
                embeddings.append(seen.embedding.float().cpu().numpy())
    embedding = embeddings[0]
    if len(embeddings) > 1:
        embedding = np.mean(embeddings, axis=0)
        embedding = embedding / np.linalg.norm(embedding, axis=-1, keepdims=True).clip(1e-9)
    arrays[EMBEDDING][positions] = embedding


def _looked(backbone: Backbone, pixels: Pixels) -> DenseFeatures:
    """What the backbone sees in images; half at a time, and less, where there is no memory for all."""
    import torch

    try:
        return backbone(pixels)
    except (MemoryError, OSError, RuntimeError) as error:
        if len(pixels) == 1 or not exhausted(error):
            raise
    # Here the error is gone, and with it what its frames held.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(pixels) // 2
    parts = (_looked(backbone, pixels[:half]), _looked(backbone, pixels[half:]))
    return type(parts[0])(*(torch.cat(both) for both in zip(*parts, strict=True)))


def _attributes(
    backbone: Backbone, members: Sequence[Named], weights: Weights, settings: Settings
) -> FeatureAttributes:
    attributes: FeatureAttributes = {
        "coordinates": FEATURE_COORDINATES,
        "image_ids": [image_id for image_id, _ in members],
        "image_size": backbone.image_size,
        "extent": backbone.extent,
        "backbone": weights.backbone,
        "weights_fingerprint": weights.fingerprint,
        "layer": settings.features.layer,
        "facet": settings.features.facet,
        "taps": [(str(tap), size) for tap, size in backbone.taps.items()],
        "stride": backbone.stride,
        "precision": str(backbone.precision),
    }
    if backbone.engine != "torch":
        attributes["engine"] = backbone.engine
    return attributes


def _timed(
    images: Iterable[tuple[int, Squares]], work: Work[FeaturesPayload]
) -> Iterator[tuple[int, Squares]]:
    # What is counted as decoding is how long the backbone waits for it.
    iterator = iter(images)
    while True:
        with work.watch.phase("decode"):
            image = next(iterator, None)
        if image is None:
            return
        yield image
