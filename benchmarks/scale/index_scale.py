"""How the index holds at scale: generated alignments, written by the index's own code, read through the door.

    python benchmarks/scale/index_scale.py DEST --clusters 50000 [--record benchmarks/results/index_scale.md]
        [--before TREE --rounds N]

Every cluster has twenty images and an atlas on which about a hundred of the lattice's 256 points are salient:
50,000 clusters make a million images and 10^8 rows. With --before, another checkout with its own .venv writes
as many to DEST-before, and both are asked by turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import congeal
from congeal.geometry.frames import Frame, cell_centres
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, IMAGES
from congeal.settings import Settings, recorded
from infra.ledger.commits import digest
from infra.ledger.publications import Publication, claim, publish
from infra.storage.location import Location
from tasks.execution import stage_versions
from tasks.execution.stage_runner import Unit, Work, address
from tasks.index.atlas_lattice import correspondences, lattice_points
from tasks.index.index_partition import ClusterPart, buckets
from tasks.index.index_stage import BLOCK, Sampled, commit_tables
from tasks.publication.manifest import describe

EACH = 20
RESOLUTION = 16
SIZES = ((640, 480), (480, 640), (800, 800), (1024, 683))
REPEATS = 5


def cluster_name(number: int) -> str:
    return "c" + digest("cluster", number, length=12)[:11]


def image_name(cluster: str, number: int) -> str:
    return digest(cluster, number)


def uri(cluster: str, number: int) -> str:
    """Names say nothing of clusters, so that nothing is found by luck."""
    name = image_name(cluster, 1_000_000 + number)
    return f"{name[:2]}/{name}.jpg"


def generated(part: ClusterPart, lattice: int) -> Sampled:
    """One cluster: similarities with a smooth bend, what a solver would find on a good day."""
    random = np.random.default_rng(int(part.cluster_id[1:], 16))
    cells = cell_centres(RESOLUTION).astype(np.float64)
    width, height = random.uniform(0.55, 0.85, 2)
    saliency = np.exp(-((cells[..., 0] / width) ** 2 + (cells[..., 1] / height) ** 2) * 1.4)
    points = lattice_points(saliency, lattice)
    ids = sorted(image_name(part.cluster_id, number) for number in range(part.stop))
    sizes = [SIZES[choice] for choice in random.integers(0, len(SIZES), part.stop)]

    def blocks() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(ids), BLOCK):
            some = slice(start, start + BLOCK)
            n = len(ids[some])
            angle, scale = random.normal(0, 0.2, n), random.uniform(0.5, 0.8, n)
            turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
            places = np.einsum("nij,abj->nabi", turn.reshape(n, 2, 2) * scale[:, None, None], cells)
            bend = random.normal(0, 0.03, (n, 1, 1, 2)) * np.sin(2 * cells[..., ::-1])
            shift = random.normal(0, 0.1, (n, 1, 1, 2))
            frames = [Frame(*size) for size in sizes[some]]
            forward = np.stack([f.to_pixels(p) for f, p in zip(frames, places + bend + shift, strict=True)])
            sure = random.beta(6, 2, (n, RESOLUTION, RESOLUTION)).astype(np.float16)
            yield correspondences(
                part.cluster_id, ids[some], sizes[some], forward.astype(np.float32), sure, points
            )

    n = len(ids)
    numbers = {
        field.name: random.normal(0.5, 0.1, n) for field in ALIGNMENTS if pa.types.is_floating(field.type)
    }
    texts = {"image_id": ids, "cluster_id": [part.cluster_id] * n, "role": ["member"] * n}
    flags = {"mirrored": random.random(n) < 0.5, "outlier": np.zeros(n, bool), "outlier_reason": [None] * n}
    columns = numbers | texts | flags
    alignments = pa.table({name: pa.array(columns[name], ALIGNMENTS.field(name).type) for name in columns})
    facts: dict[str, Any] = dict.fromkeys(CLUSTERS.names)
    facts |= {"cluster_id": part.cluster_id, "status": "ok", "n_images": n, "medoid_image_id": ids[0]}
    return Sampled(facts, alignments.select(ALIGNMENTS.names), blocks())


def build(destination: Location, clusters: int, settings: Settings) -> None:
    """Write the tables of `clusters` clusters and publish them."""
    begin = time.perf_counter()
    claim(destination)
    names = sorted(cluster_name(number) for number in range(clusters))
    version = stage_versions.VERSIONS[stage_versions.INDEX]
    lattice = settings.index.lattice
    units, rows, sizes = [], 0, []
    sized = ((name, "none", EACH) for name in names)
    for bucket in buckets(sized, settings.index.rows_per_unit // lattice**2):
        place = address(destination, stage_versions.INDEX, version, "generated", digest("bucket", bucket[0]))
        work = Work(Unit(place, {}, items=len(bucket)))
        made = {part.cluster_id: {"seconds": 1.0, "device": "cpu"} for part in bucket}
        marker = commit_tables(work, (generated(part, lattice) for part in bucket), made)
        units.append(f"{marker.scope}/{marker.unit}")
        sizes.append(marker.outputs["correspondences.parquet"].bytes)
        rows += marker.record["rows"]["correspondences"]
    place = address(destination, stage_versions.INDEX, version, "generated", digest("images"))
    work = Work(Unit(place, {}, items=clusters * EACH))
    marker = work.commit(
        {"images.parquet": encode_table(images(names), IMAGES)}, {"rows": {"images": clusters * EACH}}
    )
    units.append(f"{marker.scope}/{marker.unit}")
    publication = Publication(
        run_key="generated",
        source="generated",
        settings=recorded(settings),
        backbone="none",
        weights_fingerprint="none",
        units={stage_versions.INDEX: units},
        counts={"ok": clusters * EACH, "failed": 0, "duplicate": 0, "clusters": clusters, "outliers": 0},
        created="2000-01-01T00:00:00+00:00",
        code_version="generated",
    )
    describe(destination, publication)
    publish(destination, publication)
    facts = {
        "rows": rows,
        "images": clusters * EACH,
        "clusters": clusters,
        "seconds": time.perf_counter() - begin,
        "computed_seconds": time.process_time(),
        "files": len(sizes),
        "largest_file_bytes": max(sizes),
        "correspondences_bytes": sum(sizes),
        "images_bytes": marker.outputs["images.parquet"].bytes,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    (destination / "built.json").write_bytes(json.dumps(facts).encode())


def images(names: list[str]) -> Iterator[pa.RecordBatch]:
    """The table of images, sorted by uri."""
    numbered = sorted((uri(name, number), name, number) for name in names for number in range(EACH))
    for start in range(0, len(numbered), 10_000):
        rows = []
        for path, name, number in numbered[start : start + 10_000]:
            row = dict.fromkeys(IMAGES.names)
            row |= {"image_id": image_name(name, number), "uri": path, "status": "ok", "bytes": 100_000}
            row |= {"cluster_id": name, "width": 640, "height": 640, "format": "JPEG", "outlier": False}
            row |= {"features_unit": "none/none", "features_row": number}
            rows.append(row)
        yield from pa.Table.from_pylist(rows, schema=IMAGES).to_batches()


def questions(cluster: str) -> dict[str, Callable[[Any], Any]]:
    """What is asked: a name, and a function of the opened collection."""
    image, other = uri(cluster, 3), uri(cluster, 7)
    image_id = image_name(cluster, 3)
    return {
        "open, and the first cluster": lambda c: c.correspondences(cluster=cluster),
        "`correspondences(cluster=…)`": lambda c: c.correspondences(cluster=cluster),
        "`correspondences(image='path')`": lambda c: c.correspondences(image=image),
        "`correspondences(image='id')`": lambda c: c.correspondences(image=image_id),
        "SQL, `WHERE cluster_id = …`": lambda c: c.sql(
            f"FROM correspondences WHERE cluster_id = '{cluster}'"
        ),
        "SQL, `WHERE image_id = …`": lambda c: c.sql(f"FROM correspondences WHERE image_id = '{image_id}'"),
        "SQL, `landmark(cluster, point)`": lambda c: c.sql(f"FROM landmark('{cluster}', 119)"),
        "SQL, `landmark(cluster, u, v)`": lambda c: c.sql(f"FROM landmark('{cluster}', 0.1, -0.2)"),
        "SQL, `where_is(image, x, y, image)`": lambda c: c.sql(
            f"FROM where_is('{image}', 320, 300, '{other}')"
        ),
        "SQL, `everywhere(image, x, y)`": lambda c: c.sql(f"FROM everywhere('{image}', 320, 300)"),
        "SQL, `count(*)`": lambda c: c.sql("SELECT count(*) FROM correspondences"),
        "SQL, mean confidence of every point, all rows": lambda c: c.sql(
            "SELECT point_id, avg(confidence) FROM correspondences GROUP BY point_id"
        ),
    }


def ask(destination: str, clusters: int) -> list[dict[str, Any]]:
    """Each question to a fresh collection (cold), then again to the same one about other clusters (warm)."""
    answers = []
    for name in questions(cluster_name(0)):
        cold, warm, computed, rows = [], [], [], 0
        for repeat in range(REPEATS):
            chosen = [cluster_name((repeat * 7919 + k * 104_729) % clusters) for k in range(4)]
            begin = time.perf_counter()
            opened = congeal.open(destination)
            rows = len(questions(chosen[0])[name](opened))
            cold.append(time.perf_counter() - begin)
            for cluster in chosen[1:]:
                begin, used = time.perf_counter(), time.process_time()
                if len(questions(cluster)[name](opened)) == 0:
                    raise SystemExit(f"{name}: no answer for {cluster}")
                warm.append(time.perf_counter() - begin)
                computed.append(time.process_time() - used)
        medians = {
            key: statistics.median(values)
            for key, values in {"cold": cold, "warm": warm, "computed": computed}.items()
        }
        answers.append({"question": name, "rows": rows, **medians})
        print(json.dumps(answers[-1]), flush=True)
    return answers


def asked_of(tree: Path, destination: str, clusters: int) -> list[dict[str, Any]]:
    """`ask` of a checkout, in a process of its own."""
    code = "import json, sys, index_scale; print(json.dumps(index_scale.ask(sys.argv[1], int(sys.argv[2]))))"
    done = _of(tree, ["-c", code, destination, str(clusters)], capture=True)
    answers: list[dict[str, Any]] = json.loads(done.splitlines()[-1])
    return answers


def _of(tree: Path, arguments: list[str], capture: bool = False) -> str:
    path = [tree, _folder(tree)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [str(tree / ".venv/bin/python"), *arguments]
    out = subprocess.PIPE if capture else None
    done = subprocess.run(command, cwd=tree, env=environment, stdout=out, text=True, check=True)
    return done.stdout or ""


def _folder(tree: Path) -> Path:
    """Where a checkout has this script: older ones have all of them in one folder."""
    folder = tree / "benchmarks" / "scale"
    return folder if folder.exists() else folder.parent


def compared(before: Path, destination: str, clusters: int, rounds: int) -> list[str]:
    """Both builds by turns: a table of the medians over the rounds, in Markdown."""
    destination = str(Path(destination).resolve()) if "://" not in destination else destination
    older = f"{destination.rstrip('/')}-before"
    if not (Location.parse(older) / "built.json").exists():
        _of(
            before, [str(_folder(before) / "index_scale.py"), older, "--build-only", f"--clusters={clusters}"]
        )
    places = {"before": (before, older), "now": (Path(__file__).resolve().parents[2], destination)}
    found: dict[str, dict[str, list[dict[str, Any]]]] = {build: {} for build in places}
    for _ in range(rounds):
        for build, (tree, place) in places.items():
            for answer in asked_of(tree, place, clusters):
                found[build].setdefault(answer["question"], []).append(answer)
    lines = [
        "",
        f"Beside an earlier build, each on what its own code wrote, by turns; medians of {rounds} processes, "
        "seconds before / now and their ratio:",
        "",
        "| question | cold | | warm | | warm, processor's | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for question, now in found["now"].items():
        cells = []
        for key in ("cold", "warm", "computed"):
            if question not in found["before"]:  # there is nothing to compare with
                cells.append(" | ")
                continue
            old, new = (
                statistics.median(one[key] for one in answers) for answers in (found["before"][question], now)
            )
            cells.append(f"{old:.3f} / {new:.3f} | {old / new:.1f}")
        lines.append(f"| {question} | {' | '.join(cells)} |")
    return lines


def table(built: dict[str, Any], answers: list[dict[str, Any]], peak: int) -> str:
    """The record, in Markdown."""
    import duckdb

    lines = [
        "# The index at scale",
        "Generated alignments, written by the index stage's own code and read through `congeal.open`; made "
        "by `benchmarks/scale/index_scale.py`, one process.",
        "",
        f"- machine: {platform.machine()}, {cores()} cores, {platform.system()}; Python "
        f"{platform.python_version()}, pyarrow {pa.__version__}, DuckDB {duckdb.__version__}; local disk",
        f"- {built['clusters']:,} clusters, {built['images']:,} images, "
        f"**{built['rows']:,} rows** of correspondences",
        f"- written in {built['seconds']:,.0f} s, {built['computed_seconds']:,.0f} s of the processor; "
        f"peak memory **{built['peak_memory_bytes'] / 2**20:,.0f} MiB**",
        f"- {built['files']} files, {built['correspondences_bytes'] / 2**20:,.0f} MiB of correspondences "
        f"({built['correspondences_bytes'] / built['rows']:.1f} bytes a row), the largest "
        f"{built['largest_file_bytes'] / 2**20:,.0f} MiB; images {built['images_bytes'] / 2**20:,.0f} MiB",
        f"- reading: peak memory {peak / 2**20:,.0f} MiB; medians of {REPEATS} fresh collections (cold: "
        f"opening included, file cache of the system warm) and {3 * REPEATS} further questions about other "
        "clusters (warm)",
        f"- load average {os.getloadavg()[2]:.1f} over a quarter of an hour: where that is more than "
        "the cores, all seconds but those of the processor are too long",
        "",
        "| question | rows | cold, s | warm, s | warm, processor's s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for answer in answers:
        seconds = " | ".join(f"{answer[key]:.3f}" for key in ("cold", "warm", "computed"))
        lines.append(f"| {answer['question']} | {answer['rows']:,} | {seconds} |")
    return "\n".join(lines) + "\n"


def cores() -> int:
    return len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("destination")
    parser.add_argument("--clusters", type=int, default=50_000)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--before", type=Path, metavar="TREE", help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each build, with --before")
    parser.add_argument("--build-only", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    place = Location.parse(chosen.destination)
    if chosen.build_only:
        build(place, chosen.clusters, Settings())
        return
    if not (place / "built.json").exists():
        # A process of its own, so that its peak memory is that of writing.
        again = [
            sys.executable,
            __file__,
            chosen.destination,
            "--build-only",
            f"--clusters={chosen.clusters}",
        ]
        subprocess.run(again, check=True)
    built = json.loads((place / "built.json").read_bytes())
    print(json.dumps(built), flush=True)
    answers = ask(chosen.destination, built["clusters"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    text = table(built, answers, peak)
    if chosen.before is not None:
        more = compared(chosen.before.resolve(), chosen.destination, built["clusters"], chosen.rounds)
        text += "\n".join(more) + "\n"
    print(text)
    if chosen.record is not None:
        chosen.record.write_text(text)


if __name__ == "__main__":
    main()
