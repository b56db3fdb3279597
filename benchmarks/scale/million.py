"""What the driver takes where there are a million images: listing, planning, and a run that finds all done.

    python benchmarks/scale/million.py [--sizes 10000 100000 1000000] [--record]

Nothing is decoded or computed. A listing is made up, of names like a bucket's, and sorted, cut and planned by
the catalog's own code; a table of members, 25 images a cluster, spread over shards of 46 at random, is
planned by the atlases' own code, first with no marker there, then with all; and a version that names as many
units as such a collection has (slices of 512, shards of 46, clusters of 25, each with a marker of the usual
size) is found up to date. Each part is a process of its own, whose peak of resident memory is its row's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common.own_memory import answer_of, apart
from congeal.results.schema.parquet_files import encode_table
from congeal.settings import Settings
from infra.compute.progress import Progress
from infra.compute.temporary_folders import temporary_folder
from infra.ledger.commits import LAYOUT, MARKER, Marker, OutputFile, digest
from infra.ledger.publications import Publication, claim, publish
from infra.ledger.sealed_text import sealed_text
from infra.storage.folder_listing import ObjectInfo
from infra.storage.local_files import FileStore
from infra.storage.location import Location
from infra.threads import run_in_threads
from tasks.atlases import atlases_stage
from tasks.catalog import catalog_slices
from tasks.catalog.source_listing import Survey
from tasks.clusters.clusters_stage import MEMBERS, SETS, Corrected
from tasks.execution.duckdb_workspace import planning_connection
from tasks.execution.spooled_units import spooled
from tasks.execution.stage_runner import Run
from tasks.execution.stage_versions import VERSIONS
from tasks.features.feature_shards import ShardFacts
from tasks.features.features_stage import Shard
from tasks.publication.publish import up_to_date

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results" / "million.md"
SIZES = (10_000, 100_000, 1_000_000)
SLICE, SHARD, CLUSTER = 512, 46, 25
PARTS = ("listing and planning of the catalog", "planning of the atlases, none there",
         "planning of the atlases, all there", "a run that finds all done")  # fmt: skip


def image(number: int) -> str:
    """Content id."""
    return digest("image", number)


def listing(count: int) -> Iterator[ObjectInfo]:
    """Names in no order, as a store in parallel would give them."""
    for number in range(count):
        at = number * 7_919 % count
        yield ObjectInfo(f"2026/{at % 365:03}/{at:08}.jpg", 180_000 + at % 999, f"{at:032x}", f"{at:032x}")


def catalog_part(home: Path, count: int) -> Callable[[], object]:
    """The listing, read and sorted, and the plan of the slices."""
    source, out = Location.parse(home / "source"), Location.parse(home / "out")
    cast("Any", FileStore).objects = lambda self, path, on_skip=None, follow_links=True: listing(count)
    cast("Any", FileStore).children = lambda self, path: []
    settings = Settings()

    def act() -> None:
        with Survey(source, settings.catalog) as survey:
            assert survey.images == count
            assert survey.digest
            units = spooled(
                catalog_slices.slice_unit(source, out, settings, entries)
                for entries in survey.slices(settings.catalog.slice_size)
            )
            plan = catalog_slices.plan_units("catalog", "here", units, Progress(quiet=True))
            assert len(plan.todo) == len(units) >= count // SLICE // 4

    return act


def members(count: int) -> pa.Table:
    """Images of clusters of CLUSTER, each in any shard."""
    clusters = np.arange(count) // CLUSTER
    where = np.random.default_rng(0).permutation(count)
    return pa.table(
        {
            "image_id": [image(number) for number in range(count)],
            "cluster_id": [f"c{cluster:010}" for cluster in clusters.tolist()],
            "role": ["member"] * count,
            "rank": pa.array(np.arange(count) % CLUSTER, pa.int32()),
            "distance": pa.array(np.full(count, 0.1), pa.float32()),
            "outlier": pa.array(np.zeros(count, bool)),
            "features_unit": [f"scope/u{shard:032}" for shard in (where // SHARD).tolist()],
            "features_row": pa.array(where % SHARD, pa.int32()),
            "width": pa.array(np.full(count, 800), pa.int32()),
            "height": pa.array(np.full(count, 600), pa.int32()),
        },
        MEMBERS,
    )


def made_up(place: Location, count: int) -> None:
    """The tables that planning reads."""
    (place / "members.parquet").write_bytes(encode_table(members(count), MEMBERS))
    (place / "sets.parquet").write_bytes(encode_table(SETS.empty_table(), SETS))
    wanted = {"image_id": [image(n) for n in range(count)], "uri": [f"{n:08}.jpg" for n in range(count)]}
    pq.write_table(pa.table(wanted), place.local_path().parent / "wanted.parquet")


def atlases_part(home: Path, count: int, *, there: bool) -> Callable[[], object]:
    """The plan of the atlases, from the table of members on."""
    place = Location.parse(home / "out")
    apart(lambda: made_up(place, count))
    shards = tuple(
        Shard(f"u{number:032}", "c" * 16, "i" * 16, ShardFacts("", {}, 192))
        for number in range(-(-count // SHARD))
    )
    made = SimpleNamespace(
        scope="scope", shards=shards, weights=SimpleNamespace(fingerprint="weights"),
        position=SimpleNamespace(scope="p", unit="u", content="c"),
    )  # fmt: skip
    found = SimpleNamespace(
        members=place / "members.parquet", sets=place / "sets.parquet", base=None, corrected=Corrected()
    )

    @contextmanager
    def planning() -> Iterator[Any]:
        with temporary_folder() as folder, closing(planning_connection(folder)) as connection:
            connection.execute(f"CREATE TABLE wanted AS FROM '{home}/wanted.parquet'")
            yield connection

    plans: list[Any] = []
    cast("Any", atlases_stage).run_units = lambda plan, *_, **__: plans.append(plan)
    run = Run(place / "source", place, Settings(), cast("Any", None), Progress(quiet=True))

    def act() -> None:
        atlases_stage.stage(
            run,
            cast("Any", SimpleNamespace(planning=planning, survey=SimpleNamespace(frames=0))),
            cast("Any", made),
            cast("Any", found),
        )

    if there:
        act()
        plan = plans.pop()
        run_in_threads(
            lambda unit: write_marker(place, "atlases", plan.scope, unit.address.unit, {}), plan.todo
        )
    return act


def write_marker(place: Location, stage: str, scope: str, unit: str, record: dict[str, Any]) -> None:
    """A marker with the usual number of outputs."""
    outputs = {f"a.zarr/{n}/c/0/0/0": OutputFile(bytes=1000 + n, sha256=f"{n:064x}") for n in range(24)}
    marker = Marker(
        layout=LAYOUT, stage=stage, stage_version=VERSIONS[stage], scope=scope, unit=unit, content="c" * 16,
        outputs=outputs, record={"items": CLUSTER, "identity": unit, "cluster_id": unit, **record},
        code_version="0", host="h", python="3", platform="p", started="2026-01-01T00:00:00+00:00",
        seconds=1.0, timings={"read": 0.1, "solver": 0.5}, peak_memory_bytes=2**30,
    )  # fmt: skip
    path = Path(str((place / f"stages/{stage}/{scope}/{unit}").local_path()))
    path.mkdir(parents=True)
    (path / MARKER).write_bytes(sealed_text(marker.model_dump(mode="json")))


def again_part(home: Path, count: int) -> Callable[[], object]:
    """A version whose units all have their markers, and a run with the same key."""
    place = Location.parse(home / "out")
    claim(place)
    counts = {"catalog": count // SLICE + 1, "features": count // SHARD + 1, "clusters": 1,
              "atlases": count // CLUSTER, "index": max(1, count // 50_000)}  # fmt: skip
    units = {}
    for stage, number in counts.items():
        names = [digest(stage, one) for one in range(number)]
        each = SHARD if stage == "features" else 0
        record = {"image_ids": [image(one) for one in range(each)], "failed": {}, "unread": []}
        run_in_threads(
            lambda unit, stage=stage, record=record: write_marker(place, stage, "scope", unit, record), names
        )
        units[stage] = [f"scope/{name}" for name in names]
    facts = {"source": "s3://bucket/x", "settings": {}, "backbone": "v", "weights_fingerprint": "0"}
    publish(
        place,
        Publication(run_key="key", units=units, counts={}, created="2026-01-01", code_version="0", **facts),
    )
    from tasks.publication import publish as publishing

    cast("Any", publishing).described = lambda *_: True

    def act() -> None:
        assert up_to_date(place, "key") is not None

    return act


def measure(part: str, count: int) -> dict[str, Any]:
    """Seconds and memory of one part, in this process."""
    with tempfile.TemporaryDirectory(prefix="congeal-million-") as home:
        makers: dict[str, Callable[[], Callable[[], object]]] = {
            PARTS[0]: lambda: catalog_part(Path(home), count),
            PARTS[1]: lambda: atlases_part(Path(home), count, there=False),
            PARTS[2]: lambda: atlases_part(Path(home), count, there=True),
            PARTS[3]: lambda: again_part(Path(home), count),
        }
        act = makers[part]()
        begin, spent = time.perf_counter(), time.process_time()
        act()
        return {
            "seconds": time.perf_counter() - begin,
            "processor": time.process_time() - spent,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def main() -> None:
    """Each part at each size; the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--parts", type=int, nargs="+", default=range(len(PARTS)))
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(PARTS[int(asked.one[0])], int(asked.one[1]))))
        return
    lines = [
        "| part | images | s | processor's s | peak memory, MiB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for part in asked.parts:
        for size in asked.sizes:
            found = answer_of(__file__, "--one", part, size)
            numbers = f"{found['seconds']:.1f} | {found['processor']:.1f} | {found['peak'] / 2**20:,.0f}"
            lines.append(f"| {PARTS[part]} | {size:,} | {numbers} |")
            print(lines[-1], flush=True)
    sizes = " ".join(map(str, asked.sizes))
    about = (
        f"`python benchmarks/scale/million.py --sizes {sizes} --record`, {date.today()}, "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, local disk, "
        f"load average {os.getloadavg()[2]:.1f} over a quarter of an hour: where that is more than the "
        "cores, all seconds but the processor's are too long."
    )
    text = "\n".join(
        ["# A million images: the driver", "", (__doc__ or "").split("\n\n")[2], "", about, "", *lines]
    )
    if asked.record:
        RESULTS.write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
