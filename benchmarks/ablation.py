"""What each part of the solver is worth: PCK of every set with one part left out or forced.

    python benchmarks/ablation.py [SET …] [--only TITLE …] [--cache FOLDER] [--record]

Constants and functions of the solver are replaced from outside, for the time of a call; everything else,
the seed among it, stays the same. Each set by its usual protocol. With --record, results go to
benchmarks/results/ablation.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from annotated_sets import ROOT, SETS
from destinations import heading
from recording import command_line
from set_features import Extractor, FeaturedSet, Given, carried, in_processes, solve
from torch import Tensor

import congeal.alignment.atlas_fitting
import congeal.alignment.inputs.cosaliency
import congeal.alignment.inputs.image_set
import congeal.alignment.maps.guided_matching
import congeal.alignment.poses.pose_estimation
import congeal.alignment.selection.deformation_selection
import congeal.alignment.solver
from congeal.alignment.inputs.image_set import ImageSet
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.model import FLOW, GUIDED, RIGID, Alignment
from congeal.alignment.poses.common_object import Standing
from congeal.evaluation.pck import carry, nearest_neighbour, unsure

RESULTS = ROOT / "benchmarks" / "results" / "ablation.md"
NEVER, ALWAYS = 9.0, -9.0  # as a gain that must be reached

Change = Callable[[ExitStack, Given], Given]
"""Replaces parts until the stack is closed, and gives back the inputs."""


def _gains(flow: float, guided: float) -> Change:
    def change(stack: ExitStack, given: Given) -> Given:
        stack.enter_context(
            patch.object(congeal.alignment.selection.deformation_selection, "FLOW_GAIN", flow)
        )
        stack.enter_context(
            patch.object(congeal.alignment.selection.deformation_selection, "GUIDED_GAIN", guided)
        )
        if guided == ALWAYS:
            stack.enter_context(
                patch.object(congeal.alignment.selection.deformation_selection, "SYMMETRIC", ALWAYS)
            )
        return given

    return change


def _any_match(stack: ExitStack, given: Given) -> Given:
    """Guided maps follow the matches, whatever they gain."""
    stack.enter_context(patch.object(congeal.alignment.maps.guided_matching, "ADVANTAGE", ALWAYS))
    return given


def _drifting_atlas(stack: ExitStack, given: Given) -> Given:
    """What all flows have in common stays in them."""
    stack.enter_context(
        patch.object(congeal.alignment.selection.deformation_selection, "recentred", lambda warps, *_: warps)
    )
    return given


def _no_sharing(stack: ExitStack, given: Given) -> Given:
    """What draws attention beside the thing counts as part of it."""

    def learn_nothing(images: Company, _: Standing) -> list[None]:
        return [None] * len(images.members.sizes)

    stack.enter_context(patch.object(congeal.alignment.solver, "learn_shared", learn_nothing))
    return given


def _no_mirror_features(_: ExitStack, given: Given) -> Given:
    return replace(given, mirrored=None, mirrored_saliency=None)


def _no_mirroring(stack: ExitStack, given: Given) -> Given:
    """All images count as they are, newcomers too: no mirror image can fit well enough."""
    stack.enter_context(patch.object(congeal.alignment.poses.pose_estimation, "FACING_PRIOR", 1.0))
    stack.enter_context(patch.object(congeal.alignment.atlas_fitting, "FACING_PRIOR", 1.0))
    return given


def _no_position(_: ExitStack, given: Given) -> Given:
    return replace(given, position=None)


def _attention(stack: ExitStack, given: Given) -> Given:
    """The class token's attention, smoothed and scaled as the seed of co-saliency is, and nothing learned."""

    def prepare(*arguments: Any, **options: Any) -> ImageSet:
        images = congeal.alignment.inputs.image_set.prepare(*arguments, **options)
        inputs, seed = images.inputs, congeal.alignment.inputs.cosaliency._seed
        turned = inputs.valid.flip(2)
        plain = seed(inputs.saliency.clamp_min(0), inputs.valid) * inputs.valid
        mirrored = seed(inputs.mirrored_saliency.clamp_min(0), turned) * turned
        return replace(images, saliency=plain, mirrored_saliency=mirrored)

    for module in (congeal.alignment.solver, congeal.alignment.atlas_fitting):
        stack.enter_context(patch.object(module, "prepare", prepare))
    return _no_sharing(stack, given)


def _one_reference(stack: ExitStack, given: Given) -> Given:
    """Facings and poses from the pairs with one image alone: the one that shares most with all others."""
    facings, poses = (
        congeal.alignment.poses.pose_estimation.synchronize_facings,
        congeal.alignment.poses.pose_estimation.synchronize_poses,
    )

    def star(weight: Tensor) -> Tensor:
        kept = torch.zeros_like(weight)
        reference = int(weight.sum(1).argmax())
        kept[reference], kept[:, reference] = 1.0, 1.0
        return kept

    def one_facing(same: Tensor, opposite: Tensor) -> Any:
        kept = star(same + opposite)
        return facings(same * kept, opposite * kept)

    def one_pose(a: Tensor, b: Tensor, weight: Tensor, **options: Any) -> Any:
        return poses(a, b, weight * star(weight), **options)

    stack.enter_context(
        patch.object(congeal.alignment.poses.pose_estimation, "synchronize_facings", one_facing)
    )
    stack.enter_context(patch.object(congeal.alignment.poses.pose_estimation, "synchronize_poses", one_pose))
    return given


CHANGES: dict[str, Change] = {
    "poses only": _gains(NEVER, NEVER),
    "flow always": _gains(ALWAYS, NEVER),
    "guided always": _gains(congeal.alignment.selection.deformation_selection.FLOW_GAIN, ALWAYS),
    "any match is followed": _any_match,
    "atlas without mean shape": _drifting_atlas,
    "nothing is beside": _no_sharing,
    "no mirror features": _no_mirror_features,
    "no mirroring": _no_mirroring,
    "no position directions": _no_position,
    "attention as saliency": _attention,
    "one reference": _one_reference,
}
NEIGHBOUR = "nearest neighbour"
FULL = "full"
TITLES = (FULL, *CHANGES, NEIGHBOUR)


@contextmanager
def changed(title: str, given: Given) -> Iterator[Given]:
    """The inputs of a solver with one of CHANGES in it."""
    with ExitStack() as stack:
        yield CHANGES[title](stack, given)


def measure(title: str, featured: FeaturedSet) -> float:
    """PCK in percent."""
    if title == NEIGHBOUR:
        way = unsure(nearest_neighbour(featured.images, featured.given.features, featured.given.extent))
        return carry(featured.images, way, featured.pairs).pck(featured.alpha)
    with changed(title, featured.given) as given:
        return carried(featured, solve(given)).pck(featured.alpha)


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
            *heading("What each part of the solver is worth", "ablation.py"),
            "PCK by each set's usual protocol (α = 0.1; wings 0.02), one seed; in brackets the difference "
            "from the whole solver.",
            "",
        ]
        RESULTS.write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
