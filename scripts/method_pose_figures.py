"""The pictures of docs/method.md up to the poses (see `method_figures`)."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from method_drawing import (
    GREEN,
    GREY,
    ORANGE,
    SIZE,
    bare,
    colours,
    figure,
    pair,
    small,
    table,
)
from method_steps import (
    BESIDE,
    CONFIG,
    CPU,
    SEED,
    arrays,
    backbone,
    directions,
    placed_pictures,
    seen,
    steps,
    turned_by,
)

from congeal.alignment.inputs.cosaliency import scaled_attention
from congeal.alignment.inputs.rotated_views import TURNS, Turned, turned_pixels
from congeal.alignment.poses.common_object import agreeing_mass
from congeal.alignment.poses.common_object import common_region as region_of
from congeal.alignment.poses.orientation_search import find_turns
from congeal.alignment.poses.pairwise_matching import mutual_matches
from congeal.alignment.poses.pose_estimation import square_matrix
from congeal.alignment.poses.pose_synchronization import _contrasts
from congeal.alignment.selection.feature_selection import select_features
from congeal.imaging.visualization import warped as in_place


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
    compared = 2 * len(evidence.first) / (n * (n - 1))
    matrix = _contrasts(same, opposite, CONFIG.poses, compared).numpy()
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
def orientation_search() -> Any:
    mugs = turned_by(steps("mug"), [0, 100, -140, 60])
    upright = arrays(mugs.squares, np.ones_like(mugs.valid))
    views = [np.stack([turned_pixels(one, turn) for one in mugs.squares]) for turn in range(1, TURNS)]
    plain = [seen(view) for view in views]
    turned = [seen(np.ascontiguousarray(view[:, :, ::-1])) for view in views]

    def stack(parts: list[Any], which: int) -> Any:
        return np.stack([part[which] for part in parts], 1)

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
