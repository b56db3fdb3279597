"""Small sets: PCK of a few random images of every annotated set, beside that of nearest neighbours.

    python benchmarks/accuracy/small_sets.py [SET …] [--draws N] [--cache FOLDER] [--record]

Images are drawn from the first 20 of a set; draws whose images have no keypoint in common are left out. The
fewer the images, the less there is to tell a right pose or facing from a wrong one. With --record, results go
to benchmarks/results/small_sets.md.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import heading
from benchmarks.common.recording import command_line
from benchmarks.common.set_features import Extractor, FeaturedSet, carried, in_processes, solve
from congeal.errors import CongealError
from congeal.evaluation.pck import carry, nearest_neighbour, unsure

RESULTS = ROOT / "benchmarks" / "results" / "small_sets.md"
SIZES = (2, 3, 4, 5, 8)
DRAWS = 6
LARGEST = 20


@dataclass(frozen=True)
class Drawn:
    """PCK in percent of a draw: of the product, and of nearest neighbours."""

    ours: float
    neighbours: float


def few(featured: FeaturedSet, size: int, draw: int) -> FeaturedSet:
    """Some of a set's images."""
    everybody = range(min(LARGEST, len(featured)))
    rows = sorted(random.Random(f"{featured.name} {size} {draw}").sample(everybody, size))
    place = {row: number for number, row in enumerate(rows)}
    pairs = [(place[a], place[b]) for a, b in featured.pairs if a in place and b in place]
    return replace(
        featured,
        given=featured.given[rows],
        images=[featured.images[row] for row in rows],
        files=[featured.files[row] for row in rows],
        pairs=pairs,
    )


def measure(cache: Path | None, draws: int, name: str) -> dict[int, list[Drawn]]:
    """The draws of each size, of one set."""
    featured = Extractor(cache).named(name)
    found: dict[int, list[Drawn]] = {size: [] for size in SIZES}
    for size in SIZES:
        for draw in range(draws):
            some = few(featured, size, draw)
            way = unsure(nearest_neighbour(some.images, some.given.features, some.given.extent))
            try:
                neighbours = carry(some.images, way, some.pairs)
            except CongealError:  # no keypoint is seen in two of them
                continue
            ours = carried(some, solve(some.given))
            found[size].append(Drawn(ours.pck(some.alpha), neighbours.pck(some.alpha)))
    return found


def cell(drawn: list[Drawn]) -> str:
    """Means, and in how many draws the product is below."""
    below = sum(each.ours < each.neighbours for each in drawn)
    means = (float(np.mean([getattr(each, way) for each in drawn])) for way in ("ours", "neighbours"))
    return "{:.1f} ({:.1f}) {}/{}".format(*means, below, len(drawn))


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of every size, from every set")
    asked = parser.parse_args()
    lines = [
        f"| set | {' | '.join(f'{size} images' for size in SIZES)} |",
        f"| --- |{' ---: |' * len(SIZES)}",
    ]
    print("\n".join(lines), flush=True)
    everything: dict[int, list[Drawn]] = {size: [] for size in SIZES}
    results = in_processes(functools.partial(measure, asked.cache, asked.draws), asked.sets)
    for name, found in zip(asked.sets, results, strict=True):
        for size, drawn in found.items():
            everything[size] += drawn
        lines.append(f"| {name} | {' | '.join(cell(found[size]) for size in SIZES)} |")
        print(lines[-1], flush=True)
    lines.append(f"| **all draws** | {' | '.join(cell(everything[size]) for size in SIZES)} |")
    print(lines[-1])
    if asked.record:
        head = [
            *heading("Small sets", "accuracy/small_sets.py"),
            "PCK by each set's usual protocol (α = 0.1; wings 0.02), mean of the draws; in brackets nearest "
            "neighbours on the same features; then in how many draws the product is below them.",
            "",
        ]
        RESULTS.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
