"""What a table of plain matches for every pair of a few images would be worth beside their maps.

    python benchmarks/accuracy/pair_tables.py [SET …] [--draws N] [--cache FOLDER] [--record]

A point travels by the maps, unless the table of its pair knows a match that is more alike by a cosine. A
table has a cell for every token of the source. By how much more its match is alike is read between cells, and
so is the match where those of the cells around lie near the nearest one's: else that one's alone counts. It
may also be asked that the match leads back. Each is chosen, for every kind of thing, on all others. Draws are
the first of small_sets.py. With --record, results go to benchmarks/results/pair_tables.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.accuracy.small_sets import few
from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import heading
from benchmarks.common.recording import command_line
from benchmarks.common.set_features import (
    Extractor,
    FeaturedSet,
    in_processes,
    kin,
    maps_of,
    on_frame,
    solve,
    through,
)
from congeal.errors import CongealError
from congeal.evaluation.pck import Assured, carry, nearest_neighbour, unsure
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import cell_centres
from congeal.transfer.points import interpolate

RESULTS = ROOT / "benchmarks" / "results" / "pair_tables.md"
SIZES = (2, 3)
DRAWS = 3
GAINS = (0.15, 0.2, 0.25, 0.3, 0.35)
CORNERS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
CLOSE = 3.1  # tokens that the matches of neighbours lie apart at most, to be read between
HOME = 0.2  # of the thing's size: how near to where it began a match leads back
Choice = tuple[float, bool]  # by how much a match must be more alike, and whether it must lead back
CHOICES: tuple[Choice, ...] = tuple(product(GAINS, (False, True)))


@dataclass(frozen=True)
class PairTable:
    """Of a source's tokens: match in the target's frame [g, g, 2]; by how much its cosine is above that of
    the map's place, and whether it leads back [g, g]."""

    match: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    home: npt.NDArray[np.bool_]
    extent: float

    def at(self, places: Doubles, choice: Choice) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """Matches [k, 2] of places [k, 2] of the source's frame, and which of them are followed."""
        side = len(self.gain)
        index = (places[:, ::-1] / self.extent + 1) * side / 2 - 0.5
        lower = np.clip(np.floor(index), 0, side - 2).astype(int)
        part = np.clip(index - lower, 0, 1)
        around = lower[:, None] + CORNERS
        share = np.where(CORNERS == 1, part[:, None], 1 - part[:, None]).prod(-1)
        rows, columns = around[..., 0], around[..., 1]
        matches, nearest = self.match[rows, columns], (np.arange(len(places)), share.argmax(1))
        apart = np.linalg.norm(matches - matches[nearest][:, None], axis=-1)
        agreeing = share * (apart < CLOSE * 2 * self.extent / side)
        agreeing /= agreeing.sum(1, keepdims=True)
        more = (share * self.gain[rows, columns]).sum(1)
        least, back = choice
        home = self.home[rows[nearest], columns[nearest]]
        return (agreeing[..., None] * matches).sum(1), (more > least) & (home | (not back))


@dataclass(frozen=True)
class Drawn:
    """PCK in percent of a draw: of maps, of nearest neighbours, and with tables by CHOICES."""

    maps: float
    neighbours: float
    tables: tuple[float, ...]


def unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features, dim=-1)


def pair_table(some: FeaturedSet, way: Assured, size: float, source: int, target: int) -> PairTable:
    """way: by the maps. size: of the thing in the source, frame units."""
    given, one, other = some.given, some.images[source].frame, some.images[target].frame
    g = given.features.shape[1]
    cells = cell_centres(g, given.extent).reshape(-1, 2).astype(np.float64)
    features = torch.from_numpy(given.features.astype(np.float32)).flatten(1, 2)
    valid = torch.from_numpy(given.valid.reshape(len(given), -1) > 0)
    alike = unit(features[source]) @ unit(features[target]).T
    best = alike.masked_fill(~valid[target], -2).max(1)
    back = alike.T.masked_fill(~valid[source], -2).argmax(1)[best.indices].numpy()
    led, _ = way(source, target, on_frame(np.asarray(one.to_pixels(cells)), one))
    there = interpolate(
        features[target].view(g, g, -1).numpy(), np.asarray(other.to_frame(led)) / given.extent
    )
    usual = (unit(features[source]) * unit(torch.from_numpy(there).float())).sum(-1)
    home = np.linalg.norm(cells[back] - cells, axis=1) < HOME * size
    return PairTable(
        cells[best.indices.numpy()].reshape(g, g, 2),
        (best.values - usual).double().numpy().reshape(g, g),
        home.reshape(g, g),
        given.extent,
    )


