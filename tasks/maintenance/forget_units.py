"""Units without some images: their tables, arrays and markers, rewritten under the names that they have.

A row of features stays, empty, since others are known by their place; rows of all else go. An atlas loses its
pictures, the average image, and the features of its template: the next run solves it anew.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from congeal.results.schema.atlas_arrays import (
    ATLAS_FEATURES,
    ATLAS_GROUP,
    EXEMPLAR_FEATURES,
    EXEMPLAR_PLACES,
    FIRST_LOOK_GROUP,
    FORMER_AVERAGE,
    FORMER_EXEMPLARS,
    INSTANCES_GROUP,
)
from congeal.results.schema.feature_arrays import FEATURE_GROUP
from congeal.results.schema.own_fields import own_fields, with_own
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES
from infra.ledger.commits import Marker, content_of, outputs_location, rewrite_unit
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.atlases.atlas_files import TABLE
from tasks.atlases.instance_files import COUNTS, INSTANCES
from tasks.catalog.catalog_slices import CATALOG
from tasks.catalog.deep_image_table import DEPTHS, DEPTHS_FILE
from tasks.catalog.own_columns import FILES
from tasks.clusters.cluster_roles import MEMBER, NEWCOMER
from tasks.clusters.clusters_stage import MEMBERS, SETS
from tasks.clusters.drift import FORGOTTEN
from tasks.execution.stage_runner import APART, IDENTITY
from tasks.maintenance.changed_arrays import arrays_of, changed_group

GONE = "forgotten"  # in the place of an id where the row stays
PREVIEWS = "previews/"
OWN_FILES = frozenset(FILES.values())
_EXEMPLARS = (EXEMPLAR_FEATURES, EXEMPLAR_PLACES, *FORMER_EXEMPLARS)
_BLANK = {array.path for array in (ATLAS_FEATURES, *_EXEMPLARS)}


@dataclass
class Forgetting:
    """What goes, and what is known of it so far.

    Attributes:
        ids: of the images. uris: their paths.
        ended: clusters, by unit of the atlas ("scope/unit"), of which nothing is left.
        atlases: records of the atlases that were rewritten, by unit.
    """

    ids: frozenset[str]
    uris: frozenset[str]
    ended: dict[str, str] = field(default_factory=dict)
    atlases: dict[str, dict[str, Any]] = field(default_factory=dict)

    def names(self, value: Any) -> bool:
        """Whether a value is an id or a path of one of the images, or a text that holds one."""
        if not isinstance(value, str):
            return False
        return any(image in value for image in self.ids) or any(
            value == uri or value.startswith(f"{uri}: ") for uri in self.uris
        )


def rewrite(destination: Location, marker: Marker, what: Forgetting) -> bool:
    """Rewrite a unit without the images, if it holds one; True if it did. One that is left with nothing
    is only noted (`Forgetting.ended`), and removed by whoever drops it from the versions."""
    return _REWRITERS[marker.stage](destination, marker, what)


def empty_rows(destination: Location, marker: Marker) -> list[str]:
    """Arrays of a unit of features that hold something where an image was forgotten: there must be none."""
    rows = [row for row, image in enumerate(marker.record.get("image_ids", ())) if image == GONE]
    if not rows:
        return []
    place = outputs_location(destination, marker) / FEATURE_GROUP.name
    found = []
    for path, array in arrays_of(open_group(place)):
        data = np.asarray(array[:])[rows]
        if (data[np.isfinite(data)] if data.dtype.kind == "f" else data).any():
            found.append(f"{place}/{path}")
    return found


def _catalog(destination: Location, marker: Marker, what: Forgetting) -> bool:
    folder = outputs_location(destination, marker)
    changed: dict[str, bytes | None] = {}
    kept: pa.Table | None = None
    for path in marker.outputs:
        table = _read(folder / path)
        own = path in OWN_FILES
        schema = table.schema if own else DEPTHS if path == DEPTHS_FILE else CATALOG
        left = _without(table, what)
        if schema is CATALOG:
            kept = left
        if left.num_rows != table.num_rows:
            changed[path] = encode_table(left, schema)
    record = _scrubbed(dict(marker.record), what)
    if kept is not None and "ok" in record and changed:
        statuses = kept["status"].to_pylist()
        record |= {status: statuses.count(status) for status in ("ok", "failed", "duplicate")}
        record["unread"] = int(pc.sum(kept["unread"]).as_py() or 0)
    return _written(destination, marker, changed, record)


def _features(destination: Location, marker: Marker, what: Forgetting) -> bool:
    record = dict(marker.record)
    ids = list(record.get("image_ids", ()))
    rows = [row for row, image in enumerate(ids) if image in what.ids]
    if not rows:
        return False
    record["image_ids"] = [GONE if image in what.ids else image for image in ids]
    failed = {image: reason for image, reason in record["failed"].items() if image not in what.ids}
    record["failed"] = {**failed, GONE: "it was forgotten"}
    for name in ("unread", "killed"):
        if name in record:
            record[name] = [image for image in record[name] if image not in what.ids]
    # What was computed from the others is known by what these features were.
    apart = tuple(record.get(APART, ()))
    others = {path: file for path, file in marker.outputs.items() if not path.startswith(apart or ("\0",))}
    record.setdefault(IDENTITY, content_of(others) if apart else marker.content)

    def blank(_: str, data: Any, dims: tuple[str, ...]) -> Any:
        data[rows] = np.nan if data.dtype.kind == "f" else 0
        return data

    def scrub(attributes: dict[str, Any]) -> dict[str, Any]:
        return attributes | {"image_ids": record["image_ids"]}

    changed = changed_group(destination, marker, FEATURE_GROUP.name, blank, scrub)
    return _written(destination, marker, changed, record)


def _clusters(destination: Location, marker: Marker, what: Forgetting) -> bool:
    folder = outputs_location(destination, marker)
    members, sets = _read(folder / "members.parquet"), _read(folder / "clusters.parquet")
    left = _without(members, what)
    if left.num_rows == members.num_rows:
        return False
    by_cluster: dict[str, list[dict[str, Any]]] = {}
    for row in left.to_pylist():
        if row["cluster_id"] is not None:
            by_cluster.setdefault(row["cluster_id"], []).append(row)
    rows = []
    for row in sets.to_pylist():
        inside = by_cluster.get(row["cluster_id"], [])
        if inside:
            first = min(inside, key=lambda one: one["rank"])
            builders = sum(one["role"] == MEMBER for one in inside)
            rows.append(
                row
                | {
                    "medoid_image_id": first["image_id"],
                    "n_images": len(inside),
                    "n_members": builders,
                }
            )
    changed: dict[str, bytes | None] = {
        "members.parquet": encode_table(left, MEMBERS),
        "clusters.parquet": encode_table(pa.Table.from_pylist(rows, schema=SETS), SETS),
    }
    outliers = int(pc.sum(left["outlier"]).as_py() or 0)
    record = marker.record | {"clusters": len(rows), "outliers": outliers}
    return _written(destination, marker, changed, record)


def _atlases(destination: Location, marker: Marker, what: Forgetting) -> bool:
    folder = outputs_location(destination, marker)
    table = _read(folder / TABLE)
    left = _without(table, what)
    unit = f"{marker.scope}/{marker.unit}"
    if left.num_rows == table.num_rows:
        if marker.record.get(FORGOTTEN):
            what.atlases[unit] = dict(marker.record)  # rewritten before a kill
        return False
    if not left.num_rows:
        what.ended[unit] = marker.record["cluster_id"]
        return True
    changed: dict[str, bytes | None] = {path: None for path in marker.outputs if path.startswith(PREVIEWS)}
    changed[TABLE] = encode_table(left, ALIGNMENTS)
    for name in (ATLAS_GROUP.name, FIRST_LOOK_GROUP.name):
        if any(path.startswith(f"{name}/") for path in marker.outputs):
            changed |= _atlas_group(destination, marker, name, what)
    further, held = _instances(destination, marker, what)
    changed |= further
    roles, outliers = left["role"].to_pylist(), left["outlier"].to_pylist()
    record = dict(marker.record)
    if held is not None:
        images = len(set(held["image_id"].to_pylist()))
        record[COUNTS] = record[COUNTS] | {"found": held.num_rows, "images": images}
    for name in ("not_shown",):
        record[name] = {image: why for image, why in record.get(name, {}).items() if image not in what.ids}
    if "killed" in record:
        record["killed"] = [image for image in record["killed"] if image not in what.ids]
    if record["medoid_image_id"] in what.ids:
        good = [row for row in left.to_pylist() if not row["outlier"]] or left.to_pylist()
        record["medoid_image_id"] = min(good, key=lambda row: row["residual"] or 0.0)["image_id"]
    record |= {
        "n_images": len(roles),
        "n_members": roles.count(MEMBER),
        "n_new": roles.count(NEWCOMER),
        "n_outliers": sum(bool(one) for one in outliers),
        FORGOTTEN: True,
    }
    what.atlases[unit] = record
    return _written(destination, marker, changed, record)


def _instances(
    destination: Location, marker: Marker, what: Forgetting
) -> tuple[dict[str, bytes | None], pa.Table | None]:
    """The files of further instances without those in the images, and their rows; without any, they go."""
    if INSTANCES not in marker.outputs:
        return {}, None
    table = _read(outputs_location(destination, marker) / INSTANCES)
    left = _without(table, what)
    if not left.num_rows:
        gone = (INSTANCES, f"{INSTANCES_GROUP.name}/")
        return {path: None for path in marker.outputs if path.startswith(gone)}, left
    if left.num_rows == table.num_rows:
        return {}, left
    group = _atlas_group(destination, marker, INSTANCES_GROUP.name, what)
    return {INSTANCES: encode_table(left, ALIGNMENTS), **group}, left


def _index(destination: Location, marker: Marker, what: Forgetting) -> bool:
    folder = outputs_location(destination, marker)
    changed: dict[str, bytes | None] = {}
    record = dict(marker.record)
    rows = dict(record.get("rows", {}))
    for name, schema in (
        ("images", IMAGES),
        ("alignments", ALIGNMENTS),
        ("correspondences", CORRESPONDENCES),
    ):
        path = f"{name}.parquet"
        if path not in marker.outputs:
            continue
        table = _read(folder / path)
        left = _without(table, what)
        if left.num_rows == table.num_rows:
            continue
        changed[path] = _encoded(left, schema)
        rows[name] = left.num_rows
        if name == "alignments" and left.num_rows:
            record["first"] = [left["cluster_id"][0].as_py(), left["image_id"][0].as_py()]
        elif name == "alignments":
            what.ended[f"{marker.scope}/{marker.unit}"] = ""
            return True
        if name == "images":
            record["counts"] = _counts(left, record["counts"])
    if "clusters.parquet" in marker.outputs and changed:
        table = _read(folder / "clusters.parquet")
        facts = [_cluster_row(row, what) for row in table.to_pylist()]
        kept = [row for row in facts if row is not None]
        schema = CLUSTERS if table.schema.metadata == CLUSTERS.metadata else table.schema
        changed["clusters.parquet"] = _encoded(pa.Table.from_pylist(kept, schema=schema), CLUSTERS)
        rows["clusters"] = len(kept)
        held = {row["cluster_id"] for row in kept}
        record["made"] = {name: one for name, one in record.get("made", {}).items() if name in held}
    if "own" in record:
        record["own"] = _own_facts(record["own"], what)
    return _written(destination, marker, changed, record | {"rows": rows})


def _own_facts(facts: Mapping[str, Any], what: Forgetting) -> dict[str, Any]:
    """What is said of an owner's columns, without the images among those that have no row there."""
    found = dict(facts)
    for name in ("without_row", "without_images"):
        if name in facts:
            kept = [one for one in facts[name]["first"] if one not in what.ids and one not in what.uris]
            gone = len(facts[name]["first"]) - len(kept)
            found[name] = facts[name] | {"count": facts[name]["count"] - gone, "first": kept}
    return found


