"""How quick the page of a report is, in Chromium without a GPU, on generated reports.

    python benchmarks/speed/report_page.py [--times N] [--destination DEST] [--record]

The overview of 10,000 images opened from disk; that of 1,000,000 rows over http, read by ranges; the page of
a cluster of 30 images, and the time from a pointed place to all its counterparts. Times are of browsers
started for it, the median of N. With --destination, points are carried on the pages of its report, and
by `congeal transfer`, and compared. With --record, results go to benchmarks/results/report_page.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import congeal
from benchmarks.common.recording import tell
from congeal.transfer.points import ForwardMaps, transfer_to_many

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

import report_members  # noqa: E402
import report_page_data  # noqa: E402
from chromium import Page, chromium  # noqa: E402
from range_server import served  # noqa: E402
from report_encoding import base64_of, script, sheet, webp  # noqa: E402
from report_members import members  # noqa: E402
from report_page_data import ASSETS, write_report  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "report_page.md"
WINDOW = (1440, 900)
SAMPLE = 200_000
PAN = """new Promise(done => {
  const map = congealView.map.map; map.zoom(3); map.frames.length = 0;
  const start = performance.now(); let frames = 0;
  const step = now => {
    frames++; map.pan(Math.sin(frames / 20) * 12, Math.cos(frames / 31) * 8);
    if (now - start < 3000) requestAnimationFrame(step);
    else done([frames / (now - start) * 1000, map.frames.reduce((a, b) => a + b, 0) / map.frames.length]);
  };
  requestAnimationFrame(step);
})"""
HOVERS = """(() => {
  const times = [];
  for (let k = 0; k < 300; k++)
    times.push(congealView.timeOfHover(k % 30, Math.sin(k) * 0.8, Math.cos(3 * k) * 0.8));
  return times.sort((a, b) => a - b);
})()"""


def collection(destination: Path, rows: int, sample: int, clusters: int, *, pictures: bool) -> None:
    """The report of so many images in clusters of one size: its index and map, with sheets if asked for."""
    found = members([f"{k}.jpg" for k in range(8)])
    write_report(destination, found)
    report = destination / "report"
    random = np.random.default_rng(0)
    order = random.permutation(rows)
    cluster = (order % clusters).astype(np.int32)
    centres = random.uniform(0.05, 0.95, (clusters, 2))
    places = np.clip(centres[cluster] + random.normal(0, 0.012, (rows, 2)), 0, 1).astype(np.float32)
    cell = (order // clusters).astype(np.int32)
    known = {
        name: random.uniform(0, 1, rows).astype(np.float32)
        for name in ("confidence", "residual", "cycle_error", "coverage")
    }
    names = [f"collection/part-{k // 1000:05d}/image-{k:09d}.jpg" for k in order]
    status = (random.uniform(size=rows) < 0.03).astype(np.int8)
    columns: dict[str, Any] = {"x": places[:, 0], "y": places[:, 1], "cluster": cluster, "status": status}
    columns |= known | {"sheet": np.where(cell < 100, cluster, -1).astype(np.int32), "cell": cell % 100}
    table = pa.table({"image_id": [f"{k:032x}" for k in order], "uri": names} | columns)
    pq.write_table(table, report / "map.parquet", compression="zstd", row_group_size=50_000)
    quantised = {
        "x": base64_of(np.uint16, np.round(places[:sample, 0] * 65535)),
        "y": base64_of(np.uint16, np.round(places[:sample, 1] * 65535)),
        "cluster": base64_of(np.uint32, cluster[:sample]),
        "status": base64_of(np.uint8, status[:sample]),
        "sheet": base64_of(np.uint32, columns["sheet"][:sample].astype(np.int64) % 2**32),
        "cell": base64_of(np.uint16, columns["cell"][:sample]),
    }
    for name, values in known.items():
        quantised[name] = base64_of(np.uint8, 1 + values[:sample] * 254) | {"lo": 0, "hi": 1}
    script(report / "data" / "map.js", "map", {"rows": sample, "columns": quantised})
    script(report / "data" / "names.js", "names", {"uri": names[:sample]})
    _index(report, rows, sample, clusters, pictures=pictures)
    if pictures:
        squares = [member.square for member in found]
        for k in range(clusters):
            drawn = [np.roll(squares[(k + j) % 8], 7 * j, 1) for j in range(min(100, rows // clusters))]
            (report / "data" / f"small-{k}.webp").write_bytes(webp(sheet(drawn, 64, 10)))


def _index(report: Path, rows: int, sample: int, clusters: int, *, pictures: bool) -> None:
    path = report / "data" / "index.js"
    text = path.read_text()
    index = json.loads(text[text.index(" = ") + 3 : -1])
    index["counts"] |= {"images": rows, "ok": rows, "clusters": clusters}
    index["map"] |= {"rows": rows, "sample": sample}
    index["clusters"] = {name: values * clusters for name, values in index["clusters"].items()}
    index["clusters"]["id"] = [f"c{k:011x}" for k in range(clusters)]
    sheets = [f"data/small-{k}.webp" for k in range(clusters)] if pictures else []
    index["sheets"] |= {
        "path": sheets,
        "columns": [10 for _ in sheets],
        "cluster": list(range(len(sheets))),
        "page": [0 for _ in sheets],
    }
    script(path, "index", index)


def opened(page: Page, url: str) -> tuple[float, float]:
    """Milliseconds from the start of loading until it can be used, and those of the page's thread."""
    page.size(*WINDOW)
    page.call("Performance.enable", timeDomain="threadTicks")
    page.open(url)
    page.wait("congealView.interactive > 0")
    metrics = {entry["name"]: entry["value"] for entry in page.call("Performance.getMetrics")["metrics"]}
    return float(page.evaluate("congealView.interactive")), 1000 * float(metrics["TaskDuration"])


