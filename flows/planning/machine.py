"""What of a run is not in its stages' work: how long workers take to start, how far they slow each other, and
how long the split of a whole collection takes."""

from __future__ import annotations

import importlib
import threading
import time

import numpy as np

from congeal.settings import Settings
from flows.console.quiet_libraries import quiet_libraries
from flows.planning.sample import Loaded
from flows.runs.job_engine import PRELOADED
from infra.ledger.provenance import resident_bytes

ROUNDS = 3
TOKENS, WIDTH, HIDDEN = 1_024, 384, 1_536  # of one layer of a small ViT
LAYERS = 3
PLANNING = (
    "distributed",
    "flows.runs.stages",
    "tasks.report.report_stage",
)  # what a run's own process imports
CLUSTERED = 1_000  # images from which the clustering's time is told, for more it goes with their square


def load() -> Loaded:
    """Load what a run's own process needs, then what workers share, in this process, and measure."""
    quiet_libraries()
    for name in PLANNING:
        importlib.import_module(name)
    planning = resident_bytes()
    begin = time.perf_counter()
    for name in PRELOADED:
        importlib.import_module(name)
    return Loaded(time.perf_counter() - begin, planning, resident_bytes())


def clustering_seconds(images: float, settings: Settings) -> float:
    """Seconds that the split of so many embeddings takes, measured on made-up ones on this machine."""
    from tasks.clusters.cluster_roles import sort

    whole = min(images, settings.clusters.sample)
    some = int(min(whole, CLUSTERED))
    if some < 2 or settings.clusters.method != "auto":
        return 0.0
    random = np.random.default_rng(0)
    made_up = random.standard_normal((some, 384)).astype(np.float32)
    made_up /= np.linalg.norm(made_up, axis=1, keepdims=True)
    sort(made_up[: min(some, 50)], settings)  # imports
    begin = time.perf_counter()
    sort(made_up, settings)
    return (time.perf_counter() - begin) * (whole / some) ** 2


def slowed_down(workers: int) -> float:
    """How many times as long the same computing takes if so many do it at once; 1 for a core of its own.

    Measured with the arithmetic of a ViT's layer in threads, by turns alone and all at once. It is more than
    1 where workers share cores, memory's bandwidth, or the machine with other work.
    """
    if workers < 2:
        return 1.0
    alone = together = 0.0
    _layers()  # what it needs is loaded
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        _layers()
        alone += time.perf_counter() - begin
        threads = [threading.Thread(target=_layers) for _ in range(workers)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together += time.perf_counter() - begin
    return max(1.0, together / alone)


def _layers() -> None:
    """A few layers' worth, in one thread: products that the processor bounds, and what memory bounds."""
    random = np.random.default_rng(0)
    tokens: np.ndarray = random.standard_normal((TOKENS, WIDTH), np.float32)
    up, down = (
        random.standard_normal(shape, np.float32) / 50 for shape in ((WIDTH, HIDDEN), (HIDDEN, WIDTH))
    )
    for _ in range(LAYERS):
        tokens = np.tanh(tokens @ up) @ down
