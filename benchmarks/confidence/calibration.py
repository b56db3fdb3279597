"""How far the confidence of carried points can be believed, and what the model behind it is worth held out.

    python benchmarks/confidence/calibration.py [SET …] [--cache FOLDER] [--record]

Each set is aligned and carried as a run does it, with a second look where that is kept. The expected
calibration error is taken over ten bins of confidence, for "right" meaning an error of at most α = 0.1 of the
unit of the set's protocol. Held out: the numbers of the model (`confidence_model`) are fitted to the sets of
all *other* kinds. With --record, results go to benchmarks/results/calibration.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.accuracy.second_look import arrays, windowed
from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import heading
from benchmarks.common.recording import options
from benchmarks.common.set_features import (
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
from benchmarks.confidence.confidence_model import Carried, fitted, probability, product_numbers
from benchmarks.confidence.reliability_diagram import draw, draw_risk
from congeal.alignment import atlas_fitting, solver
from congeal.alignment.config import SolverConfig
from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.inputs.windows import to_whole_frames
from congeal.alignment.maps.point_evidence import PointEvidence, point_evidence
from congeal.alignment.model import GUIDED, picked
from congeal.alignment.selection.second_look import better, compare, find_windows, seen
from congeal.evaluation.calibration import calibration
from congeal.evaluation.pck import carry
from congeal.geometry.arrays import Doubles, Flags
from congeal.transfer.points import interpolate, to_atlas

RESULTS = ROOT / "benchmarks" / "results" / "calibration.md"
PLOT = ROOT / "docs" / "pictures" / "calibration.png"
RISK = ROOT / "docs" / "pictures" / "risk-coverage.png"
ALPHA = 0.1
BINS = 10
CONFIG = SolverConfig()


@contextmanager
def recorded(found: list[tuple[PointEvidence, Any]]) -> Iterator[None]:
    """While this lasts, evidence that is gathered is added to found, with the images."""

    def noting(template_for: Any, images: Any, *rest: Any) -> Any:
        evidence = point_evidence(template_for, images, *rest)
        found.append((evidence, images))
        return evidence

    with (
        patch.object(solver, "point_evidence", noting),
        patch.object(atlas_fitting, "point_evidence", noting),
    ):
        yield


def against_usual(found: Sequence[tuple[PointEvidence, Any]]) -> Doubles:
    """Terms [n, 32, 32, 3] of all images against what is usual among those that made the atlas."""
    from congeal.geometry.segments import Membership

    first, images = found[0]
    usual = first.usual(Membership.of([len(images.weight)], images.weight.device), images.weight)
    return np.concatenate([(one.terms - usual[0]).numpy() for one, _ in found]).astype(np.float64)


def looked_at(extractor: Extractor, featured: FeaturedSet) -> tuple[Any, Doubles]:
    """The alignment that a run publishes, and the terms of its places."""
    calls: list[tuple[PointEvidence, Any]] = []
    given = featured.given
    with recorded(calls):
        first = solve(given)
        terms = against_usual(calls)
        one = seen(arrays(given), first, given.extent, CONFIG)
        windows = find_windows(one, CONFIG.second_look)
        if windows is None:
            return first, terms
        calls.clear()
        crops = windowed(extractor, featured, windows)
        again = solve(crops)
    two = seen(arrays(crops), again, crops.extent, CONFIG, windows=windows)
    whole = to_whole_frames(picked(again, range(len(given))), windows)
    kept = better(compare(one, two, whole, 0, CONFIG), whole, CONFIG.second_look)
    return (whole, against_usual(calls)) if kept else (first, terms)


def points_of(cache: Path | None, name: str) -> Carried:
    extractor = Extractor(cache)
    featured = extractor.named(name)
    alignment, terms = looked_at(extractor, featured)
    outcome = carried(featured, alignment)
    maps, asked = maps_of(alignment, featured.images), CONFIG.confidence
    sides: list[tuple[Doubles, Doubles]] = []

    def way(source: int, target: int, points: Doubles) -> tuple[Doubles, Doubles]:
        at, sure = to_atlas(on_frame(points, maps[source].frame), maps[source])
        inside = np.clip(at, -1, 1)
        sides.append((interpolate(terms[source], inside), interpolate(terms[target], inside)))
        return interpolate(maps[target].forward, at), sure

    carry(featured.images, way, featured.pairs)
    source, target = (np.concatenate(side) for side in zip(*sides, strict=True))
    atlas = alignment.atlas
    builders = min(len(featured), extractor.settings.atlases.atlas_size)
    agreement = 0.0
    if atlas.match_agreement is not None:
        more = atlas.match_agreement - asked.usual_agreement
        agreement = more * builders / (builders + asked.agreement_images)
    plain = Carried(
        atlas.deformation,
        outcome.confidence,
        outcome.correct(ALPHA),
        outcome.correct(featured.alpha),
        source,
        target,
        np.ones(len(source)),
        agreement,
        atlas.deformation == GUIDED,
    )
    # What the object's not showing, folds and ways back take away is no part of the model.
    whole = probability(product_numbers(asked), plain)
    shows = np.clip(outcome.confidence / np.maximum(whole, 1e-9), 0, 1)
    values = {field: getattr(plain, field) for field in plain.__dataclass_fields__}
    return Carried(**values | {"shows": shows})


def error(confidence: Doubles, right: Flags) -> float:
    return calibration(confidence, right, BINS).error


def ranks(one: Carried, confidence: Doubles) -> float:
    """The area under the curve of true against false positives, NaN if nothing went wrong."""
    return float(roc_auc_score(one.close, confidence)) if 0 < one.close.mean() < 1 else float("nan")


def rows(found: dict[str, Carried]) -> list[str]:
    lines = [
        "| set | freedom | points | right | mean confidence | ranks | error | ranks held out "
        "| error held out |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    every: list[tuple[float, ...]] = []
    for name, one in found.items():
        others = [other for other_name, other in found.items() if other_name not in kin(name)]
        held = probability(fitted(others), one) if others else np.full(len(one.right), np.nan)
        figures = ranks(one, one.confidence), error(one.confidence, one.right)
        left_out = (ranks(one, held), error(held, one.right)) if others else (float("nan"),) * 2
        every.append((*figures, *left_out))
        told = [f"{value:.2f}" if np.isfinite(value) else "" for value in (figures[0], left_out[0])]
        lines.append(
            f"| {name} | {one.freedom} | {len(one.right):,} | {one.right.mean():.1%} | "
            f"{one.confidence.mean():.3f} | {told[0]} | {figures[1]:.3f} | {told[1]} | {left_out[1]:.3f} |"
        )
    table = np.array(every)
    mean, least = np.nanmean(table, 0), np.nanmin(table, 0)
    numbers = ", ".join(f"{value:.3f}" for value in fitted(list(found.values())))
    usual = ", ".join(f"{value:g}" for value in product_numbers(ConfidenceConfig()))
    return [
        *lines,
        "",
        f"Mean: ranks {mean[0]:.3f} (least {least[0]:.2f}), error {mean[1]:.3f}; held out {mean[2]:.3f} "
        f"(least {least[2]:.2f}), {mean[3]:.3f}. Numbers of the model (weights of spread, near and support; "
        f"level of smooth maps and of matched cells; weight of agreement): the product's {usual}; fitted to "
        f"all of these sets {numbers}.",
    ]


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
        draw_risk({name: (one.confidence, one.close) for name, one in found.items()}, RISK)


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
        *heading("Calibration of the confidence of carried points", "confidence/calibration.py"),
        f"Right: within α = {ALPHA:g} of the unit of the set's protocol (for the wings, too: a tenth of the "
        "image's side). Ranks: how often a point within the protocol's α (wings: 0.02) has more confidence "
        f"than one that is not (0.5 is chance). Error: expected calibration error, {BINS} bins. Held out: "
        "the numbers of the model are fitted to the sets of all other kinds (birds count as one kind, cars, "
        "dogs and bottles likewise).",
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
        "![Share of wrong points among the surest](../../docs/pictures/risk-coverage.png)",
        "",
        "Risk by coverage: how many of the surest points of a set are wrong.",
        "",
    ]
    for title, members in grouped(found).items():
        lines += reliability(title, members)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
