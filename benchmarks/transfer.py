"""How quickly points and edits are carried, from a disk and from S3 (moto's server, in a process of its own).

    python benchmarks/transfer.py [--record]

A generated cluster of 200 images with maps of the usual resolution (noise on them, so that they compress as
badly as maps can) lies in a destination; it is read through the door only. "Cold" is the first call of a new
process, after opening the destination; "warm" the median of the calls after it. With --record, results go to
benchmarks/results/transfer.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from annotated_sets import ROOT
from destinations import heading

import congeal
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
from infra.settings import StorageSettings
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group
from tasks.execution.stage_versions import VERSIONS

RESULTS = ROOT / "benchmarks" / "results" / "transfer.md"
CLUSTER = "c00000000001"
IMAGES_THERE, TARGETS, POINTS = 200, 100, 1000
SMALL, LARGE = (800, 600), (6000, 4000)
REPEATS = 7


def name(number: int) -> str:
    return f"{number:04d}.jpg"


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


def measure(destination: str, endpoint: str | None) -> dict[str, list[float]]:
    """Seconds of repeated calls, in this process; the first of each is the cold one."""
    storage = {"endpoint_url": endpoint} if endpoint else {}
    begin = time.perf_counter()
    collection = congeal.open(destination, **storage)
    found = {"open": [time.perf_counter() - begin]}
    random = np.random.default_rng(1)
    points = random.uniform(100, 500, (POINTS, 2))
    targets = [name(number) for number in range(1, TARGETS + 1)]
    found["one"] = _timed(lambda: collection.transfer(name(0), points, name(1)), 200 if not endpoint else 20)
    found["many"] = _timed(lambda: collection.transfer(name(0), points, targets), REPEATS)
    found["all"] = _timed(lambda: collection.landmarks(points[:12], name(0)), REPEATS)
    if not endpoint:
        layer = np.zeros((SMALL[1], SMALL[0], 4), np.uint8)
        layer[200:400, 250:550] = random.integers(0, 256, (200, 300, 4), np.uint8)
        small = [name(1)]
        found["layer"] = _timed(lambda: list(collection.propagate(layer, name(0), to=small)), 3)
        before = _peak()
        whole = np.full((*SMALL[::-1], 4), 255, np.uint8)
        found["large"] = _timed(
            lambda: list(collection.propagate(whole, name(0), to=[name(IMAGES_THERE - 1)])), 2
        )
        found["memory"] = [_peak() - before]
    return found


def _timed(call: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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


def child(destination: str, endpoint: str | None) -> dict[str, list[float]]:
    """`measure` in a new process."""
    arguments = ["--measure", destination, *(["--endpoint", endpoint] if endpoint else [])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.endpoint)))
        return
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(variable, "testing")
    with tempfile.TemporaryDirectory() as scratch, s3() as url:
        generate(Location.parse(scratch))
        generate(Location.parse("s3://generated/here", StorageSettings(endpoint_url=url)))
        disk, store = child(scratch, None), child("s3://generated/here", url)
    text = report(disk, store)
    print(text)
    if asked.record:
        RESULTS.write_text(text)


def report(disk: dict[str, list[float]], store: dict[str, list[float]]) -> str:
    lines = [
        *heading("Carrying points and edits", "transfer.py"),
        f"A generated cluster of {IMAGES_THERE} images, maps {Settings().atlases.resolution} x "
        f"{Settings().atlases.resolution}; S3 is moto's server on the same machine.",
        "",
        "| | disk, cold s | disk, warm s | S3, cold s | S3, warm s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    titles = {
        "open": "`congeal.open`",
        "one": f"`transfer`: {POINTS:,} points to 1 image",
        "many": f"`transfer`: {POINTS:,} points to {TARGETS} images",
        "all": f"`landmarks`: 12 points on all {IMAGES_THERE} images",
        "layer": "`propagate`: an edit to an image of 800 x 600",
        "large": "`propagate`: an edit of the whole image to one of 6000 x 4000",
    }
    for key, title in titles.items():
        cells = []
        for found in (disk, store):
            seconds = found.get(key, [])
            cells.append(f"{seconds[0]:.3f}" if seconds else "")
            cells.append(f"{statistics.median(seconds[1:]):.3f}" if len(seconds) > 1 else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    pixels = LARGE[0] * LARGE[1] * 4 / 2**20
    lines += [
        "",
        f"The last: {disk['memory'][0]:.0f} MiB more at the peak, of which {pixels:.0f} are its pixels.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
