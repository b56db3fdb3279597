"""The report's map of all images: fitting the places of 50,000, and placing others among them.

    python benchmarks/scale/report_map.py [--fitted 50000] [--placed 20000] [--record]

Embeddings are drawn around 200 directions, as those of a collection of 200 kinds would lie; placing costs
every image the same, so what a million would take is said from those that were placed. Two threads, as a run
of two cores has them.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.recording import tell
from congeal.report.embedding_map import FITTED, fit, place

RESULT = Path(__file__).parents[1] / "results" / "report_map.md"
CHANNELS, KINDS, SPREAD = 384, 200, 0.6


def embeddings(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 [count, 384] around the same directions for every seed."""
    directions = np.random.default_rng(0).normal(size=(KINDS, CHANNELS))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, CHANNELS)) * (SPREAD / np.sqrt(CHANNELS))
    return (directions[rng.integers(KINDS, size=count)] + noise).astype(np.float32)


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What the call answers; its seconds, wall and processor."""
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answer = call()
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    return answer, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fitted", type=int, default=FITTED)
    parser.add_argument("--placed", type=int, default=20_000)
    parser.add_argument("--record", action="store_true", help=f"write {RESULT.name}")
    asked = parser.parse_args()
    known, others = embeddings(asked.fitted, 1), embeddings(asked.placed, 2)
    fitted, wall, processor = timed(lambda: fit(known, 0, 2))
    _, place_wall, place_processor = timed(lambda: place(fitted, others))
    million = 1e6 / asked.placed
    lines = [
        "| | wall, s | processor, s |",
        "| --- | --- | --- |",
        f"| fitting {asked.fitted:,} | {wall:,.1f} | {processor:,.1f} |",
        f"| placing {asked.placed:,} | {place_wall:,.1f} | {place_processor:,.1f} |",
        f"| … so a million | {place_wall * million:,.0f} | {place_processor * million:,.0f} |",
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    said = f"Peak memory {peak:,.2f} GiB. Embeddings of {CHANNELS} channels around {KINDS} directions."
    tell("Places in the report's map", "scale/report_map.py", said, lines, RESULT, asked.record)


if __name__ == "__main__":
    main()
