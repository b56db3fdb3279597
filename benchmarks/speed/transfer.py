"""How quickly points and edits are carried, from a disk and from S3 (moto's server, in a process of its own).

    python benchmarks/speed/transfer.py [--before TREE] [--latency SECONDS] [--rounds N] [--points-only]
                                        [--record]

A generated cluster of 200 images with maps of the usual resolution (noise on them, so that they compress as
badly as maps can) lies in a destination; it is read through the door only. "Cold" is the first call of a
process, after opening the destination, "warm" the median of the calls after it; "opened for it" is one call
with a collection of its own. Every round is a new process. With --before, another checkout with its own .venv
takes turns with this one, on a destination that its own code wrote. S3 is read twice: as fast as the server
is, and with a latency added to each request, which are counted then. With --record, results go to
benchmarks/results/transfer.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import heading
from benchmarks.common.slow_store import slowed
from benchmarks.speed.transfer_calls import IMAGES_THERE, LARGE, POINTS, SMALL, TARGETS, name
from congeal.geometry.frames import Frame, cell_centres
from congeal.results.schema.atlas_arrays import (
    ATLAS_GROUP,
    BACKWARD,
    BACKWARD_CONFIDENCE,
    FORWARD,
    FORWARD_CONFIDENCE,
)
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.settings import Settings, recorded
from infra.ledger.commits import UnitAddress, commit_unit, digest
from infra.ledger.provenance import Provenance, Stopwatch
from infra.ledger.publications import Publication, claim, publish
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group
from tasks.execution.stage_versions import VERSIONS

RESULTS = ROOT / "benchmarks" / "results" / "transfer.md"
CLUSTER = "c00000000001"
Found = dict[str, dict[str, list[float]]]  # of transfer_calls.py: what was measured, by call


def generate(destination: Location) -> None:
    """Publish one cluster of images; the last one has 24 megapixels."""
    claim(destination)
    random = np.random.default_rng(0)
    sizes = [SMALL] * (IMAGES_THERE - 1) + [LARGE]
    ids = [digest("image", number) for number in range(IMAGES_THERE)]
    cells = cell_centres(Settings().atlases.resolution).astype(np.float64)
    frames = cell_centres(Settings().atlases.map_resolution).astype(np.float64)
    fields: dict[ZarrArray, list[np.ndarray]] = {FORWARD: [], BACKWARD: []}
    for size in sizes:
        turn, scale, shift = random.uniform(-0.3, 0.3), random.uniform(0.6, 0.9), random.uniform(-0.1, 0.1, 2)
        matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        noise = random.normal(scale=1e-3, size=cells.shape)
        fields[FORWARD].append(Frame(*size).to_pixels(cells @ matrix.T + shift + noise))
        fields[BACKWARD].append((frames - shift) @ np.linalg.inv(matrix).T)
    arrays = {}
    for field, confidence in ((FORWARD, FORWARD_CONFIDENCE), (BACKWARD, BACKWARD_CONFIDENCE)):
        data = np.stack(fields[field]).astype(field.dtype)
        sure = random.uniform(0.5, 1, data.shape[:3]).astype(confidence.dtype)
        arrays[field.path] = ArraySpec(data, field.dims, field.chunks(data.shape))
        arrays[confidence.path] = ArraySpec(sure, confidence.dims, confidence.chunks(sure.shape))
    facts = {"cluster_id": CLUSTER, "status": "ok", "image_ids": ids, "sizes": [list(size) for size in sizes]}
    group = {f"{ATLAS_GROUP.name}/{path}": data for path, data in encode_group(arrays, facts).items()}
    atlas = _commit(destination, "atlases", group, {"cluster_id": CLUSTER})
    rows = [
        dict.fromkeys(IMAGES.names)
        | {"image_id": one, "uri": name(number), "status": "ok", "cluster_id": CLUSTER, "outlier": False}
        | {"width": sizes[number][0], "height": sizes[number][1], "bytes": 1}
        for number, one in enumerate(ids)
    ]
    poses = [
        dict.fromkeys(ALIGNMENTS.names) | {"image_id": one, "cluster_id": CLUSTER, "outlier": False}
        for one in sorted(ids)
    ]
    cluster = dict.fromkeys(CLUSTERS.names) | {"cluster_id": CLUSTER, "status": "ok", "atlas_unit": atlas}
    tables = {
        "images.parquet": encode_table(pa.Table.from_pylist(rows, schema=IMAGES), IMAGES),
        "alignments.parquet": encode_table(pa.Table.from_pylist(poses, schema=ALIGNMENTS), ALIGNMENTS),
        "clusters.parquet": encode_table(pa.Table.from_pylist([cluster], schema=CLUSTERS), CLUSTERS),
        "correspondences.parquet": encode_table(CORRESPONDENCES.empty_table(), CORRESPONDENCES),
    }
    made = {"made": {CLUSTER: {"seconds": 0.0, "device": "none"}}, "rows": {}}
    publication = Publication(
        run_key="generated",
        source="memory://generated",
        settings=recorded(Settings()),
        backbone="none",
        weights_fingerprint="none",
        units={"atlases": [atlas], "index": [_commit(destination, "index", tables, made)], "features": []},
        counts={"ok": IMAGES_THERE, "clusters": 1},
        created="2026-01-01T00:00:00+00:00",
        code_version="generated",
    )
    publish(destination, publication)


def _commit(destination: Location, stage: str, outputs: dict[str, bytes], record: dict[str, object]) -> str:
    place = UnitAddress(destination, stage, VERSIONS[stage], "generated", digest(stage))
    marker = commit_unit(place, outputs, record, Provenance.of(Stopwatch()))
    return f"{marker.scope}/{marker.unit}"


@contextmanager
def s3() -> Iterator[str]:
    """The URL of moto's S3 server, in a process of its own."""
    port = 5000 + os.getpid() % 20000
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                break
            except urllib.error.URLError:
                time.sleep(0.5)
        urllib.request.urlopen(urllib.request.Request(f"{url}/generated", method="PUT")).close()
        yield url
    finally:
        server.terminate()
        server.wait()


