"""Which features a set chooses when a backbone gives it several, and what the choice is worth.

    python benchmarks/accuracy/mixtures.py [SET …] [--backbone NAME …] [--cache FOLDER] [--record]

Each backbone's usual features, the last block's tokens, and two more beside them. PCK by the usual protocol
of every mixture, of the one that the set chooses by its own free matches, and of nearest neighbours on the
usual features. "Best" is what only the keypoints can tell. With --record, results go to
benchmarks/results/mixtures.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, shared
from benchmarks.common.recording import command_line, tell
from benchmarks.common.set_features import EVERY, Extractor, FeaturedSet, Given, carried, in_processes, solve
from congeal.alignment.model import Mixture
from congeal.alignment.selection.feature_selection import mixtures
from congeal.evaluation.pck import carry, nearest_neighbour, unsure

RESULTS = ROOT / "benchmarks" / "results" / "mixtures.md"
PLAIN = "weights/deit_tiny_patch16_224.fb_in1k.fp16.safetensors"
BACKBONES = (Path(WEIGHTS).stem, Path(PLAIN).stem)


def settings_of(backbone: str) -> tuple[str, ...]:
    """The settings by which features of several kinds are had from one of BACKBONES."""
    if backbone == BACKBONES[0]:
        return ("features.beside=9.token,9.key",)
    return (
        "features.backbone=deit_tiny_patch16_224.fb_in1k",
        f"features.weights={shared() / PLAIN}",
        "features.beside=7.token,8.key",
    )


@dataclass(frozen=True)
class Row:
    """What one set came to: PCK of each mixture, of nearest neighbours, and what was chosen.

    times_as_long: how long solving took with the choice, against the first part alone.
    """

    name: str
    pck: dict[Mixture, float]
    nearest: float
    chosen: Mixture
    times_as_long: float

    @property
    def usual(self) -> float:
        """PCK of the first part alone."""
        return next(iter(self.pck.values()))


def only(given: Given, mixture: Mixture) -> Given:
    """The same with no other features than those of a mixture."""
    assert given.parts
    assert given.mirrored is not None
    assert given.position is not None
    kept = np.concatenate([np.full(size, name in mixture) for name, size in given.parts.items()])
    return replace(
        given,
        features=given.features[..., kept],
        mirrored=given.mirrored[..., kept],
        position=given.position[given.position[:, kept].any(1)][:, kept],
        parts=None,
        blank=None,
    )


def nearest(featured: FeaturedSet, given: Given) -> float:
    """PCK of nearest neighbours."""
    way = unsure(nearest_neighbour(featured.images, given.features, given.extent))
    return carry(featured.images, way, featured.pairs).pck(featured.alpha)


def measure(cache: Path | None, asked: Sequence[str], name: str) -> Row:
    """Every mixture of one set, and its choice."""
    featured = Extractor(cache, asked).named(name)
    given = featured.given
    tried = mixtures(list(given.parts or ()))
    pck = {one: carried(featured, solve(only(given, one))).pck(featured.alpha) for one in tried}
    usual = only(given, tried[0])
    begun = time.perf_counter()
    solve(usual)
    between = time.perf_counter()
    chosen = solve(given).atlas.mixture
    times = (time.perf_counter() - between) / (between - begun)
    return Row(name, pck, nearest(featured, usual), chosen, times)


def table(rows: Sequence[Row]) -> list[str]:
    """A row a set, the one to which its choice does most harm first, and the mean."""
    tried = list(rows[0].pck)
    titles = ["set", "chosen", "PCK", "against the usual", "against the best", "nearest neighbour"]
    lines = [
        _cells(titles + ["+".join(one) for one in tried]),
        _cells(["---", "---"] + ["---:"] * (4 + len(tried))),
    ]
    worst_first = sorted(rows, key=lambda one: one.pck[one.chosen] - one.usual)
    lines += [
        _line(
            row.name, "+".join(row.chosen), row.pck[row.chosen], max(row.pck.values()), row.nearest, row.pck
        )
        for row in worst_first
    ]
    means = {one: _mean(row.pck[one] for row in rows) for one in tried}
    got, best = (_mean(row.pck[row.chosen] for row in rows), _mean(max(row.pck.values()) for row in rows))
    times = float(np.median([row.times_as_long for row in rows]))
    return [
        *lines,
        _line("**mean**", "", got, best, _mean(row.nearest for row in rows), means),
        "",
        f"With the choice, solving took {times:.1f} times as long as by the usual features alone (median).",
    ]


def _line(
    name: str, chosen: str, got: float, best: float, nearest: float, pck: Mapping[Mixture, float]
) -> str:
    against = [f"{got - next(iter(pck.values())):+.1f}", f"{got - best:+.1f}"]
    return _cells(
        [name, chosen, f"{got:.1f}", *against, f"{nearest:.1f}", *(f"{one:.1f}" for one in pck.values())]
    )


def _cells(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def main() -> None:
    parser = command_line(__doc__, RESULTS, EVERY)
    parser.add_argument("--backbone", nargs="*", default=list(BACKBONES), choices=BACKBONES)
    asked = parser.parse_args()
    lines: list[str] = []
    for backbone in asked.backbone:
        rows = []
        for row in in_processes(functools.partial(measure, asked.cache, settings_of(backbone)), asked.sets):
            rows.append(row)
            print(row, flush=True)
        lines += [f"## {backbone}", "", *table(rows), ""]
    said = (
        "PCK of the product by each of a backbone's features alone and together, of what each set chooses, "
        "and of nearest neighbours on the usual ones, the last block's tokens. One seed."
    )
    tell("Mixtures", "accuracy/mixtures.py", said, lines[:-1], RESULTS, asked.record)


if __name__ == "__main__":
    main()
