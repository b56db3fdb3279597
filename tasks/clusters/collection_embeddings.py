"""The embeddings of a collection in one array: of all images that have features, whatever their shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from congeal.results.schema.feature_arrays import EMBEDDING
from congeal.results.stored.arrays import stored_whole
from infra.compute.temporary_folders import temporary_folder
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.catalog_slices import CATALOG
from tasks.clusters.cluster_roles import Floats
from tasks.execution.duckdb_workspace import insert, load, scalar
from tasks.execution.duckdb_workspace import rows as stream_rows
from tasks.features import features_stage
from tasks.features.features_stage import Shard

SHARDS_AHEAD = 32  # whose embeddings are read ahead
IN_MEMORY_BYTES = 268_435_456  # embeddings beyond this lie in a temporary file


class Shards(NamedTuple):
    """Where features lie: the destination, the scope of their units, the units."""

    destination: Location
    scope: str
    shards: Sequence[Shard]


def gather(connection: duckdb.DuckDBPyConnection, catalog: Location, shards: Sequence[Shard]) -> int:
    """Table `usable`: every image with features, numbered by image id, and where its features lie."""
    load(connection, "catalog", [catalog], CATALOG, "image_id, width, height, status")
    connection.execute("CREATE TABLE covered (image_id VARCHAR, unit VARCHAR, features_row INTEGER)")
    for shard in shards:
        kept = list(shard.facts.rows)
        table = {
            "image_id": pa.array([image_id for _, image_id in kept], pa.string()),
            "unit": pa.array([shard.unit] * len(kept), pa.string()),
            "features_row": pa.array([row for row, _ in kept], pa.int32()),
        }
        insert(connection, "covered", pa.table(table))
    # Two runs at once may have given an image to two units; the smaller name counts.
    connection.execute(
        """CREATE TABLE usable AS
        SELECT row_number() OVER (ORDER BY image_id) - 1 AS position,
               image_id, unit, features_row, width, height
        FROM (SELECT image_id, min(unit) AS unit, arg_min(features_row, unit) AS features_row
              FROM covered GROUP BY image_id)
        JOIN (SELECT image_id, width, height FROM catalog WHERE status = 'ok') USING (image_id)"""
    )
    return int(scalar(connection, "SELECT count(*) FROM usable"))


def why_none(connection: duckdb.DuckDBPyConnection, catalog: Location, shards: Sequence[Shard]) -> str:
    """The sentence for a source of which no image has features, with the reason of one of them."""
    failed = {image: why for shard in shards for image, why in shard.facts.failed.items()}
    if not failed:
        return "No image has features: `congeal status` lists what failed, and why."
    load(connection, "named", [catalog], CATALOG, "image_id, uri, status")
    connection.execute("CREATE TABLE failed (image_id VARCHAR)")
    insert(connection, "failed", pa.table({"image_id": list(failed)}))
    named = "SELECT image_id, uri FROM named JOIN failed USING (image_id) ORDER BY uri LIMIT 1"
    (image, uri) = next(iter(stream_rows(connection, named)), (min(failed), min(failed)))
    return f"No image has features; that of {uri}: {failed[image].rstrip('.')}."


@contextmanager
def embeddings_of(
    connection: duckdb.DuckDBPyConnection, shards: Shards, watch: Stopwatch, n: int
) -> Iterator[tuple[Floats, pa.ChunkedArray]]:
    """float32 [n, d] in order of image id, in a temporary file if large, and the ids."""
    contents = {shard.unit: shard.content for shard in shards.shards}

    def read(wanted: tuple[str, list[int], list[int]]) -> tuple[list[int], Floats]:
        name, positions, places = wanted
        group = features_stage.open_shard(shards.destination, f"{shards.scope}/{name}", contents[name])
        return positions, np.asarray(stored_whole(group, EMBEDDING), np.float32)[places]

    with temporary_folder() as folder:
        embeddings: Floats | None = None
        parts = in_threads(read, _by_shard(connection), ahead=SHARDS_AHEAD)
        with watch.phase("read"):
            for positions, part in parts:
                if embeddings is None:
                    embeddings = _room(folder, n, part.shape[1])
                embeddings[positions] = part
        assert embeddings is not None  # noqa: S101 - n > 0: some shard holds an image
        ids = connection.sql("SELECT image_id FROM usable ORDER BY position").to_arrow_table()["image_id"]
        yield embeddings, ids


def _by_shard(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, list[int], list[int]]]:
    """Each shard that holds usable images, their positions and their rows; all shards in one reading."""
    found = stream_rows(
        connection, "SELECT unit, position, features_row FROM usable ORDER BY unit, features_row"
    )
    for name, group in groupby(found, key=itemgetter(0)):
        _, positions, places = zip(*group, strict=True)
        yield name, list(positions), list(places)


def _room(folder: Path, n: int, channels: int) -> Floats:
    if n * channels * 4 <= IN_MEMORY_BYTES:
        return np.empty((n, channels), np.float32)
    return np.memmap(folder / "embeddings.f32", np.float32, "w+", shape=(n, channels))
