"""Images a second of the features stage, from files to a committed Zarr group, of two builds in turns.

    python benchmarks/speed/features_speed.py --before CHECKOUT [--images 4] [--rounds 5] [--threads 1 2]
                                              [--record]

CHECKOUT: another build, with its own environment in `.venv`. Each build and engine has a process of its own
that has loaded its model and made the shard once; they make the same shard one after the other, round by
round, so that what else the machine does falls on all of them. Wall-clock and CPU seconds are medians over
the rounds. With --record, results go to benchmarks/results/features_speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, shared
from benchmarks.common.recording import tell
from benchmarks.common.turns import Build, beside_first, take_turns

RESULTS = ROOT / "benchmarks" / "results" / "features_speed.md"
BACKBONES = {
    "DINOv2-S, 448 px": lambda: [
        "features.backbone=vit_small_patch14_dinov2.lvd142m",
        f"features.weights={shared() / WEIGHTS}",
    ],
    "embedded": lambda: ["features.backbone=embedded"],
}
# Runs in either build: what is in its modules is found by where it lies.
WORKER = """
import hashlib, json, os, sys, tempfile, time
from pathlib import Path
asked = json.loads(sys.argv[1])
import torch
import congeal
torch.set_num_threads(asked["threads"])
try:
    from congeal.settings import load_settings
    from infra.storage.location import Location
    from tasks.execution.stage_runner import Unit, address
    from tasks.features.feature_shards import FeaturesPayload, make_shard
    from tasks.features.run_backbone import load_weights, locate
except ImportError:
    from infra.settings import load_settings
    from infra.storage import Location
    from tasks.features import make_shard
    from tasks.stage import Unit, address
    from tasks.weights import load_weights, locate
    FeaturesPayload = None
source = Path(asked["source"])
files = sorted(path for path in source.rglob("*.jpg"))
files = files[:: max(len(files) // asked["images"], 1)][: asked["images"]]
settings = load_settings(None, asked["settings"], environ={})
weights = locate(settings)
load_weights(weights, settings.features)
members = tuple(
    (hashlib.sha256(path.read_bytes()).hexdigest()[:32], path.relative_to(source).as_posix())
    for path in files
)
place = Location.parse(str(source))
if FeaturesPayload is None:
    payload = {"source": place, "settings": settings, "weights": weights, "members": members}
else:
    payload = FeaturesPayload(place, settings, weights, members, False)
def made():
    with tempfile.TemporaryDirectory() as folder:
        unit = Unit(
            address(Location.parse(folder), "features", 2, "scope", "unit"), payload, items=len(members),
            threads=asked["threads"],
        )
        wall, cpu = time.perf_counter(), time.process_time()
        make_shard(unit)
        return [time.perf_counter() - wall, time.process_time() - cpu]
made()
print(json.dumps({"file": congeal.__file__}), flush=True)
for line in sys.stdin:
    print(json.dumps(made()), flush=True)
"""


def worker(settings: list[str], threads: int, images: int) -> list[str]:
    """What the Python of a build is to run."""
    asked = {
        "source": str(shared() / "data" / "caltech_mix"),
        "images": images,
        "settings": settings,
        "threads": threads,
    }
    return ["-W", "ignore", "-c", WORKER, json.dumps(asked)]


def rows(name: str, asked: argparse.Namespace, threads: int) -> list[str]:
    """The rows of a backbone with so many threads."""
    settings = [*BACKBONES[name](), "features.device=cpu"]
    wanted = {"before": (asked.before, settings)}
    for engine in ("torch", "openvino"):
        wanted[f"now, {engine}"] = (ROOT, [*settings, f"features.engine={engine}"])
    with ExitStack() as stack:
        builds = {
            title: stack.enter_context(Build(tree, worker(chosen, threads, asked.images), threads))
            for title, (tree, chosen) in wanted.items()
        }
        take_turns(list(builds.values()), asked.rounds)
    lines = []
    for title, found in zip(builds, beside_first(list(builds.values())), strict=True):
        lines.append(
            f"| {name} | {threads} | {title} | {asked.images / found.wall:.2f} | {found.faster:.2f} | "
            f"{found.cpu / asked.images:.3f} | {found.cpu_faster:.2f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure every backbone asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--backbone", nargs="*", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    lines = [
        "| backbone | threads | build | images/s | × | CPU s an image | × |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for name in asked.backbone:
        for threads in asked.threads:
            lines += rows(name, asked, threads)
    said = (
        f"Photographs of caltech_mix, {asked.images} in a shard, each as it is and mirrored; from files to "
        f"the committed Zarr group, model loaded. Medians of {asked.rounds} rounds in turns; ×: beside the "
        f"build before.\n\nProcessor: {processor()}."
    )
    tell("Speed of the features stage", "speed/features_speed.py", said, lines, RESULTS, asked.record)


def processor() -> str:
    """Its name, and which of the instructions that matter here it has."""
    text = Path("/proc/cpuinfo").read_text()
    wide = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    name = next((line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line), "?")
    return f"{name}, {os.cpu_count()} cores, {', '.join(flag for flag in wide if f' {flag} ' in text)}"


if __name__ == "__main__":
    main()
