"""Atlases: a unit is one cluster, aligned, its maps in one Zarr group, its pictures beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import duckdb

from congeal.settings import Settings
from infra.ledger.commits import Marker, digest, outputs_location
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from tasks.atlases.alignment_table import facts, failed
from tasks.atlases.atlas_extension import anchor_of, extended, framed_by, still_holds
from tasks.atlases.atlas_files import encode, encode_rows, read
from tasks.atlases.atlas_identity import grown, scope
from tasks.atlases.cluster_members import HeldFeatures, Member, align_set, packed, unpacked
from tasks.atlases.instance_files import COUNTS
from tasks.atlases.instances import solved_apart, with_instances
from tasks.atlases.network_training import CHECKPOINT, NETWORKS, Networks, maps_from, stored_networks
from tasks.atlases.previews import Shown, draw, kept_squares, square_of
from tasks.atlases.second_look import second_look
from tasks.atlases.stored_atlas import Stored, as_stored
from tasks.atlases.video_smoothing import NO_FRAME, frame_places, smoothed_over_time
from tasks.atlases.window_features import Originals
from tasks.catalog.catalog_stage import Catalog
from tasks.clusters.cluster_roles import MEMBER, NEWCOMER, name_of
from tasks.clusters.clusters_stage import MEMBERS, SETS, Clusters
from tasks.clusters.drift import FORGOTTEN
from tasks.clusters.previous_versions import find_atlases
from tasks.corrections.corrections import Pose
from tasks.execution import stage_versions
from tasks.execution.division import Division, Items, reason_of_whole, reasons
from tasks.execution.duckdb_workspace import create, load, rows
from tasks.execution.packed_rows import pack_rows
from tasks.execution.spooled_units import spooled
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
from tasks.features.features_stage import Features, Shard
from tasks.features.run_backbone import Weights

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
        members: its images in order of rank, packed.
        position: outputs of the unit that knows the backbone alone.
        weights: the backbone that the features are of.
        identity: digest of the images and their features.
        base: the marker of the atlas that is extended; None: there is none.
        shown: the images of the pictures, position among the members and uri (None: not in the source).
        uris: of all members in their order, packed; None: not in the source.
        anew: it is solved, and not extended, whatever the base.
        frame: a reference image and its pose, by which the atlas lies, and not by the base.
        frames: of which video each member is a frame (`tasks.atlases.video_smoothing`); empty: of none.
    """

    source: Location
    destination: Location
    settings: Settings
    members: bytes
    position: Location
    weights: Weights
    cluster_id: str
    identity: str
    base: Marker | None
    shown: tuple[tuple[int, str | None], ...]
    uris: bytes
    anew: bool = False
    frame: tuple[str, Pose] | None = None
    frames: bytes = b""


def stage(run: Run, catalog: Catalog, made: Features, clusters: Clusters) -> Atlases:
    """An atlas for every cluster: the one that is there already, that one grown, or a new one."""
    here = scope(run.settings, made.scope)
    shards = {f"{made.scope}/{shard.unit}": shard for shard in made.shards}
    place = address(
        run.destination, features_stage.STAGE, features_stage.VERSION, made.position.scope, made.position.unit
    )
    position = place.folder / made.position.content
    by_cluster: dict[str, str] = {}

    def units(connection: duckdb.DuckDBPyConnection) -> Iterator[Unit[AtlasPayload]]:
        same = (scope(run.settings, made.scope, version) for version in stage_versions.SAME_MAPS)
        known = _known(run, clusters, (here, *same), connection)
        shown_at = frame_places(connection, catalog) if run.settings.alignment.smoothing > 0 else {}
        for cluster_id, images in _by_cluster(connection, shards):
            parts = [
                [one.image_id, unit, shards[unit].identity, one.features_row, one.role]
                for one, unit in ((image.member, image.member.features_unit) for image in images)
            ]
            frames = [shown_at.get(image.uri or "", NO_FRAME) for image in images]
            video = any(place.clip is not None for place in frames)
            identity = digest(here, made.position.content, parts, *([frames] if video else []))
            anew, frame = cluster_id in clusters.corrected.clusters, clusters.corrected.frames.get(cluster_id)
            before = known.get(cluster_id)
            anew = anew or (before is not None and bool(before.record.get(FORGOTTEN)))
            own_name = name_of(image.member.image_id for image in images)
            called = None if cluster_id == own_name else cluster_id
            name, base = grown(identity, before, anew, frame, called)
            place = address(run.destination, STAGE, VERSION, here, name)
            payload = AtlasPayload(
                source=run.source,
                destination=run.destination,
                settings=run.settings,
                members=packed([image.member for image in images]),
                position=position,
                weights=made.weights,
                cluster_id=cluster_id,
                identity=identity,
                base=base,
                shown=_shown(images, run.settings.previews.members),
                uris=pack_rows([[image.uri] for image in images]),
                anew=anew,
                frame=frame,
                frames=pack_rows(frames) if video else b"",
            )
            by_cluster[cluster_id] = name
            yield Unit(place, payload, items=len(images))

    with catalog.planning() as connection:
        load(connection, "members", [clusters.members], MEMBERS)
        load(connection, "sets", [clusters.sets], SETS)
        planned = spooled(units(connection))
    retry = run.settings.engine.retry_failed
    plan = plan_units(
        STAGE, here, planned, run.progress, gpu=True, remake=lambda marker: retry and worth_retrying(marker)
    )
    return Atlases(run_units(plan, make_atlas, run, division=DIVISION), here, by_cluster)


