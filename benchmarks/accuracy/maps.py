"""How sound the maps of every set are: whether the way there and back leads home, and where they fold.

    python benchmarks/accuracy/maps.py [SET …] [--cache FOLDER] [--record]

Home: from the image to the atlas and back, distance from where one set out, in tokens, over the cells of the
frame whose confidence is high enough. Folds: share of the atlas' cells with confidence enough at which the
map to the image turns over. With --record, results go to benchmarks/results/maps.md.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import options, tell
from benchmarks.common.set_features import Extractor, in_processes, solve
from congeal.alignment.maps.confidence import where_it_folds
from congeal.geometry.warps import flip, grid, sample

RESULTS = ROOT / "benchmarks" / "results" / "maps.md"
LEVELS = (0.8, 0.5)  # confidence


@dataclass(frozen=True)
class Soundness:
    """Figures for each of LEVELS: home, median and 90th percentile in tokens; folds, also of all cells."""

    freedom: str
    home: tuple[tuple[float, float], ...]
    folds: tuple[float, ...]


def measure(cache: Path | None, name: str) -> Soundness:
    given = Extractor(cache).named(name).given
    found = solve(given)
    forward, backward = torch.as_tensor(found.forward), torch.as_tensor(found.backward)
    n, m = backward.shape[:2]
    cells = grid(m, 1.0, forward.device).expand(n, -1, -1, -1)
    off = (sample(forward, backward) - cells).norm(dim=-1) / (2 * given.extent / given.features.shape[1])
    back_sure, sure = torch.as_tensor(found.backward_confidence), torch.as_tensor(found.forward_confidence)
    folded = where_it_folds(flip(forward, torch.as_tensor(found.mirrored))).float()
    home, folds = [], []
    for level in LEVELS:
        there = off[back_sure >= level]
        half, most = np.quantile(there.numpy(), [0.5, 0.9]) if len(there) else (np.nan, np.nan)
        home.append((float(half), float(most)))
        folds.append(float(folded[sure >= level].mean()) if bool((sure >= level).any()) else float("nan"))
    return Soundness(found.atlas.deformation, tuple(home), (*folds, float(folded.mean())))


def main() -> None:
    asked = options(__doc__, RESULTS)
    titles = [f"home, confidence ≥ {level}: median, 90 %" for level in LEVELS]
    titles += [f"folds, confidence ≥ {level}" for level in LEVELS] + ["folds, all cells"]
    lines = [f"| set | freedom | {' | '.join(titles)} |", f"| --- | --- |{' ---: |' * len(titles)}"]
    values = in_processes(functools.partial(measure, asked.cache), asked.sets)
    for name, value in zip(asked.sets, values, strict=True):
        cells = [f"{half:.2f}, {most:.2f}" for half, most in value.home]
        cells += [f"{share:.2%}" for share in value.folds]
        lines.append(f"| {name} | {value.freedom} | {' | '.join(cells)} |")
    said = (
        "Home: from the image to the atlas and back, distance from the start in tokens. Folds: share of the "
        "atlas' cells at which the map turns over."
    )
    tell("How sound the maps are", "accuracy/maps.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