def _cluster_row(row: dict[str, Any], what: Forgetting) -> dict[str, Any] | None:
    unit = row["atlas_unit"]
    if unit in what.ended:
        return None
    record = what.atlases.get(unit)
    if record is None:
        return row
    names = ("n_images", "n_members", "n_new", "n_outliers", "medoid_image_id")
    return row | {name: record[name] for name in names if name in row}


def _counts(images: pa.Table, before: Mapping[str, int]) -> dict[str, int]:
    rows = images.select(
        [name for name in ("status", "outlier", "cluster_id", "excluded") if name in images.column_names]
    )
    sound = [row for row in rows.to_pylist() if row["status"] == "ok"]
    counts = dict(before)
    statuses = images["status"].to_pylist()
    counts |= {status: statuses.count(status) for status in ("ok", "failed", "duplicate")}
    counts["outliers"] = sum(bool(row["outlier"]) for row in sound)
    if "misfits" in counts:
        counts["misfits"] = sum(bool(row["outlier"]) and row["cluster_id"] is not None for row in sound)
    if "excluded" in counts:
        counts["excluded"] = sum(bool(row.get("excluded")) for row in sound)
    return counts


_REWRITERS: dict[str, Callable[[Location, Marker, Forgetting], bool]] = {
    "catalog": _catalog,
    "features": _features,
    "clusters": _clusters,
    "atlases": _atlases,
    "index": _index,
}


