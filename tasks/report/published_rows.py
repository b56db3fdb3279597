"""What the published tables say, cluster by cluster, as the units of the report take it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads

from congeal.alignment.outcomes import FAILED
from congeal.results.cluster_report import MemberRow
from congeal.results.outlier_counts import further_instances
from congeal.results.published_tables import SMALL_TABLES, PublishedTables
from congeal.results.schema.instances import INSTANCE, of_first
from congeal.results.schema.own_fields import own_fields
from congeal.results.schema.tables import CLUSTERS

_IMAGES = ["image_id", "uri", "width", "height", "features_unit", "features_row"]
FURTHER = "further"
_ALIGNMENTS = [name for name in MemberRow._fields if name not in (*_IMAGES, FURTHER)]
MOST = 1_000  # failures and duplicates that are named


@dataclass(frozen=True)
class ClusterRows:
    """A cluster and its members. copies: file, and the image that it is byte for byte."""

    facts: dict[str, Any]
    members: list[MemberRow]
    copies: list[tuple[str, str]]

    @property
    def cluster_id(self) -> str:
        """The cluster."""
        return str(self.facts["cluster_id"])

    @property
    def has_atlas(self) -> bool:
        """Whether there are maps to show."""
        return self.facts["status"] != FAILED and self.facts["atlas_unit"] is not None


@dataclass(frozen=True)
class PublishedRows:
    """All that a report shows of the tables.

    Attributes:
        clusters: in the order of the table, with the columns of `PublishedTables.clusters`.
        loose: images that are in no cluster, by id.
        failures, duplicates: pairs of texts, the first MOST.
        failed, copied: how many there are of them.
        own: image_id and the columns of the collection's owner, of all that are ok.
    """

    clusters: list[ClusterRows]
    loose: list[MemberRow]
    failures: list[tuple[str, str]]
    failed: int
    duplicates: list[tuple[str, str]]
    copied: int
    table: list[dict[str, Any]] = field(repr=False)
    own: pa.Table = field(repr=False)

    @cached_property
    def without_page(self) -> list[MemberRow]:
        """Images that no cluster's page shows: without a cluster, or of one that has failed."""
        lost = (row for cluster in self.clusters if not cluster.has_atlas for row in cluster.members)
        return [*self.loose, *lost]


def published_rows(tables: PublishedTables) -> PublishedRows:
    """Read them; memory holds a row an image."""
    tables.fetch(*SMALL_TABLES)
    images = tables.dataset("images")
    ok = images.to_table(columns=[*_IMAGES, "cluster_id"], filter=pads.field("status") == "ok")
    table = tables.clusters().to_pylist()
    alignments = tables.dataset("alignments").to_table(
        columns=["image_id", "cluster_id", *_ALIGNMENTS], filter=of_first()
    )
    joined = ok.join(alignments.drop_columns(["cluster_id"]), "image_id", join_type="left outer")
    joined = joined.append_column(FURTHER, _further(tables, joined["image_id"]))
    members = _members(joined.filter(pads.field("cluster_id").is_valid()))
    copies, duplicates, copied = _copies(images, ok)
    clusters = [
        ClusterRows(
            {name: row.get(name) for name in CLUSTERS.names},
            members.get(row["cluster_id"], []),
            copies.get(row["cluster_id"], []),
        )
        for row in table
    ]
    failed = images.to_table(columns=["uri", "error"], filter=pads.field("status") == "failed")
    loose = _rows(joined.filter(~pads.field("cluster_id").is_valid()))
    return PublishedRows(
        clusters,
        sorted(loose, key=attrgetter("image_id")),
        [(row["uri"], row["error"] or "") for row in failed.slice(0, MOST).to_pylist()],
        failed.num_rows,
        duplicates,
        copied,
        table,
        _own(images),
    )


def _further(tables: PublishedTables, ids: pa.ChunkedArray) -> pa.Array:
    """How many things of its kind each image shows besides its first, int64 in the order of the ids."""
    counts: Counter[str] = Counter()
    if further_instances(tables.publication.counts)["found"]:
        more = pads.field(INSTANCE) > 0
        rows = tables.dataset("alignments").to_table(columns=["image_id"], filter=more)
        counts.update(rows["image_id"].to_pylist())
    return pa.array([counts[name] for name in ids.to_pylist()] if counts else [0] * len(ids), pa.int64())


def _own(images: pads.Dataset) -> pa.Table:
    names = [one.name for one in own_fields(images.schema)]
    return images.to_table(columns=["image_id", *names], filter=pads.field("status") == "ok")


def _members(joined: pa.Table) -> dict[str, list[MemberRow]]:
    ordered = joined.sort_by([("cluster_id", "ascending"), ("uri", "ascending")])
    pairs = zip(ordered["cluster_id"].to_pylist(), _rows(ordered), strict=True)
    return {cluster_id: [row for _, row in group] for cluster_id, group in groupby(pairs, key=itemgetter(0))}


def _rows(joined: pa.Table) -> list[MemberRow]:
    columns = [joined[name].to_pylist() for name in MemberRow._fields]
    return [MemberRow(*values) for values in zip(*columns, strict=True)]


def _copies(
    images: pads.Dataset, ok: pa.Table
) -> tuple[dict[str, list[tuple[str, str]]], list[tuple[str, str]], int]:
    """Copies by cluster, the first of all of them, and how many there are."""
    found = images.to_table(
        columns=["uri", "image_id", "cluster_id"], filter=pads.field("status") == "duplicate"
    ).to_pylist()
    wanted = {row["image_id"] for row in found}
    same = {
        image_id: uri
        for image_id, uri in zip(ok["image_id"].to_pylist(), ok["uri"].to_pylist(), strict=True)
        if image_id in wanted
    }
    by_cluster: dict[str, list[tuple[str, str]]] = {}
    for row in found:
        pair = row["uri"], same.get(row["image_id"], "")
        if row["cluster_id"] is not None:
            by_cluster.setdefault(row["cluster_id"], []).append(pair)
    pairs = [(row["uri"], same.get(row["image_id"], "")) for row in found[:MOST]]
    return by_cluster, pairs, len(found)


def buckets(names: Sequence[str], most: int) -> Iterator[list[int]]:
    """Positions of names, hex digits each, cut where their first digits differ, about ``most`` in each.

    So a name that comes or goes changes its own bucket alone, until they are all cut finer.
    """
    digits = 0
    while len(names) > most * 16**digits:
        digits += 1
    order = sorted(range(len(names)), key=lambda at: names[at])
    for _, group in groupby(order, key=lambda at: names[at][:digits]):
        yield list(group)
