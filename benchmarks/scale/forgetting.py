"""What it takes to forget one image of many, and what the run after that takes.

    python benchmarks/scale/forgetting.py [--images 10000] [--record]

Small rendered pictures, fifty to a folder; the first sixty folders are a cluster each, all other images have
none. A tiny ViT with random weights. A real backbone makes larger files, of which one shard and one cluster
are rewritten however many images there are; what grows with them, markers and tables, is as it is anywhere.
Two versions are published, and both lose the image.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import safetensors.torch  # noqa: E402
import sample_runs  # noqa: E402

from benchmarks.common.recording import tell  # noqa: E402
from infra.ledger.commits import MARKER  # noqa: E402
from infra.storage.location import Location  # noqa: E402
from tasks.maintenance.forget import forget, what_is_left  # noqa: E402

RESULTS = HERE / "results" / "forgetting.md"
EACH, CLUSTERS = 50, 60
ASKED = (
    "clusters.method=column:place",
    "report.enabled=false",
    "features.shard_bytes=4000000",
    "catalog.slice_size=512",
    sample_runs.LITTLE_IN_COMMON,
)


def timed(what: Callable[[], Any]) -> tuple[Any, str]:
    """What it gives, and a cell for its seconds and one for its processor seconds (of this process)."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = what()
    return found, f"{time.perf_counter() - wall:.1f} | {time.process_time() - cpu:.1f}"


def main() -> None:
    import timm

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/forgetting.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forgetting-") as folder:
        home = Path(folder)
        weights = home / "weights.safetensors"
        model = timm.create_model(sample_runs.BACKBONE, pretrained=False, num_classes=0)
        safetensors.torch.save_file(model.state_dict(), weights)
        rows = ["uri,place"]
        for number in range(asked.images):
            uri = f"source/{number // EACH:04d}/{number:06d}.png"
            rows.append(f"{uri},{number // EACH if number < EACH * CLUSTERS else ''}")
            path = home / uri
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sample_runs.picture(number // EACH % 2, number, (48, 36)))
        source = home / "list.csv"
        source.write_text("\n".join(rows) + "\n")
        settings = sample_runs.tiny(weights, *ASKED)
        _, first = timed(lambda: sample_runs.run(source, home / "out", settings))
        (home / "source/0000/one more.png").write_bytes(sample_runs.picture(0, asked.images, (48, 36)))
        source.write_text("\n".join([*rows, "source/0000/one more.png,0"]) + "\n")
        sample_runs.run(source, home / "out", settings)
        place = Location.parse(home / "out")
        units = sum(1 for item in place.objects() if item.path.endswith(f"/{MARKER}"))
        facts, forgotten = timed(lambda: forget(place, ["source/0000/000001.png"]))
        left, looked = timed(lambda: what_is_left(place, ["source/0000/000001.png"]))
        assert left == [], left
        done, after = timed(lambda: sample_runs.run(source, home / "out", settings))
        made = sum(row["units_made"] for row in done["stages"])
    lines = [
        f"| {asked.images:,} images, {units:,} units | seconds | processor seconds |",
        "| --- | ---: | ---: |",
        f"| the first run | {first} |",
        f"| forget one image ({facts['units']} units rewritten) | {forgotten} |",
        f"| look whether anything is left of it | {looked} |",
        f"| the next run ({made} units made) | {after} |",
    ]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    said = f"In one process; load of the machine over 1, 5 and 15 minutes: {load}."
    tell("Forgetting", "scale/forgetting.py", said, lines, RESULTS, asked.record, "tiny, random weights")


if __name__ == "__main__":
    main()
