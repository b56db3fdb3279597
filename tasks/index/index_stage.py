"""The tables that analysts read: a unit is a bucket of clusters; a last one makes the table of all images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import zarr

from congeal.alignment.outcomes import FAILED
from congeal.results.schema.atlas_arrays import (
    ATLAS_GROUP,
    ATLAS_SALIENCY,
    FORWARD,
    FORWARD_CONFIDENCE,
    AtlasAttributes,
)
from congeal.results.schema.dictionary import dictionary_text
from congeal.results.schema.parquet_files import dataset, encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES
from congeal.results.stored.arrays import stored_array, stored_whole
from congeal.settings import Settings
from infra.errors import UserError
from infra.ledger.commits import Marker, digest, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from infra.threads import in_threads
from tasks.atlases import atlases_stage
from tasks.atlases.atlas_files import TABLE
from tasks.atlases.atlases_stage import Atlases
from tasks.catalog.catalog_stage import Catalog
from tasks.clusters.clusters_stage import Clusters
from tasks.execution import stage_versions
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    Work,
    address,
    batched,
    plan_units,
    read_markers,
    record_of,
    run_units,
)
from tasks.features.features_stage import Features
from tasks.index.atlas_lattice import LatticePoints, correspondences, lattice_points
from tasks.index.further_rows import Block, HeadInstances, merged, read_ordered, with_further
from tasks.index.images_table import images_unit, make_images
from tasks.index.index_partition import ClusterPart, buckets

STAGE = stage_versions.INDEX
VERSION = stage_versions.VERSIONS[STAGE]
BLOCK = 128  # images whose maps are read at once
HEADS = 128  # atlases that are opened ahead
AHEAD = 8  # blocks that are read ahead


@dataclass(frozen=True)
class Index:
    """The finished stage, and how many images of each kind the final table has."""

    result: StageResult
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class TablesPayload:
    """A bucket of clusters: `parts`. lattice: points a side. atlases: the scope of their units.

    backbone, weights: name and fingerprint, for the table clusters. names: of the clusters that have one.
    """

    destination: Location
    lattice: int
    atlases: str
    backbone: str
    weights: str
    parts: tuple[ClusterPart, ...]
    names: Mapping[str, str] = field(default_factory=dict)


class Sampled(NamedTuple):
    """What a bucket's tables are made of, for one part: facts of its cluster, rows of its images.

    facts: the row of the table clusters, or None where another part brings it. correspondences: a block of
    images after the other.
    """

    facts: Mapping[str, Any] | None
    alignments: pa.Table
    correspondences: Iterable[pa.RecordBatch]


class _Head(NamedTuple):
    """An opened atlas. order: the part's images in order of their ids, as positions in the group.

    group, points: None if there is no atlas. instances: of the part's images, in order of image and number.
    """

    part: ClusterPart
    marker: Marker
    group: zarr.Group | None
    points: LatticePoints | None
    order: list[int]
    alignments: pa.Table
    instances: HeadInstances | None = None


def scope(settings: Settings) -> str:
    """Digest of what bears on the tables besides the atlases."""
    return digest(STAGE, VERSION, settings.index.lattice, length=16)


def stage(run: Run, catalog: Catalog, made: Features, clusters: Clusters, atlases: Atlases) -> Index:
    """The tables of every bucket of clusters, then the table of images."""
    here = scope(run.settings)
    asked = run.settings.index
    atlas = {entry.unit: entry for entry in atlases.result.units}
    sized = ((name, unit, atlas[unit].items) for name, unit in sorted(atlases.units.items()))
    units = []
    for bucket in buckets(sized, max(1, asked.rows_per_unit // asked.lattice**2)):
        held = {part.cluster_id for part in bucket} & run.corrections.names.keys()
        names = {name: run.corrections.names[name] for name in sorted(held)}
        contents = [[*part, atlas[part.unit].content] for part in bucket]
        place = address(
            run.destination,
            STAGE,
            VERSION,
            here,
            digest(here, atlases.scope, made.weights.backbone, contents, *([names] if names else [])),
        )
        images = sum(part.stop - part.start for part in bucket)
        payload = TablesPayload(
            destination=run.destination,
            lattice=asked.lattice,
            atlases=atlases.scope,
            backbone=made.weights.backbone,
            weights=made.weights.fingerprint,
            parts=tuple(bucket),
            names=names,
        )
        units.append(Unit(place, payload, items=images))
    tables = run_units(plan_units(STAGE, here, units, run.progress), make_tables, run)
    last = images_unit(run, catalog, made, clusters, tables)
    final = run_units(
        plan_units(STAGE, last.address.scope, [last], run.progress, keep=record_of),
        make_images,
        run,
        title="index, images",
    )
    (found,) = final.units
    return Index(tables + final, cast("Mapping[str, Any]", found.kept)["counts"])


def make_tables(unit: Unit[TablesPayload]) -> Marker:
    """correspondences, alignments and clusters of one bucket, sorted by cluster and image."""
    work = Work(unit)
    asked = unit.payload
    places = [
        address(asked.destination, atlases_stage.STAGE, atlases_stage.VERSION, asked.atlases, part.unit)
        for part in asked.parts
    ]
    heads = []
    for part, place, marker in zip(asked.parts, places, read_markers(places), strict=True):
        if marker is None:
            raise UserError(f"The atlas in {place.folder.url} vanished while it was used: run again.")
        heads.append((part, outputs_location(place, marker), marker))
    # How long a cluster took, and where, is a fact of the run: it stays in the marker, out of the tables.
    made = {
        marker.record["cluster_id"]: {"seconds": marker.seconds, "device": marker.record["device"]}
        for _, _, marker in heads
    }
    return commit_tables(work, _sampled(heads, asked), made)


def commit_tables(work: Work[object], sampled: Iterable[Sampled], made: Mapping[str, Any]) -> Marker:
    """Write the tables of one bucket, parts sorted by cluster; memory holds what is written, compressed."""
    facts: list[Mapping[str, Any]] = []
    alignments: list[pa.Table] = []
    counted = 0

    def rows() -> Iterator[pa.RecordBatch]:
        nonlocal counted
        for part in sampled:
            facts.extend([part.facts] if part.facts is not None else [])
            alignments.append(part.alignments)
            for batch in part.correspondences:
                counted += batch.num_rows
                yield batch

    with work.watch.phase("sample"):
        encoded = encode_table(rows(), CORRESPONDENCES)
    with work.watch.phase("encode"):
        whole = pa.concat_tables(alignments)
        outputs = {
            "correspondences.parquet": encoded,
            "alignments.parquet": encode_table(whole, ALIGNMENTS),
            "clusters.parquet": encode_table(pa.Table.from_pylist(facts, schema=CLUSTERS), CLUSTERS),
            "dictionary.md": dictionary_text().encode(),
        }
    rows_of = {"correspondences": counted, "alignments": whole.num_rows, "clusters": len(facts)}
    first = [whole["cluster_id"][0].as_py(), whole["image_id"][0].as_py()]
    return work.commit(outputs, {"made": dict(made), "rows": rows_of, "first": first})


def _sampled(
    heads: Sequence[tuple[ClusterPart, Location, Marker]], asked: TablesPayload
) -> Iterator[Sampled]:
    for some in batched(heads, HEADS):
        opened = list(in_threads(lambda head: _open(*head, asked.lattice), list(some)))
        blocks = [
            (head, head.order[start : start + BLOCK])
            for head in opened
            for start in range(0, len(head.order), BLOCK)
        ]
        # Blocks are read ahead across atlases, since most atlases have but one.
        batches = in_threads(lambda block: _rows(*block), blocks, ahead=AHEAD)
        for head in opened:
            count = -(-len(head.order) // BLOCK)
            yield Sampled(_facts(head, asked), head.alignments, (next(batches) for _ in range(count)))


def _open(part: ClusterPart, folder: Location, marker: Marker, lattice: int) -> _Head:
    alignments = dataset([folder / TABLE], ALIGNMENTS).to_table()
    alignments = alignments.slice(part.start, part.stop - part.start)
    if marker.record["status"] == FAILED:
        return _Head(part, marker, None, None, [], alignments)
    group = open_group(folder / ATLAS_GROUP.name)
    ids = cast("AtlasAttributes", group.attrs.asdict())["image_ids"]
    order = sorted(range(len(ids)), key=lambda position: ids[position])[part.start : part.stop]
    return _Head(
        part,
        marker,
        group,
        lattice_points(stored_whole(group, ATLAS_SALIENCY), lattice),
        order,
        *merged(folder, marker, alignments),
    )


def _rows(head: _Head, order: list[int]) -> pa.RecordBatch:
    assert head.group is not None  # noqa: S101 - there are no rows without an atlas
    assert head.points is not None  # noqa: S101
    attributes = cast("AtlasAttributes", head.group.attrs.asdict())
    ids, sizes = attributes["image_ids"], attributes["sizes"]
    block = Block(
        [ids[position] for position in order],
        [sizes[position] for position in order],
        read_ordered(stored_array(head.group, FORWARD, len(ids)), order),
        read_ordered(stored_array(head.group, FORWARD_CONFIDENCE, len(ids)), order),
        np.zeros(len(order), np.int32),
    )
    if head.instances is not None:
        block = with_further(block, head.instances)
    return correspondences(head.marker.record["cluster_id"], *block[:-1], head.points, block.numbers)


def _facts(head: _Head, asked: TablesPayload) -> Mapping[str, Any] | None:
    if head.part.start:
        return None
    row = {name: head.marker.record[name] for name in CLUSTERS.names if name in head.marker.record}
    row["name"] = asked.names.get(head.marker.record["cluster_id"])
    row["backbone"] = asked.backbone
    row["weights_fingerprint"] = asked.weights
    row["atlas_unit"] = f"{head.marker.scope}/{head.marker.unit}"
    return row
