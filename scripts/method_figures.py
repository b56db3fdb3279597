"""The pictures of docs/method.md, one a step, from the samples and the backbone in the package.

    python scripts/method_figures.py [NAME …]

Writes docs/pictures/method/NAME.png. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from method_drawing import (
    BLUE,
    FIGURES,
    GREEN,
    GREY,
    ORANGE,
    OUT,
    SIZE,
    bare,
    colours,
    faded,
    figure,
    net,
    painted,
    pair,
    save,
    small,
    table,
)
from method_steps import (
    BESIDE,
    CONFIG,
    CPU,
    ROOT,
    SEED,
    Steps,
    arrays,
    backbone,
    blank,
    directions,
    seen,
    turned_by,
    without,
)

from congeal.alignment.inputs.cosaliency import scaled_attention
from congeal.alignment.inputs.rotated_views import TURNS, Turned, turned_pixels
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
from congeal.alignment.poses.common_object import agreeing_mass
from congeal.alignment.poses.common_object import common_region as region_of
from congeal.alignment.poses.orientation_search import find_turns
from congeal.alignment.poses.pairwise_matching import mutual_matches
from congeal.alignment.poses.pose_estimation import square_matrix
from congeal.alignment.poses.pose_synchronization import _contrasts
from congeal.alignment.selection.feature_selection import select_features
from congeal.alignment.solver import align, fit
from congeal.geometry.complex_math import length
from congeal.geometry.warps import grid, to_oriented
from congeal.imaging.visualization import average_image
from congeal.imaging.visualization import warped as in_place

_KEPT: dict[tuple[str, ...], Steps] = {}


def steps(kind: str, *more: str) -> Steps:
    """The steps on a kind, once."""
    if (kind, *more) not in _KEPT:
        _KEPT[kind, *more] = Steps.of_kind(kind, *more)
    return _KEPT[kind, *more]


@figure
def features() -> Any:
    mugs = steps("mug")
    raw = torch.nn.functional.normalize(torch.as_tensor(mugs.arrays.features), dim=-1)
    of_place = raw @ torch.as_tensor(directions()).T
    drawn, _ = table(
        [
            ("images", small(mugs.squares[:6])),
            ("features", list(colours(raw, 6))),
            ("position\ndirections", list(colours(of_place, 6))),
            ("compared", list(colours(mugs.prepared.features, 6))),
        ]
    )
    return drawn


@figure
def feature_selection() -> Any:
    mugs = steps("mug")
    many = arrays(mugs.squares, mugs.valid, BESIDE)
    parts = {str(tap): size for tap, size in backbone(BESIDE).taps.items()}
    position = torch.as_tensor(directions(BESIDE))
    choice = select_features(many, parts, position, many.extent, SEED, CPU, CONFIG)
    names = [" + ".join(mixture) for mixture in choice.weighed]
    shares = list(choice.weighed.values())
    drawn, axis = plt.subplots(figsize=(6, 0.42 * len(names) + 0.7))
    taken = list(choice.weighed).index(choice.mixture)
    tints = [GREEN if number == taken else GREY for number in range(len(names))]
    axis.barh(names[::-1], shares[::-1], color=tints[::-1], height=0.6)
    for number, share in enumerate(shares[::-1]):
        axis.text(share + 0.005, number, f"{share:.3f}", va="center", fontsize=8)
    axis.set_xlabel("share of free matches that the maps explain (green: chosen)", fontsize=8.5)
    axis.set_xlim(0, 1)
    axis.tick_params(labelsize=8.5)
    axis.spines[["top", "right"]].set_visible(False)
    drawn.tight_layout()
    return drawn


@figure
def co_saliency() -> Any:
    mugs = steps("mug")
    attention = torch.as_tensor(mugs.arrays.saliency)
    start = scaled_attention(attention.clamp_min(0), torch.as_tensor(mugs.valid), CONFIG.cosaliency)
    drawn, _ = table(
        [
            ("images", small(mugs.squares[:6])),
            ("attention", list(start[:6].numpy())),
            ("saliency", list(mugs.prepared.saliency[:6].numpy())),
        ],
        vmin=0,
        vmax=1,
        cmap="magma",
    )
    return drawn


@figure
def pairwise_matching() -> Any:
    mugs = steps("mug")
    images, evidence = mugs.images, mugs.evidence
    better = evidence.opposite.score - evidence.same.score
    number = int(better.argmax())
    rows, columns = evidence.first[number : number + 1], evidence.second[number : number + 1]
    drawn, axes = plt.subplots(1, 2, figsize=(9, 2.6))
    shown = small(mugs.squares, 160)
    for axis, second, tokens, found, title in (
        (axes[0], shown[int(columns)], images.tokens, evidence.same, "as they are"),
        (
            axes[1],
            shown[int(columns)][:, ::-1],
            images.mirrored_tokens,
            evidence.opposite,
            "second image mirrored",
        ),
    ):
        matches = mutual_matches(images.tokens, tokens, rows, columns, CONFIG.matching.most)
        a, b = complex(found.a[number]), complex(found.b[number])
        pair(axis, [shown[int(rows)], second], matches, a, b)
        chance = float(evidence.chance[number])
        axis.set_title(f"{title}: S = {float(found.score[number]):.1f} (by chance {chance:.1f})", fontsize=9)
    drawn.tight_layout()
    return drawn


@figure
def mirror_selection() -> Any:
    mugs = steps("mug")
    evidence, n = mugs.evidence, len(mugs.squares)
    same, opposite = (square_matrix(n, evidence, part.score) for part in (evidence.same, evidence.opposite))
    matrix = _contrasts(same, opposite, CONFIG.poses).numpy()
    flags = mugs.first.poses.mirrored.numpy()
    order = np.argsort(flags, kind="stable")
    drawn = plt.figure(figsize=(9, 3.1))
    outer = drawn.add_gridspec(
        1, 3, width_ratios=[1, 1, 2.0], wspace=0.12, left=0.01, right=0.99, top=0.9, bottom=0.02
    )
    for column, rows, title in ((0, np.arange(n), "C, as listed"), (1, order, "C, sorted by mirror state")):
        axis = drawn.add_subplot(outer[column])
        bare(axis)
        axis.imshow(matrix[np.ix_(rows, rows)], cmap="RdBu", vmin=-1, vmax=1)
        axis.set_title(title, fontsize=9)
    inner = outer[2].subgridspec(3, 4, wspace=0.05, hspace=0.05)
    faced = small(mugs.faced_squares(SIZE))
    for place, image in enumerate(order):
        axis = drawn.add_subplot(inner[place])
        bare(axis)
        axis.imshow(faced[image])
        if flags[image]:
            for side in axis.spines.values():
                side.set(visible=True, color=ORANGE, linewidth=2.5)
    drawn.text(0.73, 0.93, "unmirrored (framed: were mirrored)", fontsize=9, ha="center")
    return drawn


def placed_pictures(
    one: Steps, warps: Any, resolution: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faced pictures, the maps from atlas to them, and their average in the atlas' place."""
    faced = one.faced_squares(224)
    cells = grid(resolution, 1.0, CPU).expand(len(faced), -1, -1, -1)
    maps = to_oriented(warps, cells).numpy()
    return faced, maps, average_image(faced, maps, one.consensus.weight.numpy(), 160)


