"""What the driver takes for the report: planning its units, and its index and map from what they have made.

    python benchmarks/scale/report_driver.py [--sizes 10000 100000 1000000] [--record]

Nothing is drawn. The published tables of so many images are made up, 25 a cluster, a tenth of them in none;
the report's own code plans from them, is told that all units were made (pages with confidences, a table of
places) and writes its index, its map and its page. Each size is a process of its own, whose peak of resident
memory is its row's; beside it is what the process had when it had imported all that, before the report.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.common.own_memory import answer_of, apart
from congeal.report.cluster_page import PAGE
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS, CLUSTERS, IMAGES
from congeal.settings import Settings, recorded
from infra.compute.progress import Progress
from infra.ledger.commits import digest
from infra.ledger.publications import Publication, claim, publish
from infra.storage.location import Location
from tasks.execution import stage_versions
from tasks.execution.stage_runner import Unit, UnitReport, Work, address
from tasks.report import image_places
from tasks.report.page_units import CONFIDENCE, PagesPayload
from tasks.report.report_key import Made, Order
from tasks.report.report_stage import report

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results" / "report_driver.md"
SIZES = (10_000, 100_000, 1_000_000)
CLUSTER, SHARD = 25, 46


def columns_of(schema: pa.Schema, count: int, known: dict[str, Any]) -> pa.Table:
    """A table with these columns, null in all others."""
    return pa.table(
        {
            field.name: pa.array(known[field.name], pa.string()).cast(field.type)
            if field.name in known and pa.types.is_dictionary(field.type)
            else pa.array(known[field.name], field.type)
            if field.name in known
            else pa.nulls(count, field.type)
            for field in schema
        },
        schema,
    )


def made_up(place: Location, count: int) -> None:
    """Publish tables of so many images."""
    claim(place)
    random = np.random.default_rng(0)
    ids = [digest("image", number) for number in range(count)]
    inside = count * 9 // 10 // CLUSTER * CLUSTER
    clusters = [f"c{number:011x}" for number in range(inside // CLUSTER)]
    owner = [clusters[at // CLUSTER] if at < inside else None for at in range(count)]
    shards = [f"scope/{at // SHARD:032x}" for at in range(count)]
    images = columns_of(
        IMAGES,
        count,
        {
            "image_id": ids,
            "uri": [f"2026/{at % 365:03}/{at:08}.jpg" for at in range(count)],
            "bytes": [180_000] * count,
            "width": [800] * count,
            "height": [600] * count,
            "status": ["ok"] * count,
            "cluster_id": owner,
            "features_unit": shards,
            "features_row": [at % SHARD for at in range(count)],
        },
    )
    figures = {
        name: random.random(inside).astype(np.float32)
        for name in ("rotation", "scale", "translation_u", "translation_v", "residual", "cycle_error",
                     "fold_fraction", "coverage")
    }  # fmt: skip
    alignments = columns_of(
        ALIGNMENTS,
        inside,
        {
            "image_id": ids[:inside],
            "cluster_id": owner[:inside],
            "role": ["member"] * inside,
            "mirrored": [False] * inside,
            "outlier": [at % 20 == 0 for at in range(inside)],
            **figures,
        },
    )
    table = columns_of(
        CLUSTERS,
        len(clusters),
        {
            "cluster_id": clusters,
            "status": ["ok"] * len(clusters),
            "n_images": [CLUSTER] * len(clusters),
            "n_members": [CLUSTER] * len(clusters),
            "n_outliers": [1] * len(clusters),
            "n_new": [0] * len(clusters),
            "confidence": random.random(len(clusters)).astype(np.float32),
            "medoid_image_id": ids[:inside:CLUSTER],
            "atlas_unit": [f"scope/{at:032x}" for at in range(len(clusters))],
        },
    )
    index = stage_versions.INDEX
    made = {name: {"seconds": 1.5, "device": "cpu"} for name in clusters}
    units = []
    for name, files, record in (
        ("images", {"images.parquet": encode_table(images, IMAGES)}, {"rows": {"images": count}}),
        (
            "clusters",
            {
                "clusters.parquet": encode_table(table, CLUSTERS),
                "alignments.parquet": encode_table(alignments, ALIGNMENTS),
            },
            {"rows": {}, "made": made, "first": ["c"]},
        ),
    ):
        unit = Unit(address(place, index, stage_versions.VERSIONS[index], "known", digest(name)), {})
        marker = Work(unit).commit(files, record)
        units.append(f"{marker.scope}/{marker.unit}")
    counts = {"ok": count, "failed": 0, "duplicate": 0, "clusters": len(clusters), "misfits": 0}
    publish(
        place,
        Publication(
            run_key="known", source="memory://source", settings=recorded(Settings()), backbone="none",
            weights_fingerprint="none", units={index: units}, counts=counts,
            created="2026-01-01T00:00:00+00:00", code_version="0",
        ),
    )  # fmt: skip


class Told:
    """An engine that says of every unit that it was made."""

    workers = 2

    def threads(self, units: int) -> int:
        return 1

    def map(self, function: Callable[[Any], Any], payloads: Iterable[Any], **_: Any) -> Iterator[UnitReport]:
        for job in payloads:
            place, payload, kept = job.unit.address, job.unit.payload, {}
            if isinstance(payload, PagesPayload):
                count = job.unit.items
                page = {"script": "page-0000.js", "maps": "maps-0000.js", "small": "small-0000.webp",
                        "count": count, "columns": 10}  # fmt: skip
                sure = np.random.default_rng(count).random(count).astype("<f4").tobytes()
                kept = {"pages": [page] * -(-count // PAGE), CONFIDENCE: base64.b64encode(sure).decode()}
            elif isinstance(payload, image_places.PlacesPayload):
                kept = {"method": "t-SNE", "fitted": 50_000, "placed": 0, "note": None}
            yield UnitReport(place.scope, place.unit, "c" * 16, "i" * 16, job.unit.items, kept=kept)


def placed(root: Location, scope: str, unit: str, count: int) -> None:
    """The table of places that a unit would have written."""
    random = np.random.default_rng(1)
    names = sorted(digest("image", number) for number in range(count))
    table = pa.table(
        {
            "image_id": names,
            "x": random.random(count).astype(np.float32),
            "y": random.random(count).astype(np.float32),
            "fitted": np.arange(count) < 50_000,
        },
        schema=image_places.SCHEMA,
    )
    place = root / f"stages/report/{scope}/{unit}/{'c' * 16}/{image_places.TABLE}"
    place.write_bytes(encode_table(table, image_places.SCHEMA))


def reported(place: Location, count: int) -> Made:
    """The report on what `made_up` has published."""

    class Placing(Told):
        def map(self, function: Any, payloads: Iterable[Any], **more: Any) -> Iterator[UnitReport]:
            for found in super().map(function, payloads, **more):
                if isinstance(found.kept, dict) and "fitted" in found.kept:
                    apart(lambda at=found: placed(place / "report", at.scope, at.unit, count))
                yield found

    return report(Order(place), Settings(), Placing(), Progress(quiet=True))


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int) -> dict[str, float]:
    """Seconds and memory of one size, in this process."""
    with tempfile.TemporaryDirectory(prefix="congeal-report-driver-") as home:
        place = Location.parse(Path(home) / "out")
        apart(lambda: made_up(place, count))

        before, begin, spent = peak(), time.perf_counter(), time.process_time()
        made = reported(place, count)
        assert made.images == count
        return {
            "units": made.units,
            "seconds": time.perf_counter() - begin,
            "processor": time.process_time() - spent,
            "before": before,
            "peak": peak(),
        }


def main() -> None:
    """Each size; the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    lines = [
        "| images | units | s | processor's s | imported, MiB | peak memory, MiB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in asked.sizes:
        found = answer_of(__file__, "--one", size)
        lines.append(
            f"| {size:,} | {found['units']:,} | {found['seconds']:.1f} | {found['processor']:.1f} | "
            f"{found['before']:,.0f} | {found['peak']:,.0f} |"
        )
        print(lines[-1], flush=True)
    sizes = " ".join(map(str, asked.sizes))
    about = (
        f"`python benchmarks/scale/report_driver.py --sizes {sizes} --record`, {date.today()}, "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, local disk, load "
        f"average {os.getloadavg()[2]:.1f} over a quarter of an hour: where that is more than the cores, all "
        "seconds but the processor's are too long."
    )
    said = (__doc__ or "").split("\n\n")[2]
    text = "\n".join(["# The report: the driver", "", said.strip(), "", about, "", *lines])
    if asked.record:
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