def generated_by(tree: Path, destination: str, endpoint: str | None) -> None:
    """The destination, written by the code of a checkout."""
    code = (
        "import sys, transfer\nfrom infra.settings import StorageSettings\nendpoint = sys.argv[2] or None\n"
        "settings = StorageSettings(endpoint_url=endpoint) if endpoint else None\n"
        "transfer.generate(transfer.Location.parse(sys.argv[1], settings))"
    )
    _python(
        tree,
        ["-c", code, destination, endpoint or ""],
        [tree, tree / "benchmarks" / "speed", tree / "benchmarks"],
    )


def measured(tree: Path, destination: str, endpoint: str | None, counted: bool, points_only: bool) -> Found:
    """The calls of transfer_calls.py, of a checkout, in a new process."""
    arguments = [str(ROOT / "benchmarks" / "speed" / "transfer_calls.py"), destination]
    arguments += ["--endpoint", endpoint] if endpoint else []
    arguments += ["--counted"] if counted else []
    arguments += ["--points-only"] if points_only else []
    answer: Found = json.loads(_python(tree, arguments, [tree, ROOT]).splitlines()[-1])
    return answer


def _python(tree: Path, arguments: list[str], path: list[Path]) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [str(tree / ".venv/bin/python"), *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, metavar="TREE", help="a checkout to compare with")
    parser.add_argument("--latency", type=float, default=0.03, help="seconds added to each request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points-only", action="store_true", help="no edits, which take longest")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(variable, "testing")
    trees = {"before": asked.before.resolve()} if asked.before else {}
    trees["now"] = ROOT
    found: dict[tuple[str, str], list[Found]] = {}
    with tempfile.TemporaryDirectory() as scratch, s3() as url, slowed(url, asked.latency) as slow:
        for build, tree in trees.items():
            generated_by(tree, f"{scratch}/{build}", None)
            generated_by(tree, f"s3://generated/{build}", url)
        for _ in range(asked.rounds):
            for build, tree in trees.items():
                there = f"s3://generated/{build}"
                for place, arguments in {
                    "disk": (f"{scratch}/{build}", None, False),
                    "S3": (there, url, False),
                    "slow": (there, slow, True),
                }.items():
                    found.setdefault((build, place), []).append(measured(tree, *arguments, asked.points_only))
                    print(build, place, json.dumps(found[build, place][-1]["seconds"]), flush=True)
    text = report(list(trees), found, asked.latency)
    print(text)
    if asked.record:
        RESULTS.write_text(text)


