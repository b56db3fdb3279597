"""PCK against seconds: the published networks from a random start, the fast start, and the direct solver.

    python benchmarks/neural/training_curve.py [SET] [--iterations 2000] [--every 100] [--threads 1]
                                               [--record]

The random start has the published networks, losses and batch. Its schedule is the published one in short: the
similarity network alone for an eighth of the iterations, mirror states decided anew 80 times. The fast start
has the small network: first fitted to the direct maps, then on by the losses; its seconds have the direct
solver's in them. Seconds are of the processor, without those that the measuring takes. With --record, results
go to benchmarks/results/training_curve.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import tell
from benchmarks.common.set_features import Extractor, FeaturedSet, carried, joined, solve
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.neural import refinement
from congeal.neural.config import FAST, PUBLISHED, SCHEDULES, Schedule
from congeal.neural.refinement import NeuralMethod, refine
from congeal.neural.solution import solution
from congeal.neural.training import Training

RESULTS = ROOT / "benchmarks" / "results" / "training_curve.md"
PIXELS = 256
STAGES = {refinement.FITTED: "fitted to the direct maps", refinement.REFINED: "by the losses"}


@dataclass
class Watched:
    """A clock that stands while PCK is measured, and what was measured: (what, iteration, seconds, PCK)."""

    measure: Callable[[refinement._Job, Any, Tensor], float]
    every: int
    begun: float = 0.0
    points: list[tuple[str, int, float, float]] = field(default_factory=list)

    def now(self) -> float:
        """Seconds of the processor since the start, but for the measuring."""
        return time.process_time() - self.begun

    def note(self, job: refinement._Job, networks: Any, states: Tensor, stage: str, step: int) -> None:
        """Measure, if it is time."""
        if step % self.every:
            return
        paused = time.process_time()
        reached = self.measure(job, networks, states)
        self.points.append((STAGES[stage], step, paused - self.begun, reached))
        print(f"{STAGES[stage]}: {step} iterations, {paused - self.begun:.0f} s, {reached:.1f}", flush=True)
        self.begun += time.process_time() - paused


def shortened(iterations: int, images: int) -> Schedule:
    """The published schedule with so many iterations, its parts in proportion."""
    whole = SCHEDULES[PUBLISHED]
    epochs = max(1, round(iterations / -(-images // whole.batch)))
    share = epochs / whole.epochs
    parts = {name: max(1, round(getattr(whole, name) * share)) for name in ("bootstrap", "decide_every")}
    return replace(whole, epochs=epochs, **parts)


@contextmanager
def watching(clock: Watched) -> Iterator[None]:
    """Every step of a training is noted by the clock."""
    found: dict[str, Any] = {}
    train, fit = refinement._Job.train, refinement._Job.fit

    def kept(keeper: refinement._Keeper, job: Any, stage: str) -> None:
        states = job.mirrored if isinstance(job, Training) else found["job"].states
        clock.note(found["job"], job.networks, states, stage, job.optimiser.step)

    def known(method: Callable[..., Any]) -> Callable[..., Any]:
        def called(job: refinement._Job, *given: Any) -> Any:
            found["job"] = job
            return method(job, *given)

        return called

    with (
        patch.object(refinement._Keeper, "keep", kept),
        patch.object(refinement._Job, "train", known(train)),
        patch.object(refinement._Job, "fit", known(fit)),
    ):
        yield


def read(extractor: Extractor, featured: FeaturedSet) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The images as the published networks are given them, uint8 [n, 256, 256, 3]."""
    shown = np.stack([extractor.read(path) for path in featured.files])
    whole = torch.as_tensor(shown).permute(0, 3, 1, 2).float()
    pixels = functional.interpolate(whole, size=(PIXELS, PIXELS), mode="area").byte()
    return pixels.permute(0, 2, 3, 1).numpy()


def curves(
    featured: FeaturedSet, extractor: Extractor, iterations: int, every: int
) -> Iterator[tuple[str, list[tuple[str, int, float, float]]]]:
    """Name and points of the direct solver, the fast start and the random start."""
    given = featured.given
    arrays = ImageArrays(given.features, given.saliency, given.mirrored, given.mirrored_saliency, given.valid)

    def pck(aligned: Any) -> float:
        return float(carried(featured, joined([aligned])).pck(featured.alpha))

    def measured(job: refinement._Job, networks: Any, states: Tensor) -> float:
        return pck(solution(job.solved, job.mapped(networks, states)))

    begin = time.process_time()
    direct = solve(given)
    alone = time.process_time() - begin
    yield "direct", [("solved", 0, alone, pck(direct))]
    pixels = read(extractor, featured)
    for name, network, schedule in (
        ("fast start, small network", "small", SCHEDULES[FAST]),
        ("random start, published network", "published", shortened(iterations, len(given))),
    ):
        fast = schedule.fit_steps > 0
        clock = Watched(measured, every, time.process_time() - (alone if fast else 0.0))
        method = NeuralMethod(schedule=FAST if fast else PUBLISHED, network=network)
        with watching(clock), patch.dict(SCHEDULES, {schedule.name: schedule}):
            refine(arrays, direct, method, extent=given.extent, pixels=None if fast else pixels)
        yield name, clock.points


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", nargs="?", default="pf_willow/duck_S")
    parser.add_argument("--iterations", type=int, default=2_000)
    parser.add_argument("--every", type=int, default=100, help="iterations between two measurements")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    extractor = Extractor(asked.cache)
    featured = extractor.named(asked.set)
    rows = [
        f"| {name} | {stage} | {step:,} | {seconds:,.0f} | {reached:.1f} |"
        for name, points in curves(featured, extractor, asked.iterations, asked.every)
        for stage, step, seconds, reached in points
    ]
    tell(
        "PCK against seconds of training",
        f"neural/training_curve.py {asked.set} --iterations {asked.iterations}",
        f"{asked.set}, {len(featured)} images, one seed, {asked.threads} thread: PCK in percent at "
        f"{featured.alpha} after so many iterations (of two images and their mirror images; of all images "
        "with the fast start) and processor seconds.",
        ["| start | stage | iterations | s | PCK |", "| --- | --- | ---: | ---: | ---: |", *rows],
        RESULTS,
        asked.record,
    )
