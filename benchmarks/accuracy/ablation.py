"""What each part of the solver is worth: PCK of every set with one part left out or forced.

    python benchmarks/accuracy/ablation.py [SET …] [--only TITLE …] [--cache FOLDER] [--record]

A part is changed by fields of the solver's configuration, or by what it is given; everything else, the seed
among it, stays the same. Each set by its usual protocol. With --record, results go to
benchmarks/results/ablation.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

import congeal.alignment.poses.pose_estimation as posing
from benchmarks.common.annotated_sets import ROOT, SETS
from benchmarks.common.destinations import heading
from benchmarks.common.recording import command_line
from benchmarks.common.set_features import Extractor, FeaturedSet, Given, carried, in_processes, solve
from congeal.alignment.config import SolverConfig
from congeal.alignment.config.poses import PosesConfig
from congeal.alignment.model import FLOW, GUIDED, RIGID, Alignment
from congeal.evaluation.pck import carry, nearest_neighbour, unsure

RESULTS = ROOT / "benchmarks" / "results" / "ablation.md"


@dataclass(frozen=True)
class Change:
    """What is changed: fields of the configuration, and arguments of the solver that are left out."""

    config: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


CHANGES: dict[str, Change] = {
    "poses only": Change(dict(SolverConfig.preset("rigid").differences())),
    "flow always": Change(dict(SolverConfig.preset("flow").differences())),
    "guided always": Change(dict(SolverConfig.preset("guided").differences())),
    "any match is followed": Change({"guided.advantage": -2.0}),
    "atlas without mean shape": Change({"deformation.mean_shape": False}),
    "nothing is beside": Change({"common_object.relearn": False}),
    "no mirror features": Change(without=("mirrored", "mirrored_saliency")),
    "no mirroring": Change(dict(SolverConfig.preset("no-mirroring").differences())),
    "no position directions": Change(without=("position",)),
    "attention as saliency": Change({"cosaliency.learned": False, "common_object.relearn": False}),
    "one reference": Change(),
}


@contextmanager
def one_reference() -> Iterator[None]:
    """Mirror states and poses from the pairs with one image alone: the one that shares most with all others.

    No option of the solver: it replaces the synchronisation.
    """
    mirroring, poses = posing.synchronize_mirroring, posing.synchronize_poses

    def star(weight: Tensor) -> Tensor:
        kept = torch.zeros_like(weight)
        reference = int(weight.sum(1).argmax())
        kept[reference], kept[:, reference] = 1.0, 1.0
        return kept

    def by_one(same: Tensor, opposite: Tensor, config: PosesConfig) -> Tensor:
        kept = star(same + opposite)
        return mirroring(same * kept, opposite * kept, config)

    def posed_by_one(a: Tensor, b: Tensor, weight: Tensor, config: PosesConfig) -> Any:
        return poses(a, b, weight * star(weight), config)

    with (
        patch.object(posing, "synchronize_mirroring", by_one),
        patch.object(posing, "synchronize_poses", posed_by_one),
    ):
        yield


NEIGHBOUR = "nearest neighbour"
FULL = "full"
TITLES = (FULL, *CHANGES, NEIGHBOUR)


def changed(title: str, given: Given) -> Alignment:
    """The alignment with one of CHANGES."""
    change = CHANGES[title]
    config = SolverConfig().replace(change.config)
    arguments = replace(given, **dict.fromkeys(change.without))
    if title == "one reference":
        with one_reference():
            return solve(arguments, config=config)
    return solve(arguments, config=config)


def measure(title: str, featured: FeaturedSet) -> float:
    """PCK in percent."""
    if title == NEIGHBOUR:
        way = unsure(nearest_neighbour(featured.images, featured.given.features, featured.given.extent))
        return carry(featured.images, way, featured.pairs).pck(featured.alpha)
    return carried(featured, changed(title, featured.given)).pck(featured.alpha)


def no_change(whole: Alignment) -> dict[str, bool]:
    """Changes that leave a solution as it is, since it has already what they force."""
    freedom = whole.atlas.deformation
    return {
        "poses only": freedom == RIGID,
        "flow always": freedom == FLOW,
        "guided always": freedom == GUIDED,
        "any match is followed": freedom != GUIDED,
        "atlas without mean shape": freedom == RIGID,
        "no mirroring": not whole.mirrored.any(),
    }


def measure_all(titles: list[str], cache: Path | None, name: str) -> dict[str, float]:
    """`measure` of one set, with the whole solver in any case."""
    featured = Extractor(cache).named(name)
    whole = solve(featured.given)
    pck, same = carried(featured, whole).pck(featured.alpha), no_change(whole)
    others = [title for title in titles if title != FULL]
    return {FULL: pck} | {t: pck if same.get(t) else measure(t, featured) for t in others}


def line(name: str, values: dict[str, float]) -> str:
    """A row: the PCK of the whole solver, and how far each change is from it."""
    cells = []
    for title, value in values.items():
        cells.append(f"{value:.1f}" if title == FULL else f"{value:.1f} ({value - values[FULL]:+.1f})")
    return f"| {name} | " + " | ".join(cells) + " |"


def mean_of(found: dict[str, dict[str, float]], names: list[str]) -> dict[str, float]:
    titles = next(iter(found.values()))
    return {title: float(np.mean([found[name][title] for name in names])) for title in titles}


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), help="columns")
    asked = parser.parse_args()
    columns = [FULL, *(title for title in asked.only if title != FULL)]
    lines = [f"| set | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    print("\n".join(lines), flush=True)
    found: dict[str, dict[str, float]] = {}
    values = in_processes(functools.partial(measure_all, columns, asked.cache), asked.sets)
    for name, value in zip(asked.sets, values, strict=True):
        found[name] = value
        lines.append(line(name, value))
        print(lines[-1], flush=True)
    groups = {
        "photographs": [name for name in found if name in SETS],
        "rendered": [name for name in found if name not in SETS],
        "all": list(found),
    }
    for title, names in groups.items():
        if names:
            lines.append(line(f"**{title}, mean**", mean_of(found, names)))
            print(lines[-1], flush=True)
    if asked.record:
        head = [
            *heading("What each part of the solver is worth", "accuracy/ablation.py"),
            "PCK by each set's usual protocol (α = 0.1; wings 0.02), one seed; in brackets the difference "
            "from the whole solver.",
            "",
        ]
        RESULTS.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
