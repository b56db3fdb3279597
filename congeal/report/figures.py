"""A cluster as a figure for a paper, drawn with matplotlib (an extra: `pip install congeal[figures]`)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

COLUMNS = 6
CELL = 1.15  # inches a picture
HEAD = 0.45  # inches above the pictures
POINTS = 8
SALIENT = 0.8  # of the atlas' greatest saliency: where points are chosen
SURE = 0.5  # confidence from which a point is drawn
FORMATS = ("png", "pdf", "svg")
# Okabe and Ito's colours, told apart by colour-blind readers; and shapes, told apart without colour.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Shown:
    """One member.

    Attributes:
        square: uint8 [s, s, 3], its square frame.
        forward: [r, r, 2], for each cell of the atlas its place in that frame, in [-1, 1]².
        confidence: [r, r].
    """

    square: Pixels
    forward: Floats
    confidence: Floats


def landmarks_of(saliency: Floats, count: int = POINTS) -> Doubles:
    """``count`` places [k, 2] of an atlas to follow, by its saliency [r, r]: salient, far from each other.

    Each is the cell farthest from those before it, the first the most salient one.
    """
    side = saliency.shape[0]
    ticks = (2 * np.arange(side) + 1) / side - 1
    u, v = np.meshgrid(ticks, ticks)
    cells = np.stack([u.ravel(), v.ravel()], 1)
    flat = np.nan_to_num(np.asarray(saliency, np.float64)).ravel()
    salient = np.flatnonzero(flat >= SALIENT * flat.max())
    chosen = [int(salient[flat[salient].argmax()])]
    while len(chosen) < min(count, len(salient)):
        apart = np.hypot(*(cells[salient][:, None] - cells[chosen][None]).transpose(2, 0, 1)).min(1)
        chosen.append(int(salient[apart.argmax()]))
    return np.asarray(cells[chosen])


def cluster_figure(
    title: str, before: Pixels | None, after: Pixels | None, places: Doubles, members: Sequence[Shown]
) -> Figure:
    """Averages before and after, then the members: as they are with points [k, 2] of the atlas, and aligned.

    before, after: uint8 [s, s, 3], or None. Raises CongealError where matplotlib is not installed.
    """
    from congeal.imaging.visualization import warped
    from congeal.transfer.points import interpolate

    make, context = _matplotlib()
    columns = min(COLUMNS, max(len(members), 2))
    rows = -(-len(members) // columns)
    with context:
        height = (2 * rows + 1) * CELL + HEAD
        figure: Figure = make(figsize=(columns * CELL, height))
        grid = figure.add_gridspec(
            2 * rows + 1, columns, left=0.01, right=0.99, bottom=0.01, top=1 - HEAD / height,
            wspace=0.05, hspace=0.05,
        )  # fmt: skip
        for number, (name, picture) in enumerate((("before", before), ("after", after))):
            axes = figure.add_subplot(grid[0, number])
            _show(axes, picture, f"average {name}")
            if name == "after" and picture is not None:
                _mark(axes, places, np.ones(len(places)), picture.shape[0])
        for number, member in enumerate(members):
            row, column = divmod(number, columns)
            axes = figure.add_subplot(grid[1 + 2 * row, column])
            _show(axes, member.square)
            at, sure = interpolate(member.forward, places), interpolate(member.confidence, places)
            _mark(axes, at, sure, member.square.shape[0])
            axes = figure.add_subplot(grid[2 + 2 * row, column])
            _show(axes, warped(member.square, member.forward))
        heading = figure.suptitle(title, fontsize=9, y=1 - 0.06 / height)
        heading.set_parse_math(False)  # a name is no formula
    return figure


def encoded(figure: Figure, form: str) -> bytes:
    """A figure as a file, one of FORMATS; the same figure gives the same bytes."""
    if form not in FORMATS:
        raise CongealError(f"a figure is png, pdf or svg, not {form!r}")
    _, context = _matplotlib()
    # Without the time, which would make other bytes of the same figure.
    dated: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    with context:
        figure.savefig(buffer, format=form, dpi=200, metadata=dated[form])
    return buffer.getvalue()


def _matplotlib() -> tuple[Any, Any]:
    """What makes a figure, without a window, and the settings that it is drawn with."""
    try:
        import matplotlib
        from matplotlib.figure import Figure as Made
    except ImportError as error:
        raise CongealError("figures need matplotlib: pip install 'congeal[figures]'") from error
    return Made, matplotlib.rc_context(
        {"svg.hashsalt": "congeal", "svg.fonttype": "none", "pdf.fonttype": 42}
    )


def _show(axes: Axes, picture: Pixels | None, caption: str = "") -> None:
    axes.set_axis_off()
    if picture is not None:
        axes.imshow(picture, interpolation="lanczos")
    if caption:
        axes.set_title(caption, fontsize=7, pad=2)


def _mark(axes: Axes, places: Floats, sure: Floats, side: int) -> None:
    """Points of the frame [-1, 1]², each in its colour and shape, where they are sure and in the picture."""
    xy = (np.asarray(places, np.float64) + 1) * side / 2 - 0.5
    for number, ((x, y), confidence) in enumerate(zip(xy, np.asarray(sure), strict=True)):
        if confidence < SURE or not (0 <= x < side and 0 <= y < side):
            continue
        colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
        axes.plot(x, y, shape, color=colour, markersize=3.6, markeredgecolor="white", markeredgewidth=0.5)
