"""What of a run is not in its stages' work: how long workers take to start, how far they slow each other."""

from __future__ import annotations

import importlib
import threading
import time

import numpy as np

from flows.job_engine import PRELOADED
from infra.compute.numeric_libraries import release_memory
from infra.ledger.provenance import resident_bytes
from tasks.catalog.source_listing import Survey

ROUNDS = 3
TOKENS, WIDTH, HIDDEN = 1_024, 384, 1_536  # of one layer of a small ViT
LAYERS = 3
PLANNING = ("distributed", "flows.stages", "tasks.report.report_stage")  # what a run's own process imports


class Loading:
    """What it takes to load what workers share: they are forked from a process that has. See `prepare`.

    Attributes:
        seconds: that the imports took, which are nearly all of the start of workers; what the process had
            before counts as nothing.
        before, after: bytes that this process had resident. planning: what a run has without workers, and so
            without torch.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.before = self.planning = self.after = 0

    def __call__(self, survey: Survey) -> None:
        """Load it here, where the sample is run, and measure."""
        survey.rest()
        release_memory()
        self.before = resident_bytes()
        for name in PLANNING:
            importlib.import_module(name)
        self.planning = resident_bytes()
        begin = time.perf_counter()
        for name in PRELOADED:
            importlib.import_module(name)
        self.seconds = time.perf_counter() - begin
        self.after = resident_bytes()


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
