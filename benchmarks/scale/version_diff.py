"""What `congeal diff` takes: two versions of so many images compared, in a process of its own.

    python benchmarks/scale/version_diff.py [--sizes 10000 100000 1000000] [--record]

The published tables are made up, 25 images a cluster, a tenth of them in none; in the later version one
image of 128 has another cluster, one another path, and one is gone. Points are not followed: that reads maps,
as many as are asked for.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.common.own_memory import answer_of, apart
from benchmarks.scale.report_driver import made_up, peak
from congeal.results.published_version import Published
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import IMAGES
from congeal.results.version_comparison import compare
from infra.ledger.commits import digest, find_marker, outputs_location
from infra.ledger.publications import publish, published
from infra.storage.location import Location
from tasks.execution import stage_versions
from tasks.execution.stage_runner import Unit, Work, address

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results" / "version_diff.md"


def two_versions(place: Location, count: int) -> None:
    """Publish tables of so many images, and then others."""
    made_up(place, count)
    first = published(place)
    assert first is not None
    index = stage_versions.INDEX
    units = list(first.units[index])
    for at, unit in enumerate(units):
        marker = find_marker(place, index, unit)
        assert marker is not None
        if "images.parquet" not in marker.outputs:
            continue
        data = (outputs_location(place, marker) / "images.parquet").read_bytes()
        rows = pq.read_table(io.BytesIO(data))
        number = pa.array(range(rows.num_rows))
        moved, renamed, gone = (pc.equal(pc.bit_wise_and(number, 127), one) for one in (1, 2, 3))
        cluster, uri = rows["cluster_id"].cast(pa.string()), rows["uri"]
        other = pc.if_else(moved, pa.scalar("c00000000000", pa.string()), cluster)
        columns = {
            "cluster_id": other.cast(IMAGES.field("cluster_id").type),
            "uri": pc.if_else(renamed, pc.binary_join_element_wise(uri, ".", "."), uri),
        }
        for name, values in columns.items():
            rows = rows.set_column(rows.schema.get_field_index(name), IMAGES.field(name), values)
        rows = rows.filter(pc.invert(gone))
        later = Unit(address(place, index, stage_versions.VERSIONS[index], "known", digest("later")), {})
        found = Work(later).commit({"images.parquet": encode_table(rows, IMAGES)}, {"rows": {}})
        units[at] = f"{found.scope}/{found.unit}"
    publish(place, first.model_copy(update={"run_key": "later", "units": {index: units}}))


def measure(count: int) -> dict[str, float]:
    """Seconds and memory of one size, in this process."""
    with tempfile.TemporaryDirectory(prefix="congeal-version-diff-") as home:
        place = Location.parse(Path(home) / "out")
        apart(partial(two_versions, place, count))
        before, begin, spent = peak(), time.perf_counter(), time.process_time()
        found = compare(Published(place, "1"), Published(place, "2"), follow=0)
        assert len(found.images.gone) == len(range(3, count, 128))
        return {
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
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 100_000, 1_000_000))
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    lines = [
        "| images | s | processor's s | imported, MiB | peak memory, MiB |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in asked.sizes:
        found = answer_of(__file__, "--one", size)
        lines.append(
            f"| {size:,} | {found['seconds']:.1f} | {found['processor']:.1f} | {found['before']:,.0f} | "
            f"{found['peak']:,.0f} |"
        )
        print(lines[-1], flush=True)
    # Not before: what this process has taken counts as the peak of those that it starts.
    from benchmarks.common.recording import tell

    tell("Two versions compared", "scale/version_diff.py", "", lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
