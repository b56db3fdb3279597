"""The pictures of docs/method.md from the flow to new images (see `method_figures`)."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from method_drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    bare,
    faded,
    figure,
    net,
    painted,
    small,
    table,
)
from method_steps import (
    CONFIG,
    CPU,
    ROOT,
    SEED,
    Steps,
    blank,
    directions,
    given,
    placed_pictures,
    steps,
    without,
)

from congeal.alignment.maps.confidence import probability
from congeal.alignment.maps.error_estimation import (
    agreement,
    error_of_matching,
    match_cycles,
    share_explained,
)
from congeal.alignment.maps.flow_registration import cells_by, leave_one_out
from congeal.alignment.maps.guided_matching import Expected, guided, regularised, warped
from congeal.alignment.maps.point_evidence import USUAL_TERMS, usual_level
from congeal.alignment.solver import align, fit
from congeal.geometry.complex_math import length
from congeal.geometry.warps import grid
from congeal.imaging.visualization import average_image
from congeal.imaging.visualization import warped as in_place

_ALIGNED: dict[str, Any] = {}


@figure
def flow() -> Any:
    set_ = steps("butterfly")
    _, warps = set_.posed
    faced, rigid_maps, before = placed_pictures(set_, warps)
    _, bent_maps, after = placed_pictures(set_, set_.bent)
    shown = faded(small(faced[:5], 160))
    drawn, axes = table([("poses", [*shown, before]), ("flow", [*shown, after])])
    for line, maps, colour in ((axes[0], rigid_maps, BLUE), (axes[1], bent_maps, BLUE)):
        for axis, places in zip(line[:5], maps[:5], strict=True):
            net(axis, places, 160, colour, every=8)
    axes[0, -1].set_title("average", fontsize=8.5, pad=2)
    drawn.subplots_adjust(top=0.93)
    return drawn


@figure
def deformation_selection() -> Any:
    set_ = steps("butterfly")
    faced, warps = set_.posed
    cycles, asked = match_cycles(faced, [SEED], CONFIG.errors), CONFIG.errors
    if cycles is None:
        raise RuntimeError("the set has no triples")
    drawn = plt.figure(figsize=(9, 2.35))
    side, gap = 160, 24
    triple = cycles.images[0].tolist()
    axis = drawn.add_axes((0.0, 0.0, 0.66, 0.9))
    bare(axis)
    shown = small(set_.faced_squares(side)[triple], side)
    paper = ((0, 0), (0, gap), (0, 0))
    axis.imshow(np.concatenate([np.pad(one, paper, constant_values=255) for one in shown], 1))
    size = float(warps.a[triple[0]].abs())
    start, met, home = (part[0].numpy() for part in (cycles.start, cycles.met, cycles.end))
    last = followed(faced, triple[1], met, triple[2])
    off = np.linalg.norm(home - start, axis=-1) / size
    for at in np.flatnonzero(cycles.weight[0].numpy() > 0)[::16]:
        points = [(xy + 1) * side / 2 for xy in (start[at], met[at], last[at])]
        xs = [point[0] + number * (side + gap) for number, point in enumerate(points)]
        colour = GREEN if off[at] < asked.error_distance else ORANGE
        axis.plot(xs, [point[1] for point in points], color=colour, lw=0.8, marker=".", ms=3)
        arrow = {"arrowstyle": "->", "color": colour, "lw": 1.0}
        axis.annotate("", (home[at] + 1) * side / 2, points[0], arrowprops=arrow)
    title = "tokens followed to two other images; arrows: where they come home"
    title += f" (green: within {asked.error_distance})"
    axis.set_title(title, fontsize=8)
    right = drawn.add_axes((0.73, 0.2, 0.26, 0.74))
    matching = error_of_matching(warps, cycles, asked)
    poses = agreement(warps, cycles, asked)
    values = [
        ("explained,\nposes", float(poses.explained), GREY),
        ("explained,\nflow", float(share_explained(set_.bent, cycles, asked)), GREEN),
        ("error,\nmatching", float(matching), ORANGE),
        ("error,\nposes", float(poses.error(matching)), ORANGE),
    ]
    names, heights, tints = zip(*values, strict=True)
    right.bar(names, heights, color=tints, width=0.65)
    for number, value in enumerate(heights):
        right.text(number, value + 0.02, f"{value:.2f}", ha="center", fontsize=8)
    right.set_ylim(0, 1)
    right.tick_params(labelsize=7.5)
    right.spines[["top", "right"]].set_visible(False)
    return drawn


def followed(images: Any, source: int, places: np.ndarray, target: int) -> np.ndarray:
    """Nearest neighbours in one image of the tokens at places [k, 2] of another, as places [k, 2]."""
    cells = grid(images.saliency.shape[1], images.extent, CPU).view(-1, 2)
    tokens = torch.cdist(torch.as_tensor(places), cells).argmin(1)
    features = images.features.flatten(1, 2)
    likeness = features[source][tokens] @ features[target].T
    likeness = likeness.masked_fill(images.valid[target].flatten() <= 0, -2.0)
    return cells[likeness.argmax(1)].numpy()


@figure
def guided_matching() -> Any:
    set_, chosen = steps("dog"), [0, 1, 3]
    faced, _ = set_.posed
    template = leave_one_out(faced, cells_by(set_.bent))(slice(None))
    smooth = warped(set_.bent, set_.bent.resolution, set_.bent.resolution)
    expected = Expected.by(set_.bent, faced)
    found = guided(template, faced, expected, length(set_.bent.a), CONFIG)
    agreed = regularised(found, template, faced, set_.bent, expected, CONFIG.guided)
    pictures = faded(small(set_.faced_squares(200)[chosen], 200))
    drawn, axes = table([("flow", pictures), ("cell by cell", pictures), ("averaged", pictures)], width=1.55)
    for line, maps in zip(axes, (smooth, found, agreed), strict=True):
        for axis, places in zip(line, maps.forward[chosen].numpy(), strict=True):
            net(axis, places, 200, BLUE, every=2)
    return drawn


@figure
def confidence() -> Any:
    result = aligned("mug")
    set_ = steps("mug")
    pictures = small(set_.squares[:5], 160)
    places = [
        painted(image, result.backward[i], result.backward_confidence[i]) for i, image in enumerate(pictures)
    ]
    drawn = plt.figure(figsize=(9, 3.4))
    left = drawn.add_gridspec(3, 5, left=0.09, right=0.7, top=0.98, bottom=0.03, wspace=0.04, hspace=0.04)
    rows = (
        ("images", pictures),
        ("atlas place", places),
        ("confidence", list(result.backward_confidence[:5])),
    )
    for row, (label, cells) in enumerate(rows):
        for column, cell in enumerate(cells):
            axis = drawn.add_subplot(left[row, column])
            bare(axis)
            axis.imshow(cell, vmin=0, vmax=1, cmap="viridis")
            if not column:
                axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8.5)
    right = drawn.add_axes((0.77, 0.17, 0.22, 0.74))
    near = np.linspace(0.01, 0.99, 99)
    terms = torch.tensor(USUAL_TERMS).repeat(len(near), 1)
    terms[:, 1] = torch.logit(torch.tensor(near))
    asked = CONFIG.confidence
    smooth = usual_level(asked)
    by_cell = usual_level(asked, by_cell=True)
    for level, colour, label in ((smooth, GREEN, "rigid, flow"), (by_cell, ORANGE, "guided")):
        curve = probability(torch.ones(len(near)), terms, torch.tensor(level), asked)
        right.plot(near, curve, color=colour, label=label)
    right.set_xlabel("near share of the match", fontsize=8.5)
    right.set_ylabel("confidence", fontsize=8.5)
    right.legend(fontsize=8, frameon=False)
    right.tick_params(labelsize=8)
    right.spines[["top", "right"]].set_visible(False)
    return drawn


def aligned(kind: str) -> Any:
    """The answer of `congeal.align`, once."""
    if kind not in _ALIGNED:
        _ALIGNED[kind] = align(**given(steps(kind).arrays), position=directions(), blank=blank())
    return _ALIGNED[kind]


@figure
def new_images() -> Any:
    known, new = steps("mug"), len(steps("mug").paths) - 1
    result = align(**given(without(known.arrays, new)), position=directions(), blank=blank())
    others = [ROOT / "samples" / "other" / "images" / f"other-0{number}.jpg" for number in (1, 3)]
    late = Steps([known.paths[new], *others])
    found = fit(result.atlas, **given(late.arrays))
    average = average_image(known.squares[:new], result.forward, 1.0 - result.outlier, 160)
    rows = []
    for number, image in enumerate(late.squares):
        fits = found.outlier_reason[number] is None
        moved = in_place(image, found.forward[number], 160)
        sure = found.forward_confidence[number] if fits else None
        label = f"new image {number + 1}:\n{'fits' if fits else 'outlier'}"
        rows.append((label, [*small(image[None]), moved, average if fits else None, sure]))
    drawn, axes = table(rows, vmin=0, vmax=1, cmap="viridis")
    titles = ("as it is", "in the atlas' place", "average of the 11", "confidence")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8, pad=2)
    drawn.subplots_adjust(top=0.95)
    return drawn