def with_tables(
    some: FeaturedSet, way: Assured, tables: Callable[[int, int], PairTable], choice: Choice
) -> Assured:
    """The maps' way, but where the table of the pair is followed."""

    def chosen(source: int, target: int, points: Doubles) -> tuple[Doubles, Doubles]:
        places, sure = way(source, target, points)
        frame, there = some.images[source].frame, some.images[target].frame
        match, followed = tables(source, target).at(np.asarray(frame.to_frame(points)), choice)
        return np.where(followed[:, None], np.asarray(there.to_pixels(match)), places), sure

    return chosen


def measure(cache: Path | None, draws: int, name: str) -> dict[int, list[Drawn]]:
    """The draws of each size, of one set."""
    featured = Extractor(cache).named(name)
    found: dict[int, list[Drawn]] = {size: [] for size in SIZES}
    for size, draw in product(SIZES, range(draws)):
        some = few(featured, size, draw)
        try:
            plain = unsure(nearest_neighbour(some.images, some.given.features, some.given.extent))
            neighbours = carry(some.images, plain, some.pairs).pck(some.alpha)
        except CongealError:  # no keypoint is seen in two of them
            continue
        aligned = solve(some.given)
        way = through(maps_of(aligned, some.images))

        @functools.cache
        def tables(
            source: int,
            target: int,
            some: FeaturedSet = some,
            way: Assured = way,
            scale: Sequence[float] = aligned.scale,
        ) -> PairTable:
            return pair_table(some, way, float(scale[source]), source, target)

        chosen = [
            carry(some.images, with_tables(some, way, tables, choice), some.pairs).pck(some.alpha)
            for choice in CHOICES
        ]
        found[size].append(
            Drawn(carry(some.images, way, some.pairs).pck(some.alpha), neighbours, tuple(chosen))
        )
    return found


def held_out(found: dict[str, list[Drawn]], name: str) -> int:
    """Which of CHOICES is best in the mean of all sets of other kinds."""
    others = [drawn for other, drawn in found.items() if other not in kin(name) and drawn]
    if not others:
        return CHOICES.index((0.3, True))
    return int(np.mean([np.mean([each.tables for each in drawn], 0) for drawn in others], 0).argmax())


def row(name: str, chosen: list[tuple[float, Drawn]]) -> str:
    """Means; in how many draws each way is below neighbours; in how many tables lose over a point."""
    ours, maps, plain = (
        np.array(values)
        for values in zip(*((one, each.maps, each.neighbours) for one, each in chosen), strict=True)
    )
    below = f"{int((maps < plain).sum())} → {int((ours < plain).sum())} of {len(chosen)}"
    means = f"{plain.mean():.1f} | {maps.mean():.1f} | {ours.mean():.1f}"
    return f"| {name} | {means} | {below} | {int((ours < maps - 1).sum())} |"


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of every size, from every set")
    asked = parser.parse_args()
    results = in_processes(functools.partial(measure, asked.cache, asked.draws), asked.sets)
    found: dict[str, dict[int, list[Drawn]]] = {}
    for name, sizes in zip(asked.sets, results, strict=True):
        found[name] = sizes
        print(name, flush=True)
    lines: list[str] = []
    for size in SIZES:
        drawn = {name: sizes[size] for name, sizes in found.items() if sizes[size]}
        picked = {
            name: [(each.tables[held_out(drawn, name)], each) for each in some]
            for name, some in drawn.items()
        }
        lines += [
            "",
            f"## {size} images",
            "",
            "| set | nearest neighbours | maps | with tables | below neighbours | over a point lost |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *(row(name, some) for name, some in picked.items()),
            row("**all draws**", [each for some in picked.values() for each in some]),
            "",
            "| more alike by | must lead back | all draws |",
            "| ---: | --- | ---: |",
        ]
        means = np.mean([each.tables for some in drawn.values() for each in some], 0)
        lines += [
            f"| {gain} | {'yes' if back else 'no'} | {mean:.1f} |"
            for (gain, back), mean in zip(CHOICES, means, strict=True)
        ]
    print("\n".join(lines))
    if asked.record:
        head = [
            *heading("Tables of pairs", "accuracy/pair_tables.py"),
            "PCK by each set's usual protocol (α = 0.1; wings 0.02), mean of the draws. Tables are no part "
            "of the product: this is what they would give. By how much a match must be more alike, and "
            "whether it must lead back, is chosen for every kind of thing on all others; below, for all.",
        ]
        RESULTS.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
