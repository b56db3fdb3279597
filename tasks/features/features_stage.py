"""Dense features: which images have some, and which shards are to be made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from operator import itemgetter
from typing import NamedTuple, cast

import pyarrow as pa
import zarr

from congeal.backbones.registry import shows_more_cells
from congeal.imaging import intensity_scaling
from congeal.results.schema.feature_arrays import FEATURE_GROUP
from congeal.results.schema.feature_scope import feature_scope
from congeal.settings import FeaturesSettings, Settings
from infra.errors import MissingError, UserError
from infra.ledger.commits import Marker, digest, sealed
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.catalog.catalog_stage import Catalog
from tasks.catalog.deep_image_table import load_depths
from tasks.execution import stage_versions
from tasks.execution.duckdb_workspace import insert, rows
from tasks.execution.spooled_units import spooled
from tasks.execution.stage_runner import (
    Run,
    StagePlan,
    StageResult,
    Unit,
    UnitReport,
    address,
    batched,
    read_markers,
    report,
    run_units,
    take_back,
)
from tasks.features import position_bias_unit
from tasks.features.feature_shards import (
    DIVISION,
    FeaturesPayload,
    FeaturesUnit,
    ShardFacts,
    at_any_angle,
    make_shard,
)
from tasks.features.run_backbone import Weights, shape_of

STAGE = stage_versions.FEATURES
VERSION = stage_versions.VERSIONS[STAGE]
MOST_IMAGES = 256  # in a unit
__all__ = [
    "STAGE",
    "VERSION",
    "Features",
    "Shard",
    "as_begun",
    "at_any_angle",
    "images_per_unit",
    "open_shard",
    "scope",
    "stage",
]


class Shard(NamedTuple):
    """A committed shard: its unit, the folder of its outputs, their identity (see `UnitReport`), facts."""

    unit: str
    content: str
    identity: str
    facts: ShardFacts


@dataclass(frozen=True)
class Features:
    """The finished stage: its shards, the scope that they lie in, the backbone that made them.

    position: the unit that knows what in the features is place rather than content.
    """

    result: StageResult
    scope: str
    weights: Weights
    shards: tuple[Shard, ...]
    position: UnitReport


def scope(settings: Settings, weights: Weights) -> str:
    """Digest of everything that bears on the features of an image."""
    asked = settings.features
    return feature_scope(
        VERSION,
        weights.backbone,
        weights.fingerprint,
        shape_of(weights, asked).image_size,
        {name: getattr(asked, name) for name in type(asked).model_fields},
        any_angle=at_any_angle(settings),
        value_range=settings.catalog.range,
        shrunk=_shrinks(asked, weights) and not weights.engine_shrinks,
    )


def as_begun(settings: Settings, weights: Weights, destination: Location) -> Weights:
    """The weights, used as they were for the features that a destination has: else all would be made anew."""
    if not _shrinks(settings.features, weights):
        return weights
    former = replace(weights, engine_shrinks=True)

    def there(one: Weights) -> bool:
        return bool((destination / "stages" / STAGE / scope(settings, one)).children())

    return former if there(former) and not there(weights) else weights


def _shrinks(asked: FeaturesSettings, weights: Weights) -> bool:
    """Whether OpenVINO computes with a backbone that works on fewer cells than it shows."""
    return asked.engine == "openvino" and shows_more_cells(weights.backbone)


def stage(run: Run, catalog: Catalog, weights: Weights) -> Features:
    """Features of every sound image of the catalog that has none yet."""
    here = scope(run.settings, weights)
    place = position_bias_unit.stage(run, weights, here)
    shards = run_units(_plan(run, catalog, weights, here), make_shard, run, division=DIVISION)
    found = tuple(
        Shard(made.unit, made.content, made.identity, cast("ShardFacts", made.kept)) for made in shards.units
    )
    return Features(place + shards, here, weights, found, place.units[0])


def open_shard(destination: Location, unit: str, content: str) -> zarr.Group:
    """The Zarr group of a committed shard, called "scope/unit". Raises UserError if it is gone."""
    place = address(destination, STAGE, VERSION, *unit.split("/"))
    try:
        return open_group(sealed(place.folder / content) / FEATURE_GROUP.name)
    except MissingError as error:
        raise UserError(
            f"The features in {place.folder.url} vanished while they were used: run again."
        ) from error


def images_per_unit(settings: Settings, weights: Weights) -> int:
    """How many images make one shard of about features.shard_bytes."""
    shape = shape_of(weights, settings.features)
    views = 2 if settings.features.mirror else 1
    if at_any_angle(settings):
        from congeal.alignment.inputs.rotated_views import TURNS

        views *= TURNS
    one = shape.grid**2 * shape.channels * 2 * views
    return min(max(settings.features.shard_bytes // one, 1), MOST_IMAGES)


def _plan(run: Run, catalog: Catalog, weights: Weights, here: str) -> StagePlan[FeaturesPayload]:
    """Units that hold a wanted image stay as they are; images without one go into new units, by image id."""

    def unit(found: Sequence[tuple[str, str | None, bool]]) -> FeaturesUnit:
        members = tuple((image_id, uri) for image_id, uri, _ in found)
        # Units of 8-bit images do not depend on how deeper ones become pixels.
        deep = any(deep for _, _, deep in found)
        made_by = ["greys", intensity_scaling.VERSION] if deep else []
        name = digest(here, [image_id for image_id, _ in members], *made_by)
        place = address(run.destination, STAGE, VERSION, here, name)
        payload = FeaturesPayload(run.source, run.settings, weights, members, deep)
        return Unit(place, payload, items=len(members))

    with catalog.planning() as connection:
        load_depths(connection, catalog.depths)
        connection.execute(
            "CREATE TABLE covered "
            "(image_id VARCHAR, unit VARCHAR, position INTEGER, unread BOOLEAN, greys INTEGER)"
        )
        reports = {}
        begun = frozenset((run.destination / "stages" / STAGE / here).children())
        for marker in _committed(run, here, begun):
            reports[marker.unit] = report(marker, ShardFacts.of)
            insert(connection, "covered", _covered(marker, run.settings.engine.retry_failed))
        # A unit that holds a deep image does not count if it was made when such images became other pixels.
        connection.execute(
            f"""DELETE FROM covered WHERE unit IN (
                SELECT unit FROM covered JOIN depths USING (image_id)
                WHERE greys IS DISTINCT FROM {intensity_scaling.VERSION})"""  # noqa: S608 - a number of our own
        )
        retried = []
        # An image that could not be read then, though the catalog says that it can, is worth another try; one
        # that killed its worker is, where that is asked for.
        again = """SELECT unit, image_id, uri, greys IS NOT NULL
            FROM covered LEFT JOIN wanted USING (image_id)
            WHERE unit IN (SELECT unit FROM covered JOIN wanted USING (image_id) WHERE unread)
            ORDER BY unit, position"""
        for name, members in groupby(rows(connection, again), key=itemgetter(0)):
            retried.append(unit([(image_id, uri, deep) for _, image_id, uri, deep in members]))
            take_back(retried[-1].address)
            del reports[name]
        used = "SELECT DISTINCT unit FROM covered JOIN wanted USING (image_id)"
        done = [reports[name] for (name,) in rows(connection, used) if name in reports]
        missing = (
            "SELECT image_id, uri, bits IS NOT NULL FROM (FROM wanted ANTI JOIN covered USING (image_id)) "
            "LEFT JOIN depths USING (image_id) ORDER BY image_id"
        )
        size = images_per_unit(run.settings, weights)
        todo = spooled(chain(retried, map(unit, batched(rows(connection, missing), size))))
    return StagePlan(STAGE, here, tuple(done), todo, gpu=True, keep=ShardFacts.of, begun=begun)


def _committed(run: Run, here: str, names: Collection[str]) -> Iterator[Marker]:
    places = (address(run.destination, STAGE, VERSION, here, name) for name in sorted(names))
    yield from (marker for marker in read_markers(places, run.progress) if marker is not None)


def _covered(marker: Marker, retry: bool) -> pa.Table:
    ids = marker.record["image_ids"]
    unread = {*marker.record["unread"], *(marker.record.get("killed", ()) if retry else ())}
    return pa.table(
        {
            "image_id": pa.array(ids, pa.string()),
            "unit": pa.array([marker.unit] * len(ids), pa.string()),
            "position": pa.array(range(len(ids)), pa.int32()),
            "unread": pa.array([image_id in unread for image_id in ids], pa.bool_()),
            "greys": pa.array([marker.record.get("greys")] * len(ids), pa.int32()),
        }
    )