def from_disk(folder: Path, times: int) -> list[str]:
    collection(folder, 10_000, 10_000, 200, pictures=True)
    found = []
    for _ in range(times):
        with chromium() as page:
            found.append(opened(page, (folder / "report" / "index.html").as_uri()))
    with chromium() as page:
        opened(page, (folder / "report" / "index.html").as_uri())
        frames, _ = page.evaluate(PAN)
    return [
        f"| overview of 10,000 images, from disk, until the map can be moved | {_seconds(found)} | ≤ 1.5 s |",
        f"| … frames/s while panning, with its pictures | {frames:.0f} | |",
    ]


def over_http(folder: Path, times: int) -> list[str]:
    collection(folder, 1_000_000, SAMPLE, 2000, pictures=False)
    found, bytes_read = [], []
    with served(folder) as address:
        for _ in range(times):
            with chromium() as page:
                found.append(opened(page, f"{address}/report/index.html"))
                bytes_read.append(page.received)
        with chromium() as page:
            opened(page, f"{address}/report/index.html")
            frames, drawing = page.evaluate(PAN)
    read = statistics.median(bytes_read) / 1e6
    return [
        f"| overview of 1,000,000 rows over http, {SAMPLE:,} shown | {_seconds(found)} | ≤ 4 s |",
        f"| … read | {read:.1f} MB | ≤ 30 MB |",
        f"| … frames/s while panning | {frames:.0f} (drawing one: {drawing:.1f} ms) | ≥ 15 |",
    ]


def of_a_cluster(folder: Path, times: int) -> list[str]:
    report_members.RESOLUTION = report_page_data.RESOLUTION = 64  # as maps are stored
    index = write_report(folder, members([f"{k}.jpg" for k in range(30)]))
    url = f"{index.as_uri()}#/cluster/c0ffee"
    found = []
    for _ in range(times):
        with chromium() as page:
            found.append(opened(page, url))
    with chromium() as page:
        opened(page, url)
        page.evaluate(HOVERS)
        hovers = page.evaluate(HOVERS)
    middle, most = hovers[len(hovers) // 2], hovers[int(len(hovers) * 0.99)]
    return [
        f"| cluster page of 30 images, cold, from disk | {_seconds(found)} | ≤ 0.7 s |",
        f"| … point → counterparts on all, drawn | {middle:.1f} ms (99 %: {most:.1f} ms) | ≤ 16 ms |",
    ]


def beside_transfer(destination: Path) -> list[str]:
    """Points carried on the pages of a real report, and by the published maps."""
    collection = congeal.open(str(destination))
    random = np.random.default_rng(0)
    apart: list[float] = []
    with chromium() as page:
        page.size(*WINDOW)
        aligned = collection.clusters[collection.clusters["status"] == "ok"]["cluster_id"]
        for cluster in aligned:
            page.open("about:blank")
            page.open(f"{(destination / 'report' / 'index.html').resolve().as_uri()}#/cluster/{cluster}")
            page.wait("congealView.interactive > 0")
            shown = page.evaluate("congealView.members.map(member => member.id)")
            maps = [collection.maps(image) for image in shown]
            targets = ForwardMaps(
                [one.frame for one in maps],
                np.stack([one.forward for one in maps]),
                np.stack([one.forward_confidence for one in maps]),
            )
            for source in random.choice(len(shown), min(6, len(shown)), replace=False).tolist():
                frame = maps[source].frame
                points = random.uniform(-0.5, (frame.width - 0.5, frame.height - 0.5), (20, 2))
                wanted = transfer_to_many(points, maps[source], targets)
                ask = f"congealView.counterparts({source}, x, y).map(found => [found.x, found.y])"
                given = np.asarray(page.evaluate(f"{json.dumps(points.tolist())}.map(([x, y]) => {ask})"))
                off = given.transpose(1, 0, 2) - wanted.xy
                # Those that are on the image: what else would be shown nowhere.
                apart += np.hypot(off[..., 0], off[..., 1])[wanted.confidence > 0].tolist()
    within = float((np.asarray(apart) <= 0.5).mean())
    return [
        f"| {len(apart):,} points within 0.5 px of those of `congeal transfer` | {within:.2%} | ≥ 99.9 % |",
        f"| … farthest | {max(apart):.2f} px | |",
    ]


def _seconds(found: list[tuple[float, float]]) -> str:
    wall, busy = (statistics.median(times) / 1000 for times in zip(*found, strict=True))
    return f"{wall:.2f} s (processor: {busy:.2f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--destination", type=Path, help="one with a report, to carry points in")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    lines = ["| | measured | to reach |", "| --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in (("disk", from_disk), ("http", over_http), ("cluster", of_a_cluster)):
            lines += measure(Path(folder) / name, asked.times)
    if asked.destination:
        lines += beside_transfer(asked.destination)
    size = sum(len(gzip.compress((ASSETS / name).read_bytes(), 9)) for name in ("report.js", "report.css"))
    lines.append(f"| script and style, gzipped | {size / 1000:.0f} kB | ≤ 250 kB |")
    said = (
        f"Medians of {asked.times}, each in a headless browser started for it, without a GPU, {WINDOW}. In "
        "brackets: processor time of the page's thread, which hardly depends on what else the machine does."
    )
    tell("The page of a report", "speed/report_page.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
