"""What the features allow: keypoints found by the truth of all other images, beside what congeal reaches.

    python benchmarks/accuracy/ceiling.py [SET …] [--cache FOLDER] [--record]

For every keypoint of an image, the features at that keypoint in all *other* images, taken from their
annotations, are averaged; the token of the image that is most like the average is the answer. It counts once
for each other image, as in PCK over all pairs. That is a detector with the truth of a whole set in hand and
nothing but these features to go by: no positions, no neighbours. Congeal has no annotations, but has both.
With --record, results go to benchmarks/results/ceiling.md.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from benchmarks.common.annotated_sets import ROOT, SETS
from benchmarks.common.recording import options, tell
from benchmarks.common.set_features import Extractor, FeaturedSet, carried, in_processes, solve
from congeal.evaluation.pck import carry, nearest_neighbour, unsure
from congeal.geometry.frames import cell_centres
from congeal.geometry.warps import sample

RESULTS = ROOT / "benchmarks" / "results" / "ceiling.md"


def with_the_truth(featured: FeaturedSet) -> float:
    """PCK, in percent, of keypoints found by the truth of the other images."""
    given, images = featured.given, featured.images
    grid = normalize(torch.as_tensor(given.features.astype(np.float32)), dim=-1)
    grid = normalize(grid - grid.mean((0, 1, 2)), dim=-1)
    centres = cell_centres(grid.shape[1], given.extent).reshape(-1, 2)
    seen = np.stack([image.visible for image in images])
    places = np.stack([image.frame.to_frame(np.nan_to_num(image.points)) for image in images])
    looks = normalize(sample(grid, torch.as_tensor(places, dtype=torch.float32), given.extent), dim=-1)
    looks = looks * torch.as_tensor(seen)[..., None]
    right = total = 0
    for number, image in enumerate(images):
        others = seen.sum(0) - seen[number]
        known = np.flatnonzero(seen[number] & (others > 0))
        asked = looks.sum(0)[known] - looks[number, known]
        best = (asked @ grid[number].flatten(0, 1).T).argmax(1).numpy()
        found = image.frame.to_pixels(centres[best].astype(np.float64))
        hit = np.linalg.norm(found - image.points[known], axis=1) <= featured.alpha * image.unit
        right += int((hit * others[known]).sum())
        total += int(others[known].sum())
    return 100 * right / total


def measure(cache: Path | None, name: str) -> tuple[float, float, float]:
    """PCK of nearest neighbours, of congeal, and with the truth."""
    featured = Extractor(cache).named(name)
    given = featured.given
    way = unsure(nearest_neighbour(featured.images, given.features, given.extent))
    plain = carry(featured.images, way, featured.pairs).pck(featured.alpha)
    return plain, carried(featured, solve(given)).pck(featured.alpha), with_the_truth(featured)


def main() -> None:
    asked = options(__doc__, RESULTS)
    found = list(in_processes(functools.partial(measure, asked.cache), asked.sets))
    lines = [
        "| set | nearest neighbour | with the truth of the others | congeal |",
        "| --- | ---: | ---: | ---: |",
    ]
    groups = {name: [name] for name in asked.sets} | {
        "**photographs, mean**": [name for name in asked.sets if name in SETS],
        "**rendered, mean**": [name for name in asked.sets if name not in SETS],
    }
    values = dict(zip(asked.sets, found, strict=True))
    for title, names in groups.items():
        if names:
            plain, mine, truth = np.mean([values[name] for name in names], 0)
            lines.append(f"| {title} | {plain:.1f} | {truth:.1f} | {mine:.1f} |")
    said = (
        "PCK by each set's usual protocol, one seed, on the same features. With the truth of the others: a "
        "keypoint is where the image is most like the mean of that keypoint's features in all other images, "
        "by their annotations. Congeal has no annotations."
    )
    tell("What the features allow", "accuracy/ceiling.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
