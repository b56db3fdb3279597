"""Draws what training_curve.py has recorded: PCK against seconds of the processor.

    python benchmarks/neural/training_curve_figure.py

From benchmarks/results/training_curve.md to docs/pictures/training-curve.png.
"""

from __future__ import annotations

from collections import defaultdict

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from benchmarks.common.annotated_sets import ROOT

RECORDED = ROOT / "benchmarks" / "results" / "training_curve.md"
PICTURE = ROOT / "docs" / "pictures" / "training-curve.png"
LINES = {
    "direct": ("direct solver", "#222222", "o"),
    "fast start, small network": ("fast start, small network", "#1b7f5c", "."),
    "random start, published network": ("random start, published networks", "#b0492b", "."),
}


def recorded() -> dict[str, list[tuple[float, float]]]:
    """Seconds and PCK of every start."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in RECORDED.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in LINES:
            found[cells[0]].append((float(cells[3].replace(",", "")), float(cells[4])))
    return found


def draw(curves: dict[str, list[tuple[float, float]]]) -> None:
    """A line a start."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panel = figure.subplots()
    for name, (label, colour, marker) in LINES.items():
        seconds, reached = zip(*curves[name], strict=True)
        panel.plot(seconds, reached, marker=marker, color=colour, label=label, linewidth=1.3)
    panel.set_xscale("log")
    panel.set_xlabel("seconds of one core")
    panel.set_ylabel("PCK, % at 0.1")
    panel.grid(alpha=0.25, which="both")
    panel.legend(frameon=False, loc="lower left")
    figure.savefig(PICTURE, dpi=130)


if __name__ == "__main__":
    draw(recorded())
