"""What constants are worth on kinds of things that had no say in choosing them.

    python benchmarks/accuracy/leave_one_kind_out.py [SET …] [--cache FOLDER] [--record]

Each of CONSTANTS is tried at its value and a quarter less and more. For every set, the value is taken that is
best in the mean of the sets of all *other* kinds (birds count as one kind, cars, dogs and bottles likewise);
beside it are the product's value, and the value that is best on all sets together. PCK by each set's usual
protocol, one look, one seed. The numbers of confidence are left out in the same way by
benchmarks/confidence/calibration.py. With --record, results go to benchmarks/results/leave_one_kind_out.md.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import options, tell
from benchmarks.common.set_features import Extractor, carried, in_processes, kin, solve
from congeal.alignment.config import SolverConfig

RESULTS = ROOT / "benchmarks" / "results" / "leave_one_kind_out.md"
CONSTANTS = ("deformation.symmetric_margin", "mirror_selection.gain")
FACTORS = (0.75, 1.0, 1.25)
SEEDS = 1


def value_of(constant: str) -> float:
    group, name = constant.split(".")
    return float(getattr(getattr(SolverConfig(), group), name))


def measure(cache: Path | None, name: str) -> dict[tuple[str, float], float]:
    """PCK with every constant at every factor, of one set."""
    featured = Extractor(cache).named(name)

    def median(config: SolverConfig) -> float:
        runs = [carried(featured, solve(featured.given, seed, config=config)) for seed in range(SEEDS)]
        return float(np.median([run.pck(featured.alpha) for run in runs]))

    usual = median(SolverConfig())
    found = {}
    for constant in CONSTANTS:
        for factor in FACTORS:
            changed = SolverConfig().replace({constant: factor * value_of(constant)})
            found[constant, factor] = usual if factor == 1 else median(changed)
    return found


def best(found: dict[str, dict[tuple[str, float], float]], sets: list[str], constant: str) -> float:
    """The factor that is best in the mean of sets; of equals the one nearest to 1."""
    nearest = sorted(FACTORS, key=lambda factor: abs(factor - 1))
    return max(nearest, key=lambda factor: np.mean([found[name][constant, factor] for name in sets]))


def main() -> None:
    asked = options(__doc__, RESULTS)
    found = dict(
        zip(asked.sets, in_processes(functools.partial(measure, asked.cache), asked.sets), strict=True)
    )
    lines = []
    for constant in CONSTANTS:
        all_in = best(found, asked.sets, constant)
        lines += [
            f"## `{constant}`, {value_of(constant):g}",
            "",
            "| set | a quarter less | as it is | a quarter more | chosen on the others | held out | all in |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        table = []
        for name in asked.sets:
            others = [other for other in asked.sets if other not in kin(name)]
            factor = best(found, others, constant) if others else 1.0
            row = [found[name][constant, each] for each in (*FACTORS, factor, all_in)]
            table.append(row)
            told = [f"{value:.1f}" for value in row]
            lines.append(
                f"| {name} | {' | '.join(told[:3])} | {factor * value_of(constant):g} | "
                f"{' | '.join(told[3:])} |"
            )
        mean = [f"{value:.1f}" for value in np.mean(table, 0)]
        lines += [f"| **mean** | {' | '.join(mean[:3])} |  | {' | '.join(mean[3:])} |", ""]
    tell(
        "Constants chosen without the kind that they are judged on",
        "accuracy/leave_one_kind_out.py",
        (__doc__ or "").split("\n\n")[2].replace("\n", " "),
        lines,
        RESULTS,
        asked.record,
    )


if __name__ == "__main__":
    main()
