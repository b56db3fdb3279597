"""Landmarks of one fly wing carried to all others, beside the marks that experts set.

    python benchmarks/accuracy/wings.py [--destination DIR] [--record]

One wing is marked (by the experts), `congeal.open(…).landmarks` carries its 12 landmarks to the other 57; the
error is the distance to the experts' own marks, in pixels and as a share of the wing's length (the largest
distance between two of its landmarks). Every wing takes its turn as the marked one. Beside it: five marked
wings combined by confidence, every landmark left where it is in the frame, and how alike the experts' and the
carried shapes are. With --record, results go to benchmarks/results/wings.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist

import congeal
from benchmarks.common.annotated_sets import ROOT, load
from benchmarks.common.destinations import heading, run
from congeal.geometry.procrustes import procrustes

RESULTS = ROOT / "benchmarks" / "results" / "wings.md"
TOGETHER = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--destination", type=Path, help="a finished run over the wings; absent: make one")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        destination = asked.destination or Path(scratch) / "destination"
        if asked.destination is None:
            run(load("flywings", Path(scratch)).folder, destination, ["clusters.method=single"])
        text = measure(destination)
    print(text)
    if asked.record:
        RESULTS.write_text(text)


def measure(destination: Path) -> str:
    collection = congeal.open(destination)
    wings = load("flywings", Path())
    truth = np.stack([image.points for image in wings.images])
    inside = np.stack(
        [np.clip(i.points, -0.5, [i.frame.width - 0.5, i.frame.height - 0.5]) for i in wings.images]
    )
    lengths = np.array([pdist(points).max() for points in truth])
    names = wings.names
    begin = time.perf_counter()
    carried = np.stack([table_of(collection, inside[n], name, names) for n, name in enumerate(names)])
    seconds = (time.perf_counter() - begin) / len(names)
    errors = np.linalg.norm(carried[..., :2] - truth, axis=-1)
    n = len(names)
    others = ~np.eye(n, dtype=bool)
    medoid = names.index(collection.find(collection.clusters["medoid_image_id"][0])["uri"])
    five = np.random.default_rng(0).permutation(n)[:TOGETHER]
    combined = table_of(collection, inside[five], [names[k] for k in five], names)
    rest = np.setdiff1d(np.arange(n), five)
    frames = [image.frame for image in wings.images]
    stay = np.stack(
        [
            [to.to_pixels(at.to_frame(points)) for to in frames]
            for at, points in zip(frames, truth, strict=True)
        ]
    )
    sure = carried[..., 2][others] >= 0.7
    rows = [
        ("one marked wing, every wing in turn", errors[others], lengths_of(lengths, others)),
        (
            f"one marked wing: the medoid, {names[medoid]}",
            errors[medoid][others[medoid]],
            np.repeat(np.delete(lengths, medoid)[:, None], 12, 1),
        ),
        (
            "those with confidence ≥ 0.7",
            errors[others][sure],
            lengths_of(lengths, others)[sure],
        ),
        (
            f"{TOGETHER} marked wings, combined",
            np.linalg.norm(combined[rest, :, :2] - truth[rest], axis=-1),
            np.repeat(lengths[rest][:, None], 12, 1),
        ),
        (
            "left where it is in the frame",
            np.linalg.norm(stay - truth, axis=-1)[others],
            lengths_of(lengths, others),
        ),
    ]
    lines = [
        *heading("Landmarks of one wing on 57 others", "accuracy/wings.py"),
        f"{n} wings, 12 landmarks; length of a wing (largest distance between its landmarks): median "
        f"{np.median(lengths):.0f} px. {seconds:.2f} s to carry 12 landmarks to all wings.",
        "",
        "| marked | points | mean error px | median px | mean, share of length | within 2 % of length |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, found, length in rows:
        share = found / length
        lines.append(
            f"| {name} | {found.size:,} | {found.mean():.2f} | {np.median(found):.2f} | {share.mean():.2%} | "
            f"{(share <= 0.02).mean():.1%} |"
        )
    by_point = np.stack([errors[..., k][others].mean() for k in range(12)])
    lines += [
        "",
        "Mean error of each landmark, px: " + ", ".join(f"{value:.1f}" for value in by_point) + ".",
        "",
    ]
    lines.append(shapes(truth, carried[medoid, ..., :2]))
    return "\n".join(lines) + "\n"


def shapes(truth: np.ndarray, carried: np.ndarray) -> str:
    """Whether the carried landmarks tell wings apart as the experts' do."""
    both = procrustes(np.concatenate([truth, carried]))
    n = len(truth)
    apart = np.linalg.norm(both.aligned[:n] - both.aligned[n:], axis=(1, 2))
    spread = pdist(both.aligned[:n].reshape(n, -1))
    sizes = np.corrcoef(both.sizes[:n], both.sizes[n:])[0, 1]
    distances = np.corrcoef(spread, pdist(both.aligned[n:].reshape(n, -1)))[0, 1]
    return (
        "Shapes carried from the medoid beside the experts': Procrustes distance between the two of one wing "
        f"{np.median(apart):.4f} (median), between two wings {np.median(spread):.4f}; correlation of "
        f"centroid sizes {sizes:.3f}, of distances between wings {distances:.3f}."
    )


def table_of(
    collection: congeal.results.collection.Collection,
    points: np.ndarray,
    source: str | list[str],
    names: list[str],
) -> np.ndarray:
    """[wings, landmarks, 3]: x, y, confidence, as carried, in the order of names."""
    table = collection.landmarks(points, source, to=names)
    return table[["x", "y", "confidence"]].to_numpy().reshape(len(names), -1, 3)


def lengths_of(lengths: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The target's length for every point of `errors[others]`."""
    return np.broadcast_to(lengths[None, :, None], (*others.shape, 12))[others]


if __name__ == "__main__":
    main()
