"""What `congeal evaluate` reports: plain facts, fit for JSON, and the tables a person sees."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from congeal.evaluation.calibration import calibration
from congeal.evaluation.pck import Outcomes, joined
from congeal_floors.plurals import counted
from flows.evaluation.measurement import Asked, Measured, Method

NAMES = {"identity": "identity", "nearest_neighbour": "nearest neighbour", "congeal": "congeal"}
WORST = 5  # keypoints and images that are shown


def facts_of(
    asked: Asked, runs: Sequence[Measured], beside: Mapping[str, Method], left_out: Mapping[str, str]
) -> dict[str, Any]:
    """The facts of an evaluation; docs/evaluation.md explains each."""
    first = runs[0]
    about = first.collection.publication
    facts: dict[str, Any] = {
        "name": asked.annotated.name,
        "form": asked.annotated.form,
        "protocol": asdict(asked.protocol),
        "alphas": list(asked.alphas),
        "images": len(first.used),
        "left_out": dict(left_out),
        "seeds": [run.seed for run in runs],
        "backbone": about.backbone,
        "weights_fingerprint": about.weights_fingerprint,
        "code_version": about.code_version,
        "atlas_seconds": [float(run.collection.clusters["seconds"].sum()) for run in runs],
        "pairs": None,
        "points": None,
        "methods": {},
        "keypoints": [],
        "per_image": [],
        "calibration": None,
        "saliency_iou": _iou(runs),
    }
    methods = [run.method for run in runs if run.method is not None]
    if not methods:
        return facts
    pooled = joined([method.outcomes for method in methods])
    alpha = asked.alphas[0]
    matched = beside["nearest_neighbour"].outcomes
    return facts | {
        "pairs": len(first.pairs),
        "points": len(methods[0].outcomes),
        "methods": {name: _method([method], asked.alphas) for name, method in beside.items()}
        | {"congeal": _method(methods, asked.alphas)},
        "keypoints": _side_by_side(
            asked.annotated.keypoints, pooled.by_keypoint(alpha), matched.by_keypoint(alpha)
        ),
        "per_image": _side_by_side(
            [view.image.name for view in first.used], pooled.by_image(alpha), matched.by_image(alpha)
        ),
        "calibration": _calibration(pooled, alpha),
    }


def _method(runs: Sequence[Method], alphas: Sequence[float]) -> dict[str, Any]:
    """Medians over the runs, and the runs themselves."""
    by_run = {f"{alpha:g}": [run.outcomes.pck(alpha) for run in runs] for alpha in alphas}
    of_pairs = {f"{alpha:g}": [run.outcomes.pck_of_pairs(alpha) for run in runs] for alpha in alphas}
    cycles = {str(length): _cycle(runs, length, alphas) for length in runs[0].cycles}
    return {
        "pck": {alpha: statistics.median(values) for alpha, values in by_run.items()},
        "pck_by_seed": by_run,
        "pck_per_pair": {alpha: statistics.median(values) for alpha, values in of_pairs.items()},
        "cycle_pck": cycles,
    }


def _cycle(runs: Sequence[Method], length: int, alphas: Sequence[float]) -> dict[str, float] | None:
    known = [shares for run in runs if (shares := run.cycles[length]) is not None]
    if not known:
        return None
    return {f"{alpha:g}": statistics.median(each) for alpha, *each in zip(alphas, *known, strict=True)}


def _side_by_side(
    names: Sequence[str], ours: Sequence[tuple[int, int, float]], matched: Sequence[tuple[int, int, float]]
) -> list[dict[str, Any]]:
    other = {position: share for position, _, share in matched}
    return [
        {
            "name": names[position],
            "points": points,
            "congeal": share,
            "nearest_neighbour": other.get(position),
        }
        for position, points, share in ours
    ]


def _calibration(outcomes: Outcomes, alpha: float) -> dict[str, Any]:
    found = calibration(np.nan_to_num(outcomes.confidence), outcomes.correct(alpha))
    bins = zip(found.edges, found.edges[1:], found.count, found.confidence, found.correct, strict=False)
    return {
        "expected_calibration_error": found.error,
        "bins": [
            {
                "from": float(low),
                "to": float(high),
                "points": int(count),
                "confidence": float(confidence) if count else None,
                "correct": float(correct) if count else None,
            }
            for low, high, count, confidence, correct in bins
        ],
    }


def _iou(runs: Sequence[Measured]) -> dict[str, Any] | None:
    if not runs[0].iou:
        return None
    images = {name: float(np.mean([run.iou[name] for run in runs])) for name in runs[0].iou}
    return {"mean": statistics.mean(images.values()), "images": images}


def show(facts: dict[str, Any], console: Console) -> None:
    """The tables of an evaluation."""
    protocol, alphas = facts["protocol"], [f"{alpha:g}" for alpha in facts["alphas"]]
    points = f", {counted(facts['points'], 'point')} in {facts['pairs']:,} pairs" if facts["methods"] else ""
    about = f"protocol {protocol['name']}, {facts['backbone']}"
    console.print(
        f"{facts['name']}: {counted(facts['images'], 'image')}{points}; {about}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for name, reason in facts["left_out"].items():
        console.print(f"left out: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if facts["methods"]:
        worst = [
            _worst(heading, rows, alphas[0])
            for heading, rows in (("keypoint", facts["keypoints"]), ("image", facts["per_image"]))
        ]
        for table in (_overall(facts["methods"], alphas), *worst, _reliability(facts["calibration"])):
            console.print()
            console.print(table)
        error = facts["calibration"]["expected_calibration_error"]
        console.print(f"expected calibration error {error:.3f}", highlight=False)
    if facts["saliency_iou"] is not None:
        mean, count = facts["saliency_iou"]["mean"], len(facts["saliency_iou"]["images"])
        console.print(f"saliency IoU {mean:.3f} over {counted(count, 'mask')}", highlight=False)


def _overall(methods: Mapping[str, Any], alphas: Sequence[str]) -> Table:
    cycles = list(methods["congeal"]["cycle_pck"])
    headings = [f"PCK@{alpha}" for alpha in alphas] + [f"a pair, @{alphas[0]}"]
    headings += [f"{length}-cycle, @{alphas[0]}" for length in cycles]
    seeds = methods["congeal"]["pck_by_seed"][alphas[0]]
    table = Table(
        "method", *map(_right, headings), *(["by seed"] if len(seeds) > 1 else []), box=None, pad_edge=False
    )
    for name, shares in methods.items():
        row = [_percent(shares["pck"][alpha]) for alpha in alphas]
        row.append(_percent(shares["pck_per_pair"][alphas[0]]))
        row += [_percent((shares["cycle_pck"][length] or {}).get(alphas[0])) for length in cycles]
        if len(seeds) > 1:
            row.append(" ".join(map(_percent, shares["pck_by_seed"][alphas[0]])) if name == "congeal" else "")
        table.add_row(NAMES[name], *row, style="bold" if name == "congeal" else None)
    return table


def _worst(heading: str, rows: Sequence[dict[str, Any]], alpha: str) -> Table:
    table = Table(
        f"worst {heading}s",
        *map(_right, ("points", f"PCK@{alpha}", "nearest neighbour")),
        box=None,
        pad_edge=False,
    )
    for row in sorted(rows, key=lambda row: row["congeal"])[:WORST]:
        shares = _percent(row["congeal"]), _percent(row["nearest_neighbour"])
        table.add_row(row["name"], f"{row['points']:,}", *shares)
    return table


def _reliability(found: dict[str, Any]) -> Table:
    table = Table(
        "confidence",
        *map(_right, ("points", "mean", "correct")),
        box=None,
        pad_edge=False,
    )
    for row in found["bins"]:
        values = ("–" if row[key] is None else f"{row[key]:.2f}" for key in ("confidence", "correct"))
        table.add_row(f"{row['from']:.1f}–{row['to']:.1f}", f"{row['points']:,}", *values)
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _right(heading: str) -> Column:
    return Column(heading, justify="right")