TITLES = {
    "open": "`congeal.open`",
    "first": f"`transfer`: {POINTS:,} points to {TARGETS} images, opened for it",
    "one": f"`transfer`: {POINTS:,} points to 1 image",
    "many": f"`transfer`: {POINTS:,} points to {TARGETS} images",
    "all": f"`landmarks`: 12 points on all {IMAGES_THERE} images",
    "layer": "`propagate`: an edit to an image of 800 x 600",
    "large": "`propagate`: an edit of the whole image to one of 6000 x 4000",
}


def report(builds: list[str], found: dict[tuple[str, str], list[Found]], latency: float) -> str:
    slow = f"S3 + {latency * 1000:.0f} ms"
    lines = [
        *heading("Carrying points and edits", "speed/transfer.py"),
        f"A generated cluster of {IMAGES_THERE} images, maps {Settings().atlases.resolution} x "
        f"{Settings().atlases.resolution}; S3 is moto's server on the same machine, once as it is and once "
        f"with {latency * 1000:.0f} ms added to each request. Medians of {len(found[builds[0], 'disk'])} "
        f"processes, builds by turns; load average {os.getloadavg()[0]:.1f} at the end.",
        "",
        "| | build | disk, cold s | disk, warm s | S3, cold s | S3, warm s | S3, cold processor's s "
        f"| {slow}, cold s | {slow}, warm s | requests, cold | requests, warm |",
        "| --- | --- |" + " ---: |" * 9,
    ]
    for key, title in TITLES.items():
        if key not in found[builds[-1], "disk"][0]["seconds"]:
            continue
        for build in builds:
            cells = [
                _cell(found[build, place], measure, key, cold)
                for place, measure, cold in (
                    ("disk", "seconds", True),
                    ("disk", "seconds", False),
                    ("S3", "seconds", True),
                    ("S3", "seconds", False),
                    ("S3", "processor", True),
                    ("slow", "seconds", True),
                    ("slow", "seconds", False),
                    ("slow", "requests", True),
                    ("slow", "requests", False),
                )
            ]
            lines.append(f"| {title} | {build} | " + " | ".join(cells) + " |")
    if not found[builds[-1], "disk"][0]["memory"]["large"]:
        return "\n".join(lines) + "\n"
    pixels = LARGE[0] * LARGE[1] * 4 / 2**20
    memory = statistics.median(one["memory"]["large"][0] for one in found[builds[-1], "disk"])
    lines += ["", f"The last: {memory:.0f} MiB more at the peak, of which {pixels:.0f} are its pixels."]
    return "\n".join(lines) + "\n"


def _cell(rounds: list[Found], measure: str, key: str, cold: bool) -> str:
    values = [one[measure].get(key, []) for one in rounds]
    if not all(values) or (not cold and len(values[0]) == 1):
        return ""
    chosen = [one[0] if cold else statistics.median(one[1:]) for one in values]
    middle = statistics.median(chosen)
    return f"{middle:.0f}" if measure == "requests" else f"{middle:.3f}"


if __name__ == "__main__":
    main()