@figure
def pose_synchronization() -> Any:
    mugs = steps("mug")
    _, warps = mugs.posed
    faced, maps, after = placed_pictures(mugs, warps)
    before = faced.mean(0).astype(np.uint8)
    moved = [in_place(image, places, 160) for image, places in zip(faced[:5], maps[:5], strict=True)]
    drawn, axes = table(
        [
            ("un-\nmirrored", [*small(faced[:5]), *small(before[None])]),
            ("in their\nposes", [*moved, after]),
        ]
    )
    axes[0, -1].set_title("average", fontsize=8.5, pad=2)
    drawn.subplots_adjust(top=0.93)
    return drawn


@figure
def outliers() -> Any:
    more = ("other/images/other-01.jpg", "other/images/other-03.jpg")
    set_ = steps("mug", *more)
    standing, least = set_.first.evidence.numpy(), CONFIG.outliers.least_evidence
    drawn = plt.figure(figsize=(9, 2.5))
    n = len(standing)
    axis = drawn.add_axes((0.06, 0.36, 0.93, 0.6))
    tints = [ORANGE if value < least else GREEN for value in standing]
    axis.bar(range(n), standing, color=tints, width=0.7)
    axis.axhline(least, color="black", lw=0.8, ls="--")
    axis.text(n - 0.55, least + 0.03, f"{least}", fontsize=8, ha="right")
    axis.set_xlim(-0.5, n - 0.5)
    axis.set_xticks([])
    axis.set_ylabel("standing $s_i$", fontsize=8.5)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    for number, picture in enumerate(small(set_.squares, 80)):
        place = drawn.add_axes((0.06 + 0.93 * number / n + 0.002, 0.02, 0.93 / n - 0.004, 0.32))
        bare(place)
        place.imshow(picture)
    return drawn


