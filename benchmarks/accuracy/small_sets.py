"""Small sets: PCK of a few random images of every annotated set, beside that of nearest neighbours.

    python benchmarks/accuracy/small_sets.py [SET …] [--sizes N …] [--draws N] [--cache FOLDER] [--record]

Images are drawn from the first 20 of a set; draws whose images have no keypoint in common are left out. The
fewer the images, the less there is to tell a right pose or facing from a wrong one. A second table says by
how much draws are below nearest neighbours, and which are most. With --record, results go to
benchmarks/results/small_sets.md.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
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
MUCH = 2.0  # points below nearest neighbours that no draw is to be
NAMED = 6  # draws of a size that are named, those that are most below


@dataclass(frozen=True)
class Drawn:
    """PCK in percent of a draw: of the product, and of nearest neighbours; points: how many were carried."""

    ours: float
    neighbours: float
    points: int
    deformation: str

    @property
    def short(self) -> float:
        """Points that the product lacks to nearest neighbours; 0 if none."""
        return max(0.0, self.neighbours - self.ours)


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


def measure(cache: Path | None, sizes: Sequence[int], draws: int, name: str) -> dict[int, list[Drawn]]:
    """The draws of each size, of one set."""
    featured = Extractor(cache).named(name)
    found: dict[int, list[Drawn]] = {size: [] for size in sizes}
    for size in sizes:
        for draw in range(draws):
            some = few(featured, size, draw)
            way = unsure(nearest_neighbour(some.images, some.given.features, some.given.extent))
            try:
                neighbours = carry(some.images, way, some.pairs)
            except CongealError:  # no keypoint is seen in two of them
                continue
            aligned = solve(some.given)
            ours = carried(some, aligned).pck(some.alpha)
            figures = neighbours.pck(some.alpha), len(neighbours), aligned.atlas.deformation
            found[size].append(Drawn(ours, *figures))
    return found


def cell(drawn: list[Drawn]) -> str:
    """Means, and in how many draws the product is below."""
    below = sum(each.ours < each.neighbours for each in drawn)
    means = (float(np.mean([getattr(each, way) for each in drawn])) for way in ("ours", "neighbours"))
    return "{:.1f} ({:.1f}) {}/{}".format(*means, below, len(drawn))


def shortfall(found: dict[str, dict[int, list[Drawn]]], sizes: Sequence[int]) -> list[str]:
    """The table of what is below nearest neighbours, and by how much."""
    lines = [
        "## What is below",
        "",
        f"| images | draws | below | by over {MUCH:g} points | by one keypoint | points short, mean | most |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for size in sizes:
        every = [(name, one) for name, some in found.items() for one in some[size]]
        short = np.array([one.short for _, one in every])
        single = sum(0 < one.short <= 100 / one.points + 1e-6 for _, one in every)
        worst = [every[row] for row in np.argsort(-short, kind="stable")[:NAMED] if short[row]]
        told = ", ".join(
            f"{name} {one.ours:.0f} ({one.neighbours:.0f}, {one.deformation})" for name, one in worst
        )
        lines.append(
            f"| {size} | {len(every)} | {int((short > 0).sum())} | {int((short > MUCH).sum())} | {single} | "
            f"{short.mean():.2f} | {told} |"
        )
    return lines


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="images of a draw")
    parser.add_argument("--draws", type=int, default=DRAWS, help="of every size, from every set")
    asked = parser.parse_args()
    sizes: Sequence[int] = asked.sizes
    lines = [
        f"| set | {' | '.join(f'{size} images' for size in sizes)} |",
        f"| --- |{' ---: |' * len(sizes)}",
    ]
    print("\n".join(lines), flush=True)
    everything: dict[int, list[Drawn]] = {size: [] for size in sizes}
    by_set: dict[str, dict[int, list[Drawn]]] = {}
    results = in_processes(functools.partial(measure, asked.cache, sizes, asked.draws), asked.sets)
    for name, found in zip(asked.sets, results, strict=True):
        by_set[name] = found
        for size, drawn in found.items():
            everything[size] += drawn
        lines.append(f"| {name} | {' | '.join(cell(found[size]) for size in sizes)} |")
        print(lines[-1], flush=True)
    below = shortfall(by_set, sizes)
    lines += [f"| **all draws** | {' | '.join(cell(everything[size]) for size in sizes)} |", "", *below]
    print("\n".join(lines[-1 - len(below) - 1 :]))
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
