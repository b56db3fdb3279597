"""Atlases: a unit is one cluster, aligned, its maps in one Zarr group, its pictures beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from congeal.settings import Settings
from infra.ledger.commits import Marker, digest, outputs_location
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from tasks.atlases.alignment_table import facts, failed
from tasks.atlases.atlas_extension import anchor_of, extended, still_holds
from tasks.atlases.atlas_files import encode, encode_rows, read
from tasks.atlases.cluster_members import Member, align_set, read_members
from tasks.atlases.previews import draw, square_of
from tasks.atlases.stored_atlas import Stored, as_stored
from tasks.catalog.catalog_stage import CATALOG, Catalog
from tasks.catalog.image_reading import Named
from tasks.clusters.cluster_roles import MEMBER, NEWCOMER
from tasks.clusters.clusters_stage import MEMBERS, SETS, Clusters
from tasks.clusters.previous_versions import find_atlases
from tasks.execution import stage_versions
from tasks.execution.division import KILLED, KILLED_CLUSTER, Division, Items
from tasks.execution.duckdb_workspace import load, rows, workspace
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    Work,
    address,
    plan_units,
    run_units,
    worth_retrying,
)
from tasks.features import features_stage
from tasks.features.features_stage import Features

if TYPE_CHECKING:
    import torch

STAGE = stage_versions.ATLASES
VERSION = stage_versions.VERSIONS[STAGE]
__all__ = ["STAGE", "VERSION", "Atlases", "make_atlas", "scope", "stage"]


@dataclass(frozen=True)
class Atlases:
    """The finished stage: each cluster's unit."""

    result: StageResult
    scope: str
    units: Mapping[str, str]  # cluster id -> unit


@dataclass(frozen=True, slots=True)
class AtlasPayload:
    """One cluster.

    Attributes:
        members: the table of all clusters' members.
        position: outputs of the unit that knows the backbone alone.
        weights: fingerprint of the backbone's weights.
        identity: digest of the images and where their features are.
        base: the marker of the atlas that is extended; None: there is none.
        shown: the images of the pictures, id and uri.
    """

    source: Location
    destination: Location
    settings: Settings
    members: Location
    position: Location
    weights: str
    cluster_id: str
    identity: str
    base: Marker | None
    shown: tuple[Named, ...]


class _Ranked(NamedTuple):
    """An image of a cluster. unit, row: where its features lie; uri: None if the catalog has it no more."""

    image_id: str
    unit: str
    row: int
    role: str
    rank: int
    uri: str | None


def scope(settings: Settings, features_scope: str, version: int = VERSION) -> str:
    """Digest of what bears on an atlas besides its members, for a version of this stage."""
    asked, previews = settings.atlases, settings.previews
    return digest(
        STAGE,
        version,
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
    """An atlas for every cluster: the one that is there already, that one grown, or a new one."""
    here = scope(run.settings, made.scope)
    contents = {entry.unit: entry.content for entry in made.shards}
    place = address(
        run.destination, features_stage.STAGE, features_stage.VERSION, made.position.scope, made.position.unit
    )
    position = place.folder / made.position.content
    units, by_cluster = [], {}
    with workspace() as connection:
        load(connection, "members", [clusters.members], MEMBERS)
        load(connection, "images", [catalog.images], CATALOG, "image_id, uri, status")
        connection.execute("DELETE FROM images WHERE status <> 'ok'")
        load(connection, "sets", [clusters.sets], SETS)
        same = (scope(run.settings, made.scope, version) for version in stage_versions.SAME_MAPS)
        known = _known(run, clusters, (here, *same), connection)
        for cluster_id, images in _by_cluster(connection):
            parts = [
                [one.image_id, one.unit, contents[one.unit.partition("/")[2]], one.row, one.role]
                for one in images
            ]
            identity = digest(here, made.position.content, parts)
            name, base = _grown(identity, known.get(cluster_id))
            place = address(run.destination, STAGE, VERSION, here, name)
            payload = AtlasPayload(
                source=run.source,
                destination=run.destination,
                settings=run.settings,
                members=clusters.members,
                position=position,
                weights=made.weights.fingerprint,
                cluster_id=cluster_id,
                identity=identity,
                base=base,
                shown=_shown(images, run.settings.previews.members),
            )
            units.append(Unit(place, payload, items=len(images)))
            by_cluster[cluster_id] = name
    retry = run.settings.engine.retry_failed
    plan = plan_units(
        STAGE, here, units, run.progress, gpu=True, remake=lambda marker: retry and worth_retrying(marker)
    )
    return Atlases(run_units(plan, make_atlas, run, division=DIVISION), here, by_cluster)


def _by_cluster(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, list[_Ranked]]]:
    """Each cluster's images in order of rank; all clusters in one reading, however many there are."""
    found = rows(
        connection,
        """SELECT cluster_id, image_id, features_unit, features_row, role, rank, uri
        FROM members LEFT JOIN images USING (image_id)
        WHERE cluster_id IS NOT NULL ORDER BY cluster_id, rank""",
    )
    for cluster_id, group in groupby(found, key=itemgetter(0)):
        yield cluster_id, [_Ranked(*values) for _, *values in group]