def _by_cluster(
    connection: duckdb.DuckDBPyConnection, shards: Mapping[str, Shard]
) -> Iterator[tuple[str, list[Shown]]]:
    """Each cluster's images in order of rank; all clusters in one reading, however many there are."""
    # One after the other, a join and a sort take half the memory that they take at once.
    create(
        connection,
        "placed",
        """SELECT cluster_id, uri, image_id, role, features_unit, features_row, width, height, rank
        FROM members LEFT JOIN wanted USING (image_id) WHERE cluster_id IS NOT NULL""",
    )
    found = rows(connection, "SELECT * EXCLUDE (rank) FROM placed ORDER BY cluster_id, rank")
    for cluster_id, group in groupby(found, key=itemgetter(0)):
        yield cluster_id, [_placed(shards, uri, Member(*values)) for _, uri, *values in group]


def _placed(shards: Mapping[str, Shard], uri: str | None, member: Member) -> Shown:
    shard = shards[member.features_unit]
    return Shown(member._replace(content=shard.content, preview=shard.facts.preview), uri)


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
    parents = clusters.corrected.parents
    found = find_atlases(run, clusters.base, scopes, names | set(parents.values()))
    split = {child: found[parent] for child, parent in parents.items() if parent in found}
    return {name: marker for name, marker in found.items() if name in names} | split


def _shown(images: Sequence[Shown], most: int) -> tuple[tuple[int, str | None], ...]:
    """Position and uri of the images of the pictures: half of them newcomers, if there are so many."""
    late = [at for at, image in enumerate(images) if image.member.role == NEWCOMER]
    early = [at for at, image in enumerate(images) if image.member.role != NEWCOMER]
    first = most // 2
    chosen = [*late[:first], *early, *late[first:]][:most]
    return tuple((at, images[at].uri) for at in sorted(chosen))


def _images_shown(asked: AtlasPayload, members: Sequence[Member]) -> list[Shown]:
    return [Shown(members[at], uri) for at, uri in asked.shown]


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
    members = unpacked(unit.payload.members)
    solved = _solved(unit.payload, members, device, work.watch, unit.address.folder)
    looked = solved.looked
    with work.watch.phase("solver"):
        stored, smooth = smoothed_over_time(solved.stored, unit.payload.frames, settings, solved.kept)
    stored, several = with_instances(
        stored, unit.payload.destination, members, solved.kept, settings, device, work.watch
    )
    shown = _images_shown(unit.payload, members)
    killed = {shown[item].member.image_id: why for item, why in reasons(unit, killers).items()}
    with work.watch.phase("previews"):
        rest = [image for image in shown if image.member.image_id not in killed]
        pictures = draw(unit.payload.source, unit.payload.destination, rest, stored, settings)
    with work.watch.phase("encode"):
        outputs = encode(stored, unit.payload.cluster_id, unit.payload.weights.fingerprint)
    record = {
        "cluster_id": unit.payload.cluster_id,
        "identity": unit.payload.identity,
        **facts(stored),
        "maps_from": maps_from(solved.trained),
        "solver_config": settings.atlases.solver_config.differences(),
        "device": str(device),
        "not_shown": pictures.not_shown | killed,
        **({"killed": list(killed)} if killed else {}),
        **({"second_look": looked} if looked else {}),
        **({"networks": solved.trained} if solved.trained else {}),
        **({"smoothed": smooth} if smooth else {}),
        **({COUNTS: several} if several else {}),
    }
    beside = {} if solved.networks is None else {NETWORKS: solved.networks}
    marker = work.commit({**outputs, **pictures.files, **beside}, record)
    if solved.trained:
        (unit.address.folder / CHECKPOINT).delete()
    return marker


