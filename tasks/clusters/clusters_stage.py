"""The collection split into sets that show one kind of thing: one unit over everyone's embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import duckdb
import pyarrow as pa

from congeal.results.schema.parquet_files import encode_table
from congeal.settings import Settings
from infra.errors import UserError
from infra.ledger.commits import Marker, digest, sealed
from infra.storage.location import Location
from tasks.catalog import listed_groups
from tasks.catalog.catalog_stage import Catalog
from tasks.catalog.own_unit import OwnFile
from tasks.clusters.cluster_growth import grow
from tasks.clusters.cluster_placement import placed, split_anew, taking_part, with_excluded
from tasks.clusters.cluster_roles import builders_of, sort
from tasks.clusters.collection_embeddings import Shards, embeddings_of, gather, why_none
from tasks.clusters.drift import to_regrade
from tasks.clusters.known_groups import grouped, groups_of, grow_groups, sort_groups
from tasks.clusters.previous_versions import Base, base_atlases, find_base
from tasks.clusters.regrade import Regrade
from tasks.corrections.corrections import NOWHERE, Placement, Pose
from tasks.execution import stage_versions
from tasks.execution.duckdb_workspace import insert, load, scalar, workspace
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    Work,
    address,
    plan_units,
    record_of,
    run_units,
)
from tasks.features.features_stage import Features, Shard

STAGE = stage_versions.CLUSTERS
VERSION = stage_versions.VERSIONS[STAGE]

MEMBERS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("cluster_id", pa.string()),
        pa.field("role", pa.string()),  # see tasks.clusters.cluster_roles
        pa.field("rank", pa.int32()),  # by distance from the medoid; then near copies, then newcomers
        pa.field("distance", pa.float32()),
        pa.field("outlier", pa.bool_(), nullable=False),
        pa.field("features_unit", pa.string(), nullable=False),
        pa.field("features_row", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
    ],
    metadata={b"congeal.table": b"members", b"congeal.schema_version": b"1"},
)
SETS = pa.schema(
    [
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("medoid_image_id", pa.string(), nullable=False),
        pa.field("n_images", pa.int32(), nullable=False),
        pa.field("n_members", pa.int32(), nullable=False),
    ],
    metadata={b"congeal.table": b"sets", b"congeal.schema_version": b"1"},
)


@dataclass(frozen=True, slots=True)
class ClustersPayload:
    """What is clustered.

    Attributes:
        catalog: the table of images.
        destination, scope, shards: where the features are.
        inputs: digest of all of it.
        base: the members of the earlier version that is extended; None: there is none.
        regrade: which of its clusters are ordered anew.
        version: of this stage, by whose rule images are split and join.
        placement: what corrections say of images. corrections: their numbers.
        own: the columns of the collection's owner, where images are grouped by one.
    """

    settings: Settings
    catalog: Location
    destination: Location
    scope: str
    shards: tuple[Shard, ...]
    inputs: str
    base: Location | None
    regrade: Regrade
    version: int = VERSION
    own: tuple[OwnFile, ...] = ()
    placement: Placement = NOWHERE
    corrections: tuple[int, ...] = ()


@dataclass(frozen=True)
class Corrected:
    """What corrections ask of the atlases of this run.

    Attributes:
        clusters: solved anew, in their old frame.
        frames: cluster to the reference image that says how its frame lies, and its pose there.
        parents: cluster to the one that it was split from, whose frame it keeps.
    """

    clusters: frozenset[str] = frozenset()
    frames: Mapping[str, tuple[str, Pose]] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Clusters:
    """The finished stage: its two tables, and how many clusters and outliers there are.

    base: what they have grown from; None if they have not. corrected: what corrections ask of the atlases.
    """

    result: StageResult
    members: Location
    sets: Location
    identity: str
    clusters: int
    outliers: int
    base: Base | None = None
    corrected: Corrected = Corrected()


def scope(run_settings: Settings, features_scope: str, version: int = VERSION) -> str:
    """Digest of what bears on the split and on who builds an atlas, for a version of this stage."""
    asked = run_settings.clusters
    return digest(
        STAGE,
        version,
        features_scope,
        asked.method,
        asked.smallest,
        asked.sample,
        run_settings.atlases.atlas_size,
        run_settings.seed,
        *([asked.split] if asked.split != "off" else []),
        *(["change"] if builders_of(run_settings) == "change" else []),
        length=16,
    )


def stage(run: Run, catalog: Catalog, made: Features) -> Clusters:
    """Split the images that have features, or extend the clusters of the last version that was split so.

    What an earlier version of this stage has split goes on by its rule, in units of that version.
    """
    versions = {scope(run.settings, made.scope, one): one for one in (VERSION, *stage_versions.SPLIT_BEFORE)}
    here, base = next(iter(versions)), None
    if run.settings.clusters.growth == "extend":
        here, base = find_base(run, list(versions))
    version = versions[here]
    inputs = digest(here, catalog.identity, [[entry.unit, entry.identity] for entry in made.shards])
    method = run.settings.clusters.method
    by_own = listed_groups.by_own_columns(method)
    if by_own:
        inputs = digest(inputs, listed_groups.groups_digest(catalog.survey, method))
    regrade = Regrade() if base is None else to_regrade(run.settings, base_atlases(run, base))
    applied = None if base is None else tuple(base.marker.record.get("corrections", ()))
    wanted = run.corrections.of_members
    placement = run.corrections.placement(applied)
    touched = placement.touched
    regrade = Regrade(frozenset(regrade.always) | touched, frozenset(regrade.if_changed) - touched)
    said = [placement.digest] if placement else []
    name = digest(inputs, *said) if said else inputs
    if base is not None and (
        base.marker.record.get("inputs") != inputs or regrade.always or applied != wanted
    ):
        name = digest(inputs, base.identity, sorted(regrade.always), sorted(regrade.if_changed), *said)
    elif base is not None:
        name = base.marker.unit  # nothing has come or gone
    unit = Unit(
        address(run.destination, STAGE, version, here, name),
        ClustersPayload(
            settings=run.settings,
            catalog=catalog.images,
            destination=run.destination,
            scope=made.scope,
            shards=made.shards,
            inputs=inputs,
            base=None if base is None else base.members,
            regrade=regrade,
            version=version,
            placement=placement,
            corrections=wanted,
            own=catalog.own if by_own else (),
        ),
        items=catalog.ok,
    )
    result = run_units(plan_units(STAGE, here, [unit], run.progress, keep=record_of), make_clusters, run)
    (found,) = result.units
    record = cast("Mapping[str, Any]", found.kept)
    folder = sealed(unit.address.folder / found.content)
    return Clusters(
        result=result,
        members=folder / "members.parquet",
        sets=folder / "clusters.parquet",
        identity=f"{here}/{name}/{found.content}",
        clusters=record["clusters"],
        outliers=record["outliers"],
        base=base,
        corrected=_corrected(run, applied, touched),
    )


def _corrected(run: Run, applied: tuple[int, ...] | None, touched: frozenset[str]) -> Corrected:
    if applied is None:
        return Corrected()
    corrections = run.corrections
    return Corrected(touched, corrections.frames(applied), corrections.parents(applied))


def make_clusters(unit: Unit[ClustersPayload]) -> Marker:
    """Gather the embeddings in order of image id; split them, or let newcomers join what there was."""
    work = Work(unit)
    settings: Settings = unit.payload.settings
    base: Location | None = unit.payload.base
    with workspace() as connection:
        with work.watch.phase("read"):
            n = gather(connection, unit.payload.catalog, unit.payload.shards)
        if n == 0:
            raise UserError(why_none(connection, unit.payload.catalog, unit.payload.shards))
        grown: dict[str, int] = {}
        shards = Shards(unit.payload.destination, unit.payload.scope, unit.payload.shards)
        with (
            embeddings_of(connection, shards, work.watch, n) as (embeddings, ids),
            work.watch.phase("cluster"),
        ):
            placement = unit.payload.placement
            kept = taking_part(ids, placement)
            chosen = embeddings if kept is None else embeddings[kept]
            names = ids if kept is None else ids.take(pa.array(kept))
            if not len(chosen):
                raise UserError("Every image is excluded: undo a correction (`congeal clusters DEST list`).")
            known = None
            if grouped(settings):
                payload = unit.payload
                known = groups_of(connection, settings, payload.catalog, payload.own, chosen, kept)
            version = unit.payload.version
            if base is None:
                sorting = (
                    sort(chosen, settings, version)
                    if known is None
                    else sort_groups(chosen, known, settings, version)
                )
                rows = split_anew(chosen, names, sorting, settings, placement, version)
            else:
                earlier = _earlier(connection, base)
                earlier = (
                    placed(earlier, ids, placement) if unit.payload.corrections or placement else earlier
                )
                earlier = earlier if kept is None else earlier.take(pa.array(kept))
                regrade, references = unit.payload.regrade, placement.references
                rows, joined, founded = (
                    grow(chosen, names, earlier, settings, regrade, version, references)
                    if known is None
                    else grow_groups(chosen, names, earlier, known, settings, regrade, version, placement)
                )
                grown = {"joined": joined, "founded": founded}
            rows = rows if kept is None else with_excluded(rows, kept, n)
        connection.execute(
            "CREATE TABLE sorting "
            "(position BIGINT, cluster_id VARCHAR, role VARCHAR, rank INTEGER, distance FLOAT)"
        )
        insert(connection, "sorting", rows.table())
        members = _members(connection, unit.payload.scope)
        sets = _sets(connection)
        record = {
            "inputs": unit.payload.inputs,
            "clusters": sets.num_rows,
            "outliers": scalar(
                connection,
                "SELECT count(*) FROM sorting WHERE cluster_id IS NULL AND role IS DISTINCT FROM 'excluded'",
            ),
            **grown,
            **({"corrections": list(unit.payload.corrections)} if unit.payload.corrections else {}),
        }
        outputs = {
            "members.parquet": encode_table(members, MEMBERS),
            "clusters.parquet": encode_table(sets, SETS),
        }
    return work.commit(outputs, record)


def _earlier(connection: duckdb.DuckDBPyConnection, base: Location) -> pa.Table:
    """What the base says of every usable image, see `tasks.clusters.cluster_growth.grow`."""
    load(connection, "base", [base], MEMBERS, "image_id, cluster_id, role, rank, distance")
    return connection.sql(
        """SELECT b.cluster_id, b.role, b.rank, b.distance, b.image_id IS NOT NULL AS known, s.size
        FROM usable u LEFT JOIN base b USING (image_id)
        LEFT JOIN (SELECT cluster_id, count(*) AS size FROM base GROUP BY cluster_id) s
               ON s.cluster_id = b.cluster_id
        ORDER BY position"""
    ).to_arrow_table()


def _members(connection: duckdb.DuckDBPyConnection, scope_: str) -> pa.Table:
    return connection.sql(
        f"""SELECT image_id, cluster_id, role, rank, distance,
                   cluster_id IS NULL AND role IS DISTINCT FROM 'excluded' AS outlier,
                   '{scope_}/' || unit AS features_unit, features_row, width, height
            FROM usable JOIN sorting USING (position)
            ORDER BY cluster_id NULLS LAST, rank, image_id"""  # noqa: S608 - our own names
    ).to_arrow_table()


def _sets(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    return connection.sql(
        """SELECT cluster_id, arg_min(image_id, rank) AS medoid_image_id,
                  count(*) AS n_images, count(*) FILTER (WHERE role = 'member') AS n_members
           FROM usable JOIN sorting USING (position)
           WHERE cluster_id IS NOT NULL GROUP BY cluster_id ORDER BY cluster_id"""
    ).to_arrow_table()
