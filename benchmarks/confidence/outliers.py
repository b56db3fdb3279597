"""Who does not belong: planted outliers, newcomers of another kind, and sets with nothing in common.

    python benchmarks/confidence/outliers.py [SET …] [--trials N] [--cache FOLDER] [--record]

Planted: sets of 15 images, or of as many as a set has, of which 1, 2 and 3 are drawn from sets of other
kinds. Newcomers: an atlas of one half of a set, to which the other half and one image of every other kind are
fitted. Nothing in common: 8 images of as many kinds. Kinds that are related (birds; cars) count as one. All
draws are by the trial's number. With --record, results go to benchmarks/results/outliers.md.
"""

from __future__ import annotations

import functools
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import about, heading
from benchmarks.common.recording import command_line
from benchmarks.common.set_features import EVERY, Extractor, FeaturedSet, Given, in_processes, kin, together
from congeal.alignment.outcomes import NOTHING_IN_COMMON
from congeal.alignment.solver import align, fit

RESULTS = ROOT / "benchmarks" / "results" / "outliers.md"
SIZE = 15
PLANTED = (1, 2, 3)
LARGEST = 20  # images of a set from which newcomers and builders are drawn
MIXED_SETS = 12
MIXED_SIZE = 8


@dataclass
class Tally:
    """What was flagged; where the missed came from, and which files were wrongly flagged."""

    strangers: int = 0
    found: int = 0
    members: int = 0
    alarms: int = 0
    nothing: int = 0
    missed: list[str] = field(default_factory=list)
    wronged: list[str] = field(default_factory=list)

    def count(self, flagged: Sequence[bool], inside: Sequence[str], outside: Sequence[str]) -> None:
        """One trial: flags of the members, then of the strangers, and what they are called."""
        own, other = flagged[: len(inside)], flagged[len(inside) :]
        self.strangers += len(outside)
        self.found += sum(other)
        self.members += len(inside)
        self.alarms += sum(own)
        self.missed += [name for name, flag in zip(outside, other, strict=True) if not flag]
        self.wronged += [name for name, flag in zip(inside, own, strict=True) if flag]

    @property
    def recall(self) -> float:
        return self.found / self.strangers

    @property
    def false(self) -> float:
        return self.alarms / self.members

    def row(self, name: str) -> str:
        missed = ", ".join(_counted(self.missed)) or "–"
        wronged = ", ".join(_counted(self.wronged)) or "–"
        return (
            f"| {name} | {self.found}/{self.strangers} | {self.recall:.1%} | {self.alarms}/{self.members} | "
            f"{self.false:.1%} | {missed} | {wronged} |"
        )


def _counted(names: Sequence[str]) -> list[str]:
    counts = Counter(names).most_common()
    return [name if count == 1 else f"{name} ×{count}" for name, count in counts]


