from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from congeal.results.schema.parquet_files import encode_table
from congeal.settings import Settings
from infra.compute.progress import Progress
from infra.ledger.commits import digest
from infra.storage.location import Location
from tasks.atlases import atlases_stage
from tasks.atlases.atlases_stage import AtlasPayload
from tasks.atlases.cluster_members import Member, unpacked
from tasks.clusters.clusters_stage import MEMBERS, SETS, Corrected
from tasks.execution import duckdb_workspace
from tasks.execution.stage_runner import Run, Unit
from tasks.features.feature_shards import ShardFacts
from tasks.features.features_stage import Shard

EACH = 3  # images of a cluster
SHARDS = 7


def planned(
    home: Path, clusters: int, monkeypatch: pytest.MonkeyPatch, gone: Sequence[str] = ()
) -> tuple[list[Unit[AtlasPayload]], Counter[str]]:
    """The units that are to be made of so many clusters, and how many queries and rows that took."""
    place = Location.parse(home / f"{clusters}")
    images = [
        {"image_id": digest(f"{cluster}", rank), "cluster_id": f"c{cluster:05}", "rank": rank}
        for cluster in range(clusters)
        for rank in range(EACH)
    ]
    for number, image in enumerate(images):
        image |= {
            "role": "member" if image["rank"] else "newcomer", "distance": 0.1, "outlier": False,
            "features_unit": f"scope/u{number % SHARDS}", "features_row": number // SHARDS,
            "width": 80, "height": 60,
        }  # fmt: skip
    tables: dict[str, tuple[list[Any], pa.Schema]] = {"members": (images, MEMBERS), "sets": ([], SETS)}
    for name, (rows, schema) in tables.items():
        (place / f"{name}.parquet").write_bytes(encode_table(pa.Table.from_pylist(rows, schema), schema))
    shards = tuple(
        Shard(f"u{number}", "content", "identity", ShardFacts("", {}, 192)) for number in range(SHARDS)
    )
    made = SimpleNamespace(
        scope="scope", shards=shards, weights=SimpleNamespace(fingerprint="weights"),
        position=SimpleNamespace(scope="p", unit="u", content="c"),
    )  # fmt: skip
    found = SimpleNamespace(
        members=place / "members.parquet", sets=place / "sets.parquet", base=None, corrected=Corrected()
    )
    counts: Counter[str] = Counter()
    real_rows, real_load = duckdb_workspace.rows, duckdb_workspace.load

    def rows_of(connection: Any, query: str) -> Iterator[tuple[Any, ...]]:
        counts["queries"] += 1
        for row in real_rows(connection, query):
            counts["rows"] += 1
            yield row

    def load(*arguments: Any) -> None:
        counts["tables"] += 1
        real_load(*arguments)

    @contextmanager
    def planning() -> Iterator[Any]:
        named = [image["image_id"] for image in images]
        with duckdb_workspace.workspace() as connection:
            connection.execute("CREATE TABLE wanted (image_id VARCHAR, uri VARCHAR)")
            table = {"image_id": named, "uri": [f"{number}.png" for number in range(len(named))]}
            duckdb_workspace.insert(connection, "wanted", pa.table(table))
            for uri in gone:
                connection.execute("DELETE FROM wanted WHERE uri = ?", [uri])
            yield connection

    plans: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(atlases_stage, "rows", rows_of)
        patch.setattr(atlases_stage, "load", load)
        patch.setattr(atlases_stage, "run_units", lambda plan, *_, **__: plans.append(plan))
        run = Run(place / "source", place, Settings(), cast("Any", None), Progress(quiet=True))
        atlases_stage.stage(
            run,
            cast("Any", SimpleNamespace(planning=planning, survey=SimpleNamespace(frames=0))),
            cast("Any", made),
            cast("Any", found),
        )
    (plan,) = plans
    return list(plan.todo), counts


def test_planning_reads_each_member_once_however_many_clusters_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, of_few = planned(tmp_path, 20, monkeypatch)
    many, of_many = planned(tmp_path, 2_000, monkeypatch)
    assert (len(few), len(many)) == (20, 2_000)
    assert (of_few["queries"], of_few["tables"]) == (of_many["queries"], of_many["tables"]) == (1, 2)
    assert of_many["rows"] == 2_000 * EACH
    # The members of a cluster come with its unit, in order of rank, with the place of their features.
    first = many[0].payload
    assert first.cluster_id == "c00000"
    assert unpacked(first.members) == [
        Member(
            digest("0", rank), "member" if rank else "newcomer", f"scope/u{rank}", 0, 80, 60, "content", 192
        )
        for rank in range(EACH)
    ]
    assert first.shown == ((0, "0.png"), (1, "1.png"), (2, "2.png"))
    # All of them together are little in the driver's memory.
    assert sum(len(unit.payload.members) for unit in many) < 110 * 2_000 * EACH


def test_an_image_that_left_the_source_has_no_name_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units, _ = planned(tmp_path, 2, monkeypatch, gone=["1.png"])
    assert units[0].payload.shown == ((0, "0.png"), (1, None), (2, "2.png"))