def _written(
    destination: Location, marker: Marker, changed: Mapping[str, bytes | None], record: Mapping[str, Any]
) -> bool:
    if not changed and record == marker.record:
        return False
    rewrite_unit(destination, marker, changed, record)
    return True


def _read(place: Location) -> pa.Table:
    return pq.read_table(io.BytesIO(place.read_bytes()))


def _encoded(table: pa.Table, schema: pa.Schema) -> bytes:
    """A table in today's encoding; its columns and their meaning are those of its own schema version."""
    version = (table.schema.metadata or {}).get(b"congeal.schema_version")
    same = version == schema.metadata[b"congeal.schema_version"]
    whole = with_own(schema, own_fields(table.schema)) if schema is IMAGES else schema
    return encode_table(table, whole if same else table.schema)


def _without(table: pa.Table, what: Forgetting) -> pa.Table:
    """The rows that are of other images."""
    stays = None
    for column, names in (("image_id", what.ids), ("uri", what.uris)):
        if column in table.column_names:
            there = pc.is_in(table[column].cast(pa.string()), pa.array(sorted(names), pa.string()))
            here = pc.invert(pc.fill_null(there, False))
            stays = here if stays is None else pc.and_(stays, here)
    return table if stays is None else table.filter(stays)


def _scrubbed(record: dict[str, Any], what: Forgetting) -> dict[str, Any]:
    """A record of the catalog without the names of the images."""
    if what.names(record.get("first_error")):
        record["first_error"] = None
    if "killed" in record:
        record["killed"] = [uri for uri in record["killed"] if uri not in what.uris]
    return record


def _atlas_group(
    destination: Location, marker: Marker, name: str, what: Forgetting
) -> dict[str, bytes | None]:
    group = open_group(outputs_location(destination, marker) / name)
    ids: list[str] = list(group.attrs.asdict()["image_ids"])  # type: ignore[arg-type]
    keep = [row for row, image in enumerate(ids) if image not in what.ids]

    def change(path: str, data: Any, dims: tuple[str, ...]) -> Any:
        if path == FORMER_AVERAGE.path:
            return None
        if path in _BLANK:
            return np.zeros_like(data)
        return data[keep] if dims[:1] == ("image",) else data

    def scrub(attributes: dict[str, Any]) -> dict[str, Any]:
        for key in ("image_ids", "sizes"):
            if key in attributes:
                attributes[key] = [attributes[key][row] for row in keep]
        return attributes

    return changed_group(destination, marker, name, change, scrub)


ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
