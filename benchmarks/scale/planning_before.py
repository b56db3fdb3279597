"""The plan of the atlases by the build of commit 0425aec and by this one, one after the other.

    python benchmarks/scale/planning_before.py CHECKOUT [--sizes 10000 100000] [--record]

CHECKOUT is one of commit 0425aec with its own .venv. Both plan the same made-up table of members, that of
million.py (25 images a cluster, none of them there); that build asks two queries a cluster, each over all
members, so that its seconds grow with the square of the collection. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results" / "planning_before.md"
CLUSTER, SHARD = 25, 46


def tables(home: Path, count: int) -> None:
    """What that build reads: the members, as million.py makes them, the catalog, the sets."""
    import pyarrow as pa

    from benchmarks.scale import million
    from congeal.results.schema.parquet_files import encode_table
    from tasks.catalog.catalog_slices import CATALOG
    from tasks.clusters.clusters_stage import MEMBERS, SETS

    members = million.members(count)
    nothing = {name: [None] * count for name in ("etag", "width", "height", "format", "error")}
    catalog = {
        "image_id": members["image_id"], "uri": [f"{number:08}.jpg" for number in range(count)],
        "bytes": [1] * count, "status": ["ok"] * count, "unread": [False] * count, **nothing,
    }  # fmt: skip
    heads = members.filter(pa.array([rank == 0 for rank in members["rank"].to_pylist()]))
    some = [CLUSTER] * heads.num_rows
    sets = {
        "cluster_id": heads["cluster_id"], "medoid_image_id": heads["image_id"], "n_images": some,
        "n_members": some,
    }  # fmt: skip
    (home / "sets.parquet").write_bytes(encode_table(pa.table(sets, schema=SETS), SETS))
    (home / "members.parquet").write_bytes(encode_table(members, MEMBERS))
    (home / "catalog.parquet").write_bytes(
        encode_table(pa.table({name: catalog[name] for name in CATALOG.names}, schema=CATALOG), CATALOG)
    )


def before(home: Path, count: int) -> dict[str, float]:
    """Seconds and memory of that build's plan, in this process, which has that build's modules alone."""
    modules = ("infra.progress", "infra.settings", "infra.storage", "tasks.atlases", "tasks.stage")
    # By name: in this checkout these names are other modules, or none.
    progress, settings, storage, atlases, stage = map(importlib.import_module, modules)
    place = storage.Location.parse(home)
    shards = tuple(
        SimpleNamespace(unit=f"u{number:032}", content="c" * 16) for number in range(-(-count // SHARD))
    )
    made = SimpleNamespace(
        scope="scope", shards=shards, weights=SimpleNamespace(fingerprint="weights"),
        position=SimpleNamespace(scope="p", unit="u", content="c"),
    )  # fmt: skip
    found = SimpleNamespace(members=place / "members.parquet", sets=place / "sets.parquet", base=None)
    plans: list[Any] = []
    atlases.run_units = lambda plan, *_, **__: plans.append(plan)
    run = stage.Run(place / "source", place, settings.Settings(), None, progress.Progress(quiet=True))
    begin, spent = time.perf_counter(), time.process_time()
    atlases.stage(run, SimpleNamespace(images=place / "catalog.parquet"), made, found)
    assert len(plans[0].todo) == count // CLUSTER
    return {
        "seconds": time.perf_counter() - begin,
        "processor": time.process_time() - spent,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Both builds at each size; the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(before(Path(asked.one[0]), int(asked.one[1]))))
        return
    tree = asked.checkout.resolve()
    lines = [
        "| build | images | s | processor's s | peak memory, MiB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for size in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="congeal-before-") as home:
            load = "import pathlib; from benchmarks.scale import planning_before as p"
            making = f"{load}; p.tables(pathlib.Path({home!r}), {size})"
            subprocess.run([sys.executable, "-c", making], check=True, cwd=HERE.parent)
            that = [str(tree / ".venv/bin/python"), __file__, str(tree), "--one", home, str(size)]
            this = [sys.executable, str(HERE / "scale" / "million.py"), "--one", "1", str(size)]
            for build, command in (("0425aec", that), ("this one", this)):
                environment = os.environ | {"PYTHONPATH": str(tree)} if command is that else None
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
                took = json.loads(done.stdout)
                numbers = f"{took['seconds']:.1f} | {took['processor']:.1f} | {took['peak'] / 2**20:,.0f}"
                lines.append(f"| {build} | {size:,} | {numbers} |")
                print(lines[-1], flush=True)
    said = (__doc__ or "").split("\n\n", 2)[2].strip()
    sizes = " ".join(map(str, asked.sizes))
    command_line = (
        f"`python benchmarks/scale/planning_before.py CHECKOUT --sizes {sizes} --record`, {date.today()}, "
        f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[2]:.0f}"
    )
    if asked.record:
        text = ["# The plan of the atlases, beside commit 0425aec", "", said, "", command_line, "", *lines]
        RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
