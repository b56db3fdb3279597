"""A reliability diagram: how often points are right, by the confidence that they were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

Points = tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]
"""Confidence and whether it is right, of the points of one set."""

FEWEST = 20  # points in a bin that a set needs to be drawn there


def _binned(points: Sequence[Points], bins: int) -> tuple[list[float], list[float], list[int]]:
    """Mean confidence, share of right points and number of points of every bin that has enough."""
    confidence = np.concatenate([one[0] for one in points])
    right = np.concatenate([one[1] for one in points])
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    chosen = [place == number for number in range(bins) if (place == number).sum() >= FEWEST]
    return (
        [float(confidence[some].mean()) for some in chosen],
        [float(right[some].mean()) for some in chosen],
        [int(some.sum()) for some in chosen],
    )


def draw(groups: Mapping[str, Sequence[Points]], bins: int, path: Path) -> None:
    """A panel a group: a thin line a set, and all points together, areas by their number."""
    figure = Figure(figsize=(4.2 * len(groups), 4.2), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for panel, (title, sets) in zip(panels, groups.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        for one in sets:
            confidence, right, _ = _binned([one], bins)
            panel.plot(confidence, right, color="tab:blue", alpha=0.35, linewidth=1, marker=".")
        confidence, right, count = _binned(sets, bins)
        area = 12 + 260 * np.array(count) / max(count, default=1)
        panel.plot(confidence, right, color="tab:red", linewidth=1.5)
        panel.scatter(confidence, right, s=area, color="tab:red", alpha=0.6)
        panel.set(title=title, xlabel="confidence", xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    panels[0].set_ylabel("share of points that are right")
    figure.savefig(path, dpi=110)


def draw_risk(sets: Mapping[str, Points], path: Path) -> None:
    """Risk–coverage curves: the share of wrong points among the surest ones of each set."""
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panel = figure.subplots()
    colours = matplotlib.colormaps["tab20"]
    for number, (name, (confidence, right)) in enumerate(sets.items()):
        wrong = ~right[np.argsort(-confidence, kind="stable")]
        share = np.arange(1, len(wrong) + 1) / len(wrong)
        shown = share >= min(FEWEST / len(wrong), 1)
        risk = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
        panel.plot(share[shown], risk[shown], label=name, color=colours(number % 20), linewidth=1.2)
    panel.set(xlabel="share of points, surest first", ylabel="share of them that are wrong", xlim=(0, 1))
    panel.set_ylim(bottom=0)
    figure.legend(loc="outside right center", fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)
