"""The calls that `transfer.py` measures, in a process of their own; of any build, so it imports little.

python benchmarks/speed/transfer_calls.py DEST [--endpoint URL] [--counted] [--points-only]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import urllib.request
from collections.abc import Callable

import numpy as np

import congeal
from benchmarks.common.slow_store import COUNT

IMAGES_THERE, TARGETS, POINTS = 200, 100, 1000
SMALL, LARGE = (800, 600), (6000, 4000)
REPEATS = 7


def name(number: int) -> str:
    """The path of an image of the generated cluster."""
    return f"{number:04d}.jpg"


class Calls:
    """Seconds, requests and seconds of the processor, call by call; the first of each is the cold one."""

    def __init__(self, counter: str | None) -> None:
        self.counter = counter
        self.seconds: dict[str, list[float]] = {}
        self.requests: dict[str, list[int]] = {}
        self.processor: dict[str, list[float]] = {}

    def time(self, key: str, call: Callable[[], object], repeats: int = 1) -> None:
        """Do it several times."""
        for _ in range(repeats):
            before = self._count()
            begin, used = time.perf_counter(), time.process_time()
            call()
            self.seconds.setdefault(key, []).append(time.perf_counter() - begin)
            self.processor.setdefault(key, []).append(time.process_time() - used)
            self.requests.setdefault(key, []).append(self._count() - before)

    def _count(self) -> int:
        if self.counter is None:
            return 0
        with urllib.request.urlopen(self.counter) as answer:
            return int(answer.read())


def measure(
    destination: str, endpoint: str | None, counted: bool, points_only: bool
) -> dict[str, dict[str, list[float]]]:
    """Repeated calls, in this process."""
    storage = {"endpoint_url": endpoint} if endpoint else {}
    calls = Calls(f"{endpoint}{COUNT}" if counted else None)
    calls.time("open", lambda: congeal.open(destination, **storage))
    collection = congeal.open(destination, **storage)
    random = np.random.default_rng(1)
    points = random.uniform(100, 500, (POINTS, 2))
    targets = [name(number) for number in range(1, TARGETS + 1)]
    # Nothing has been read before it.
    calls.time("first", lambda: congeal.open(destination, **storage).transfer(name(0), points, targets), 3)
    calls.time("one", lambda: collection.transfer(name(0), points, name(1)), 20 if endpoint else 200)
    calls.time("many", lambda: collection.transfer(name(0), points, targets), REPEATS)
    calls.time("all", lambda: collection.landmarks(points[:12], name(0)), REPEATS)
    memory: list[float] = []
    if not endpoint and not points_only:
        layer = np.zeros((SMALL[1], SMALL[0], 4), np.uint8)
        layer[200:400, 250:550] = random.integers(0, 256, (200, 300, 4), np.uint8)
        small, large = [name(1)], [name(IMAGES_THERE - 1)]
        calls.time("layer", lambda: list(collection.propagate(layer, name(0), to=small)), 3)
        before = _peak()
        whole = np.full((*SMALL[::-1], 4), 255, np.uint8)
        calls.time("large", lambda: list(collection.propagate(whole, name(0), to=large)), 2)
        memory = [_peak() - before]
    counts = {key: [float(count) for count in found] for key, found in calls.requests.items()}
    found = {"seconds": calls.seconds, "requests": counts, "processor": calls.processor}
    return found | {"memory": {"large": memory}}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("destination")
    parser.add_argument("--endpoint")
    parser.add_argument("--counted", action="store_true", help="the endpoint is slow_store.py's")
    parser.add_argument("--points-only", action="store_true", help="no edits, which take longest")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.destination, asked.endpoint, asked.counted, asked.points_only)))