def added(tallies: Sequence[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        for name in ("strangers", "found", "members", "alarms", "nothing"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    return total


def planted(featured: FeaturedSet, others: dict[str, FeaturedSet], trials: int) -> Tally:
    """Sets with 1, 2 and 3 images of other kinds in them."""
    tally = Tally()
    for trial in range(trials):
        draw = random.Random(f"{featured.name} {trial}")
        for count in PLANTED:
            inside = draw.sample(range(len(featured)), min(SIZE, len(featured)) - count)
            outside = draw.sample(sorted(others), count)
            strangers = [_one(others[name], draw) for name in outside]
            found = align(**together([featured.given[inside], *strangers]).for_align, seed=trial)
            tally.nothing += found.status == NOTHING_IN_COMMON
            tally.count(found.outlier.tolist(), [featured.files[row].name for row in inside], outside)
    return tally


def newcomers(featured: FeaturedSet, others: dict[str, FeaturedSet], trials: int) -> Tally:
    """Half of a set and one image of every other kind, fitted to the atlas of the other half."""
    tally = Tally()
    for trial in range(trials):
        draw = random.Random(f"{featured.name} {trial} newcomers")
        order = draw.sample(range(len(featured)), min(LARGEST, len(featured)))
        half = len(order) // 2
        atlas = align(**featured.given[order[:half]].for_align, seed=trial)
        tally.nothing += atlas.status == NOTHING_IN_COMMON
        strangers = [_one(others[name], draw) for name in others]
        everyone = together([featured.given[order[half:]], *strangers])
        found = fit(atlas.atlas, **everyone.for_fit, seed=trial)
        names = [featured.files[row].name for row in order[half:]]
        tally.count(found.outlier.tolist(), names, list(others))
    return tally


def _one(featured: FeaturedSet, draw: random.Random) -> Given:
    return featured.given[[draw.randrange(len(featured))]]


def one_of_each(sets: dict[str, FeaturedSet], trial: int) -> tuple[list[str], Given]:
    """MIXED_SIZE images of as many kinds."""
    draw = random.Random(f"mixed {trial}")
    kinds = sorted({kin(name) for name in sets})
    chosen = draw.sample(kinds, min(MIXED_SIZE, len(kinds)))
    names = [draw.choice([name for name in kind if name in sets]) for kind in chosen]
    return names, together([_one(sets[name], draw) for name in names])


def mixed(cache: Path, trial: int) -> tuple[str, list[str]]:
    """The status of a set that shows a thing of each kind, and the sets whose images count as members."""
    names, given = one_of_each(sets_in(cache), trial)
    found = align(**given.for_align, seed=trial)
    left = [name for name, flag in zip(names, found.outlier.tolist(), strict=True) if not flag]
    return found.status, left


@functools.cache
def sets_in(cache: Path) -> dict[str, FeaturedSet]:
    """All sets; what the cache lacks is made."""
    extractor = Extractor(cache)
    return {name: extractor.named(name) for name in EVERY}


def measure(cache: Path, trials: int, name: str) -> tuple[Tally, Tally]:
    """Planted outliers and newcomers of one set."""
    sets = sets_in(cache)
    others = {other: sets[other] for other in EVERY if other not in kin(name)}
    return planted(sets[name], others, trials), newcomers(sets[name], others, trials)


def worst_first(tallies: dict[str, Tally]) -> list[str]:
    """A table with a row a set and one for all."""
    order = sorted(tallies, key=lambda name: (tallies[name].recall, -tallies[name].false))
    every = added(list(tallies.values()))
    return [
        "| set | found | recall | false alarms | share | missed | wrongly flagged |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
        *(tallies[name].row(name) for name in order),
        f"| **all** | {every.found}/{every.strangers} | **{every.recall:.1%}** | "
        f"{every.alarms}/{every.members} | **{every.false:.1%}** | | |",
        "",
        f"Sets that were said to have nothing in common: {every.nothing}.",
    ]


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--trials", type=int, default=1, help="of each number of planted images")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = asked.cache or Path(scratch)
        sets_in(cache)
        inside, fitted = {}, {}
        found = in_processes(functools.partial(measure, cache, asked.trials), asked.sets)
        for name, (planted_here, newcomers_here) in zip(asked.sets, found, strict=True):
            inside[name], fitted[name] = planted_here, newcomers_here
            print(planted_here.row(name), newcomers_here.row("newcomers"), sep="\n", flush=True)
        mixtures = range(MIXED_SETS * asked.trials)
        statuses = list(in_processes(functools.partial(mixed, cache), mixtures))
    text = report(asked.trials, inside, fitted, statuses)
    print(text)
    if asked.record:
        RESULTS.write_text(text)


def report(
    trials: int,
    inside: dict[str, Tally],
    fitted: dict[str, Tally],
    statuses: Sequence[tuple[str, list[str]]],
) -> str:
    nothing = sum(status == NOTHING_IN_COMMON for status, _ in statuses)
    wrong = "; ".join(", ".join(left) for status, left in statuses if status != NOTHING_IN_COMMON)
    lines = [
        *heading("Outliers", "confidence/outliers.py", about() | {"trials": trials}),
        "Found: images of another kind that were flagged; false alarms: images of the set that were. Birds "
        f"are not planted among birds, nor cars among cars. Drawings of each sort: {trials}. Worst first.",
        "",
        f"## Planted: 1, 2 and 3 of {SIZE} images, or of as many as the set has",
        "",
        *worst_first(inside),
        "",
        "## Newcomers: one half of the set and one image of every other kind, to an atlas of the other half",
        "",
        *worst_first(fitted),
        "",
        f"## Nothing in common: {len(statuses)} sets of {MIXED_SIZE} images, each of another kind",
        "",
        f"Called so: {nothing} of {len(statuses)} ({nothing / len(statuses):.0%})."
        + (f" In the others these were taken for members: {wrong}." if wrong else ""),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
