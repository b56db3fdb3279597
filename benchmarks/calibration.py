"""How far the confidence of carried points can be believed, and what the curve behind it is worth held out.

    python benchmarks/calibration.py [SET …] [--cache FOLDER] [--record]

The expected calibration error over ten bins of confidence, for "right" meaning an error of at most α = 0.1 of
the unit of the set's protocol. Held out: the two numbers of the curve of smooth maps
(`congeal.alignment.maps.confidence.probability`) are chosen on a grid, by the likelihood of what turned out,
on the smooth sets of all *other* kinds, every set with the same say; the set is then carried with that curve.
Maps matched cell by cell use no curve. With --record, results go to benchmarks/results/calibration.md.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from annotated_sets import ROOT
from destinations import heading
from recording import options
from reliability_diagram import draw
from set_features import (
    SETS,
    Extractor,
    FeaturedSet,
    carried,
    in_processes,
    kin,
    maps_of,
    on_frame,
    solve,
)
from sklearn.metrics import roc_auc_score

from congeal.alignment import atlas_fitting, solver
from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.maps.postprocess import assemble
from congeal.alignment.model import GUIDED
from congeal.evaluation.calibration import calibration
from congeal.evaluation.pck import Assured, carry
from congeal.geometry.arrays import Doubles, Flags
from congeal.transfer.points import ForwardMaps, seen_from_atlas, to_atlas
from tasks.atlases.cluster_members import joined

RESULTS = ROOT / "benchmarks" / "results" / "calibration.md"
PLOT = ROOT / "docs" / "pictures" / "calibration.png"
ALPHA = 0.1
BINS = 10
CEILINGS = (0.80, 0.84, 0.88, 0.90, 0.92, 0.94, 0.96, 0.98, 1.0)
STEEPNESSES = (1, 2, 3, 4, 6, 8, 12, 16, 20, 30)
CURVES = tuple(itertools.product(CEILINGS, STEEPNESSES))
SUREST = 0.99  # likelihoods are taken of probabilities between this and its complement


@dataclass(frozen=True)
class Carried:
    """What became of m points of a set.

    confidence: float64 [m], as the product gives it. right: bool [m]. by_curve: float64 [m, curves], the
    confidence with each of CURVES; None where no curve is used.
    """

    freedom: str
    confidence: Doubles
    right: Flags
    by_curve: Doubles | None


@contextmanager
def recorded(calls: list[tuple[Any, ...]]) -> Iterator[None]:
    """While this lasts, arguments of `assemble` are added to calls, the config last."""

    def noting(*arguments: Any) -> Any:
        calls.append(arguments)
        return assemble(*arguments)

    with patch.object(solver, "assemble", noting), patch.object(atlas_fitting, "assemble", noting):
        yield


def with_curve(calls: Sequence[tuple[Any, ...]], curve: ConfidenceConfig) -> Any:
    """The alignment that the same maps make with another curve."""
    return joined([one for call in calls for one in assemble(*call[:-1], curve)])


def with_curves(calls: Sequence[tuple[Any, ...]], featured: FeaturedSet) -> Assured:
    """The published way from image to image, with a column of confidence for each of CURVES."""
    by_curve = [
        with_curve(calls, ConfidenceConfig(ceiling=ceiling, steepness=steepness))
        for ceiling, steepness in CURVES
    ]
    maps = maps_of(by_curve[0], featured.images)
    count = len(CURVES)
    sources = np.stack([one.backward_confidence for one in by_curve], -1)
    onward = np.stack([one.forward_confidence for one in by_curve])
    targets = [
        ForwardMaps([one.frame] * count, np.broadcast_to(one.forward, (count, *np.shape(one.forward))), sure)
        for one, sure in zip(maps, onward.swapaxes(0, 1), strict=True)
    ]

    def way(source: int, target: int, points: Doubles) -> tuple[Doubles, Doubles]:
        points = on_frame(points, maps[source].frame)
        places, sure = to_atlas(points, replace(maps[source], backward_confidence=sources[source]))
        found = seen_from_atlas(places, sure.T, targets[target])
        return found.xy[0], found.confidence.T

    return way


def points_of(cache: Path | None, name: str) -> Carried:
    featured = Extractor(cache).named(name)
    calls: list[tuple[Any, ...]] = []
    with recorded(calls):
        alignment = solve(featured.given)
    freedom = alignment.atlas.deformation
    plain = carried(featured, alignment)
    by_curve = None
    if freedom != GUIDED:
        way = with_curves(calls, featured)
        by_curve = carry(featured.images, way, featured.pairs).confidence
    return Carried(freedom, plain.confidence, plain.correct(ALPHA), by_curve)


def likelihoods(found: Carried) -> Doubles:
    """Mean log likelihood of what turned out, with each of CURVES."""
    assert found.by_curve is not None
    sure = np.clip(found.by_curve, 1 - SUREST, SUREST)
    return np.where(found.right[:, None], np.log(sure), np.log(1 - sure)).mean(0)


def error(confidence: Doubles, right: Flags) -> float:
    return calibration(confidence, right, BINS).error


def tells_apart(found: Carried) -> str:
    """The area under the curve of true against false positives, if anything went wrong at all."""
    if found.right.all():
        return ""
    return f"{roc_auc_score(found.right, found.confidence):.2f}"


def rows(found: dict[str, Carried]) -> list[str]:
    lines = [
        "| set | freedom | points | right | mean confidence | tells apart | error "
        "| curve of the others | error held out | one number of the others |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    score = {name: likelihoods(one) for name, one in found.items() if one.by_curve is not None}
    before, after, constant = [], [], []
    for name, one in found.items():
        curve, held, flat = "–", "", ""
        others = [other for other in score if other not in kin(name)]
        if one.by_curve is not None and others:
            best = int(np.mean([score[other] for other in others], 0).argmax())
            curve = "{:.2f}, {}".format(*CURVES[best])
            after.append(error(one.by_curve[:, best], one.right))
            before.append(error(one.confidence, one.right))
            held = f"{after[-1]:.3f}"
            constant.append(abs(np.mean([found[other].right.mean() for other in others]) - one.right.mean()))
            flat = f"{constant[-1]:.3f}"
        lines.append(
            f"| {name} | {one.freedom} | {len(one.right):,} | {one.right.mean():.1%} | "
            f"{one.confidence.mean():.3f} | {tells_apart(one)} | {error(one.confidence, one.right):.3f} | "
            f"{curve} | {held} | {flat} |"
        )
    if after:
        every = [error(one.confidence, one.right) for one in found.values()]
        best = int(np.mean(list(score.values()), 0).argmax())
        chosen, usual = "{:.2f} and {}".format(*CURVES[best]), ConfidenceConfig()
        lines += [
            "",
            f"Mean error of all {len(every)} sets {np.mean(every):.3f}; of the {len(after)} with a curve "
            f"{np.mean(before):.3f} with the product's ({usual.ceiling:g} and {usual.steepness:g}), "
            f"{np.mean(after):.3f} held out, {np.mean(constant):.3f} with one number. Chosen on all of them "
            f"together it would be {chosen}.",
        ]
    return lines


def reliability(title: str, found: Sequence[Carried]) -> list[str]:
    """The table of a reliability diagram: the points of some sets, and the mean of the sets that have any."""
    every = calibration(
        np.concatenate([one.confidence for one in found]), np.concatenate([one.right for one in found]), BINS
    )
    each = [calibration(one.confidence, one.right, BINS) for one in found]
    lines = [
        f"### {title}: {len(found)} sets, error of all points together {every.error:.3f}",
        "",
        "| confidence | points | mean confidence | right | sets | least right | most right |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number in range(BINS):
        shares = [table.correct[number] for table in each if table.count[number] >= 20]
        spread = f"{len(shares)} | {min(shares):.2f} | {max(shares):.2f}" if shares else "0 | | "
        share = " | "
        if every.count[number]:
            share = f"{every.confidence[number]:.2f} | {every.correct[number]:.2f}"
        edges = f"{every.edges[number]:.1f}–{every.edges[number + 1]:.1f}"
        lines.append(f"| {edges} | {every.count[number]:,} | {share} | {spread} |")
    return [*lines, ""]


def main() -> None:
    asked = options(__doc__, RESULTS)
    found = {}
    points = in_processes(functools.partial(points_of, asked.cache), asked.sets)
    for name, one in zip(asked.sets, points, strict=True):
        found[name] = one
        print(f"{name} {error(found[name].confidence, found[name].right):.3f}", flush=True)
    text = report(found)
    print(text)
    if asked.record:
        RESULTS.write_text(text)
        groups = grouped(found).items()
        draw({title: [(one.confidence, one.right) for one in some] for title, some in groups}, BINS, PLOT)


def grouped(found: dict[str, Carried]) -> dict[str, list[Carried]]:
    """The sets by what they are, without empty groups."""
    groups = {
        "Photographs, smooth maps": [
            one for name, one in found.items() if name in SETS and one.freedom != GUIDED
        ],
        "Photographs, guided": [one for name, one in found.items() if name in SETS and one.freedom == GUIDED],
        "Rendered": [one for name, one in found.items() if name not in SETS],
    }
    return {title: members for title, members in groups.items() if members}


def report(found: dict[str, Carried]) -> str:
    lines = [
        *heading("Calibration of the confidence of carried points", "calibration.py"),
        f"Right: within α = {ALPHA:g} of the unit of the set's protocol (for the wings, too: a tenth of the "
        f"image's side). Error: expected calibration error, {BINS} bins. Held out: the curve's ceiling and "
        "steepness are chosen by likelihood on the smooth sets of all other kinds (birds count as one kind, "
        "cars as one). One number: every point of the set gets the share of right points in those sets, no "
        "curve at all. Maps that are matched cell by cell (guided) use no curve. Tells apart: how often a "
        "right point has more confidence than a wrong one (0.5 is chance).",
        "",
        *rows(found),
        "",
        "## Reliability",
        "",
        "![Share of right points by confidence](../../docs/pictures/calibration.png)",
        "",
        "A thin line a set; all points together in red. Least and most right: over the sets with 20 points "
        "in the bin at least.",
        "",
    ]
    for title, members in grouped(found).items():
        lines += reliability(title, members)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