def look_again(unit: Unit[AtlasPayload], items: Items) -> None:
    """Read some of the images of the pictures, by position, and keep nothing: do they kill?"""
    asked = unit.payload
    every = _images_shown(asked, unpacked(asked.members))
    shown = [every[item] for item in items]
    kept = kept_squares(asked.destination, shown, asked.settings)
    for at, image in enumerate(shown):
        if at not in kept:
            square_of(asked.source, image, asked.settings)


def make_atlas_without(unit: Unit[AtlasPayload], _: Sequence[Items], killers: Items) -> Marker:
    """The atlas of one cluster, with the images that kill left out of the pictures."""
    return make_atlas(unit, killers)


def give_up(unit: Unit[AtlasPayload]) -> Marker:
    """Commit that there is no atlas: the images' rows, and why."""
    work = Work(unit)
    cluster_id = unit.payload.cluster_id
    members = unpacked(unit.payload.members)
    table, known = failed(members, cluster_id, reason_of_whole(unit))
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


@dataclass(frozen=True)
class _Solved:
    """A cluster's atlas. looked, trained: what there is to say of a second look and of networks.

    kept: ids of images whose maps are those of the atlas that it grew from.
    """

    stored: Stored
    looked: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)
    networks: bytes | None = None
    kept: frozenset[str] = frozenset()


def _solved(
    asked: AtlasPayload, members: list[Member], device: torch.device, watch: Stopwatch, folder: Location
) -> _Solved:
    """The atlas of a cluster. folder: of the unit."""
    destination, base, settings = asked.destination, asked.base, asked.settings
    originals = Originals.of(asked.source, asked.weights, asked.uris, members, settings)
    anchor = None
    builders = [member for member in members if member.role == MEMBER]
    if base is not None:
        with watch.phase("read"):
            place = outputs_location(destination, base)
            before = read(place, base.record["margin"], base.record["medoid_image_id"])
        if not asked.anew and still_holds(before, members):
            found = extended(before, destination, members, settings, device, watch, originals)
            told = base.record
            looked, trained = told.get("second_look", {}), told.get("networks", {})
            kept = frozenset(member.image_id for member in before.members)
            return _Solved(found, looked, trained, stored_networks(destination, base), kept)
        anchor = anchor_of(before, builders)
    if asked.frame is not None:
        anchor = framed_by(*asked.frame, builders) or anchor
    held = HeldFeatures(destination, builders, watch)
    first = align_set(destination, members, asked.position, settings, device, watch, anchor, held)
    first = solved_apart(first, held, members, asked.position, settings, device, watch, anchor)
    networks = Networks(destination, settings, device, watch, originals, folder)
    looked = {}
    if settings.alignment.second_look != "off":
        finishing = networks.finishing(members)
        finish = finishing.finish if networks.asked else None
        again = second_look(
            first, held, members, asked.position, originals, settings, device, watch, anchor, finish
        )
        if again is not None and again.aligned is not None:
            stored = replace(as_stored(members, again.aligned), first_look=again.first)
            return _Solved(stored, again.facts, finishing.facts, finishing.networks)
        looked = {} if again is None else again.facts
    if not networks.asked:
        return _Solved(as_stored(members, first), looked)
    held.let_go()
    made = networks.train_set(first, members)
    return _Solved(as_stored(members, made.aligned), looked, made.facts, made.networks)