def _known(
    run: Run, clusters: Clusters, scopes: Collection[str], connection: duckdb.DuckDBPyConnection
) -> Mapping[str, Marker]:
    """The atlases that the clusters had before, where they have grown from an earlier version's."""
    if clusters.base is None:
        return {}
    load(connection, "earlier", [clusters.base.sets], SETS, "cluster_id")
    names = {
        name
        for (name,) in rows(connection, "FROM sets SEMI JOIN earlier USING (cluster_id) SELECT cluster_id")
    }
    # What an atlas was built from must not have changed: deep images that became other pixels have other
    # features, and their cluster is solved anew.
    load(connection, "before", [clusters.base.members], MEMBERS, "image_id, features_unit")
    changed = """SELECT DISTINCT m.cluster_id FROM members m JOIN before b USING (image_id)
        WHERE m.features_unit <> b.features_unit AND m.cluster_id IS NOT NULL"""
    names -= {name for (name,) in rows(connection, changed)}
    return find_atlases(run, clusters.base, scopes, names)


def _grown(identity: str, base: Marker | None) -> tuple[str, Marker | None]:
    """The name of a cluster's unit, and the one it grows from.

    Of the images that an atlas holds and the atlas that it grew from, only the images are in its identity: so
    it is known again, whichever way it came about.
    """
    if base is None:
        return identity, None
    if base.record["identity"] == identity:
        return base.unit, None
    return digest(identity, base.unit, base.content), base


def _shown(images: Sequence[_Ranked], most: int) -> tuple[Named, ...]:
    """The images of the pictures: half of them newcomers, if there are so many, then by rank."""
    late = [one for one in images if one.role == NEWCOMER]
    early = [one for one in images if one.role != NEWCOMER]
    first = most // 2
    chosen = [*late[:first], *early, *late[first:]][:most]
    return tuple((one.image_id, one.uri) for one in sorted(chosen, key=lambda one: one.rank))


def make_atlas(unit: Unit[AtlasPayload], killers: Items = ()) -> Marker:
    """The atlas of one cluster, from its members or from the one it had; commit maps, rows and pictures.

    killers: positions of images that are left out of the pictures.
    """
    work = Work(unit)
    with work.watch.phase("start"):
        import torch

        from congeal.backbones.devices import resolve_device
    settings = unit.payload.settings
    torch.set_num_threads(unit.threads)
    device = resolve_device(settings.features.device)
    members = read_members(unit.payload.members, unit.payload.cluster_id)
    stored = _solved(unit.payload, members, device, work.watch)
    shown = unit.payload.shown
    killed = [shown[item][0] for item in killers]
    with work.watch.phase("previews"):
        rest = [image for image in shown if image[0] not in killed]
        pictures = draw(unit.payload.source, rest, stored, settings)
    with work.watch.phase("encode"):
        outputs = encode(stored, unit.payload.cluster_id, unit.payload.weights, pictures.average)
    record = {
        "cluster_id": unit.payload.cluster_id,
        "identity": unit.payload.identity,
        **facts(stored),
        "device": str(device),
        "not_shown": pictures.not_shown | dict.fromkeys(killed, KILLED),
        **({"killed": killed} if killed else {}),
    }
    return work.commit({**outputs, **pictures.files}, record)


def look_again(unit: Unit[AtlasPayload], items: Items) -> None:
    """Read some of the images of the pictures, by position, and keep nothing: do they kill?"""
    for item in items:
        square_of(unit.payload.source, unit.payload.shown[item], unit.payload.settings)


def make_atlas_without(unit: Unit[AtlasPayload], _: Sequence[Items], killers: Items) -> Marker:
    """The atlas of one cluster, with the images that kill left out of the pictures."""
    return make_atlas(unit, killers)


def give_up(unit: Unit[AtlasPayload]) -> Marker:
    """Commit that there is no atlas: the images' rows, and why."""
    work = Work(unit)
    cluster_id = unit.payload.cluster_id
    members = read_members(unit.payload.members, cluster_id)
    table, known = failed(members, cluster_id, KILLED_CLUSTER)
    record = {
        **known,
        "identity": unit.payload.identity,
        "device": None,
        "not_shown": {},
        "killed": [cluster_id],
    }
    return work.commit(encode_rows(table), record)


# Only the pictures of an atlas depend on single images.
DIVISION = Division(
    items=lambda unit: len(unit.payload.shown), make=look_again, join=make_atlas_without, fail=give_up
)


def _solved(asked: AtlasPayload, members: list[Member], device: torch.device, watch: Stopwatch) -> Stored:
    destination, base, settings = asked.destination, asked.base, asked.settings
    anchor = None
    if base is not None:
        with watch.phase("read"):
            place = outputs_location(destination, base)
            before = read(place, base.record["margin"], base.record["medoid_image_id"])
        if still_holds(before, members):
            return extended(before, destination, members, settings, device, watch)
        anchor = anchor_of(before, [member for member in members if member.role == MEMBER])
    return as_stored(
        members, align_set(destination, members, asked.position, settings, device, watch, anchor=anchor)
    )