@figure
def common_region() -> Any:
    set_ = steps("butterfly")
    images, poses = set_.images, set_.poses
    faced = images.oriented(poses.mirrored, poses.weight)
    mass = agreeing_mass(images, set_.matches, poses, CONFIG.matching)
    place = region_of(mass, faced, poses, images.members.slices, CONFIG.common_object, CONFIG.atlas)
    dense = mass / mass.amax((1, 2), keepdim=True).clamp_min(1e-9)
    drawn, _ = table(
        [
            ("images", small(set_.squares[:6])),
            ("saliency\nbefore", list(images.saliency[:6].numpy())),
            ("agreeing\nmatches", list(dense[:6].sqrt().numpy())),
            ("common\nregion", list(place[:6].numpy())),
            ("saliency\nafter", list(set_.final.saliency[:6].numpy())),
        ],
        vmin=0,
        vmax=1,
        cmap="magma",
    )
    return drawn


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
    by_cell = smooth - asked.level + asked.level_by_cell
    for level, colour, label in ((smooth, GREEN, "rigid, flow"), (by_cell, ORANGE, "guided")):
        curve = probability(torch.ones(len(near)), terms, torch.tensor(level), asked)
        right.plot(near, curve, color=colour, label=label)
    right.set_xlabel("near share of the match", fontsize=8.5)
    right.set_ylabel("confidence", fontsize=8.5)
    right.legend(fontsize=8, frameon=False)
    right.tick_params(labelsize=8)
    right.spines[["top", "right"]].set_visible(False)
    return drawn


_ALIGNED: dict[str, Any] = {}


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


def given(one: Any) -> dict[str, Any]:
    """The arrays of a set as arguments of `align` and `fit`."""
    names = ("features", "saliency", "mirrored_features", "mirrored_saliency", "valid", "extent", "seed")
    return {name: getattr(one, name) for name in names}


@figure
def orientation_search() -> Any:
    mugs = turned_by(steps("mug"), [0, 100, -140, 60])
    upright = arrays(mugs.squares, np.ones_like(mugs.valid))
    views = [np.stack([turned_pixels(one, turn) for one in mugs.squares]) for turn in range(1, TURNS)]
    plain = [seen(view) for view in views]
    turned = [seen(np.ascontiguousarray(view[:, :, ::-1])) for view in views]
    stack = lambda parts, which: np.stack([part[which] for part in parts], 1)  # noqa: E731
    whole = Turned(stack(plain, 0), stack(plain, 1), stack(turned, 0), stack(turned, 1))
    position = torch.as_tensor(directions())
    turns = find_turns(
        upright, whole, CONFIG, position=position, extent=upright.extent, seed=SEED, device=CPU
    )
    after = [turned_pixels(one, int(turn)) for one, turn in zip(mugs.squares, turns, strict=True)]
    drawn, axes = table([("images", small(mugs.squares)), ("turned", small(np.stack(after)))])
    for axis, turn in zip(axes[1], turns, strict=True):
        axis.set_xlabel(f"{int(turn)} eighths", fontsize=8)
    drawn.subplots_adjust(bottom=0.08)
    return drawn


def main() -> None:
    """Draw the figures that are asked for, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    for name in arguments.names or FIGURES:
        path = save(FIGURES[name](), name, arguments.out)
        print(f"{path} {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
