"""How far congeal's maps agree with the alignment that Neural Congealing's project page shows.

    python benchmarks/neural/paper_maps.py [SET …] [--cache FOLDER] [--record]

The page shows pictures, not maps. Each aligned picture is registered to the photograph that it was made
of: matches of features give a similarity, with or without a mirror, and what is left is found by correlating
patches of 15 pixels. So it is known where each place of the paper's atlas is in the photograph, and congeal's
own map says where that is in congeal's atlas. If both maps agree, that is one and the same place for all
images of the set, whatever the two atlases look like: what is told is how far the images are from the median
over them, in atlas units (half the atlas' side is 1). The same between two of congeal's own solutions, of
other seeds, is the floor, and the photographs as they are, without a map of congeal's, the ceiling. With
--record, results go to benchmarks/results/paper_maps.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates, uniform_filter

from benchmarks.accuracy.saliency import PAPER
from benchmarks.common.annotated_sets import ROOT, shared
from benchmarks.common.recording import options, tell
from benchmarks.common.set_features import Extractor, solve
from congeal.geometry.frames import Frame, cell_centres
from congeal.imaging.decoding import decode, square
from congeal.transfer.points import interpolate

RESULTS = ROOT / "benchmarks" / "results" / "paper_maps.md"
SIDE = 256  # pixels of the page's pictures
WINDOW = 15  # pixels of a patch
REACHES = (6, 3)  # pixels that patches are looked for in, round by round
ALIKE = 0.8  # correlation from which a patch counts as found
FLAT = 4.0  # standard deviation of grey below which a patch shows nothing
NEAR = 0.06  # frame units within which a match agrees with a similarity
DRAWS = 2000
SALIENT = 0.5
LEAST_IMAGES = 4  # at which a place must be known

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]


class Registered(NamedTuple):
    """Where places of the paper's picture are in the photograph, [SIDE, SIDE, 2] in frame units.

    known: where it was found, [SIDE, SIDE]. agreed: share of the matches that agree with the similarity.
    """

    places: Doubles
    known: Flags
    agreed: float


def grey(path: Path) -> Doubles:
    """A picture as grey values [SIDE, SIDE]."""
    return square(decode(path.read_bytes()), SIDE).astype(np.float64).mean(-1)


def mutual(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Places [k, 2] in two token grids [g, g, c] that are each other's nearest neighbours."""
    g = len(one)
    flat = [part.reshape(g * g, -1).astype(np.float32) for part in (one, two)]
    flat = [part / np.linalg.norm(part, axis=1, keepdims=True).clip(1e-6) for part in flat]
    like = flat[0] @ flat[1].T
    there, back = like.argmax(1), like.argmax(0)
    rows = np.flatnonzero(back[there] == np.arange(g * g))
    centres = cell_centres(g).reshape(-1, 2).astype(np.float64)
    return centres[rows], centres[there[rows]]


def similarity(start: Doubles, end: Doubles, seed: int = 0) -> tuple[complex, complex, Flags]:
    """a, b of z → a·z + b that most matches [k, 2] agree with, and which do."""
    z, w = (part @ np.array([1, 1j]) for part in (start, end))
    random = np.random.default_rng(seed)
    best: tuple[int, complex, complex] = (0, 1, 0)
    for _ in range(DRAWS if len(z) > 1 else 0):
        i, j = random.choice(len(z), 2, replace=False)
        a = (w[i] - w[j]) / (z[i] - z[j])
        if not 0.1 < abs(a) < 4:
            continue
        count = int((np.abs(a * z + w[i] - a * z[i] - w) < NEAR).sum())
        best = max(best, (count, a, w[i] - a * z[i]), key=lambda one: one[0])
    near = np.abs(best[1] * z + best[2] - w) < NEAR
    if near.sum() > 2:
        known = np.stack([z[near], np.ones(near.sum())], 1)
        (a, b), *_ = np.linalg.lstsq(known, w[near], rcond=None)
        return a, b, np.abs(a * z + b - w) < NEAR
    return best[1], best[2], near


def shown_at(picture: Doubles, places: Doubles) -> Doubles:
    """Grey values of a picture at places [..., 2] in frame units."""
    at = (places[..., ::-1] + 1) * SIDE / 2 - 0.5
    return map_coordinates(picture, np.moveaxis(at, -1, 0), order=1, mode="nearest")


def correlated(one: Floats, two: Floats, reach: int) -> tuple[Doubles, Doubles]:
    """Offset [SIDE, SIDE, 2], pixels x and y, by which patches of one are found in two, and how alike."""

    def stats(picture: Floats) -> tuple[Floats, Floats]:
        mean = uniform_filter(picture, WINDOW)
        return mean, np.sqrt((uniform_filter(picture**2, WINDOW) - mean**2).clip(0))

    one, two = one.astype(np.float32), two.astype(np.float32)
    (mean, spread), theirs = stats(one), stats(two)
    best, offset = np.full(one.shape, -1.0), np.zeros((*one.shape, 2))
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            moved, other, wide = (np.roll(part, (-down, -right), (0, 1)) for part in (two, *theirs))
            alike = (uniform_filter(one * moved, WINDOW) - mean * other) / (spread * wide).clip(FLAT**2)
            found = alike > best
            best[found] = alike[found]
            offset[found] = right, down
    return offset, best


def registered(
    paper: Doubles, photograph: Doubles, tokens: tuple[Any, Any], shown: npt.NDArray[Any]
) -> Registered:
    """An aligned picture registered to its photograph. tokens: of the picture, and of its mirror image."""
    found = []
    for mirrored, features in zip((False, True), tokens, strict=True):
        start, end = mutual(features, shown)
        found.append((mirrored, start, end, *similarity(start, end)))
    mirrored, start, end, a, b, near = max(found, key=lambda one: int(one[-1].sum()))
    grid = cell_centres(SIDE).astype(np.float64)
    seen = paper[:, ::-1] if mirrored else paper  # in the mirrored picture's own frame

    def posed(places: Doubles) -> Doubles:
        z = a * (places @ np.array([1, 1j])) + b
        return np.stack([z.real, z.imag], -1)

    rest = smooth(start[near], end[near] - posed(start[near]), grid)
    known = np.zeros((SIDE, SIDE), bool)
    for reach in REACHES:
        offset, alike = correlated(seen, shown_at(photograph, posed(grid) + rest), reach)
        known = alike >= ALIKE
        if known.sum() < 50:
            break
        moved = posed(grid + offset * 2 / SIDE) - posed(grid)
        rows = np.argwhere(known)[:: max(1, int(known.sum()) // 400)]
        at = tuple(rows.T)
        rest = smooth(grid[at], (rest + moved)[at], grid)
    places = posed(grid) + rest
    if mirrored:
        places, known = places[:, ::-1], known[:, ::-1]
    return Registered(places, known, float(near.mean()) if len(near) else 0.0)


def smooth(at: Doubles, values: Doubles, grid: Doubles) -> Doubles:
    """A smooth field [h, w, 2] through values [k, 2] at places [k, 2], nearly."""
    if len(at) < 4:
        return np.zeros_like(grid)
    coarse = grid[4::8, 4::8]
    field = RBFInterpolator(at, values, neighbors=min(40, len(at)), smoothing=1e-3, kernel="linear")
    found = field(coarse.reshape(-1, 2)).reshape(coarse.shape)
    lines = (np.arange(len(grid)) - 4) / 8
    whole = np.meshgrid(lines, lines, indexing="ij")
    return np.stack([map_coordinates(found[..., c], whole, order=1, mode="nearest") for c in (0, 1)], -1)


def spread(places: Doubles) -> tuple[float, float, int]:
    """How far places [n, k, 2], NaN where unknown, are from their median over the n images.

    The median over the images of each one's median, the 90th percentile of all, at how many of the k places.
    """
    enough = np.isfinite(places[..., 0]).sum(0) >= min(LEAST_IMAGES, len(places))
    known = places[:, enough]
    if not known.size:
        return float("nan"), float("nan"), 0
    off = np.linalg.norm(known - np.nanmedian(known, axis=0), axis=-1)
    each = [np.median(row[np.isfinite(row)]) for row in off if np.isfinite(row).any()]
    return float(np.median(each)), float(np.nanquantile(off, 0.9)), int(enough.sum())


def measured(name: str, extractor: Extractor) -> str:
    """A row of the table."""
    featured = extractor.named(name)
    folder = shared() / "data" / name / "paper_aligned"
    files = [folder / f"{path.stem}.png" for path in featured.files]
    frame = Frame(SIDE, SIDE)
    paper = extractor.given(f"{name}/aligned", map(extractor.read, files), [frame] * len(files))
    ours, other = (solve(featured.given, seed=seed) for seed in (0, 1))
    step = slice(2, None, 4)
    mine, still, agreed, known = [], [], [], []
    for row, (file, path) in enumerate(zip(files, featured.files, strict=True)):
        found = registered(
            grey(file), grey(path), (paper.features[row], paper.mirrored[row]), featured.given.features[row]
        )
        places, there = (
            part[step, step].reshape(-1, *part.shape[2:]) for part in (found.places, found.known)
        )
        at = interpolate(ours.backward[row], places)
        salient = interpolate(ours.atlas.saliency, np.clip(at, -1, 1)) >= SALIENT
        there = there & salient & (np.abs(at) <= 1).all(1) & ~ours.outlier[row]
        mine.append(np.where(there[:, None], at, np.nan))
        still.append(np.where(there[:, None], places, np.nan))
        agreed.append(found.agreed)
        known.append(there.mean())
    cells = other.atlas.saliency >= SALIENT
    both = ~ours.outlier & ~other.outlier
    again = np.stack(
        [
            interpolate(ours.backward[row], other.forward[row][cells].astype(np.float64))
            for row in np.flatnonzero(both)
        ]
    )
    rows = [spread(np.stack(part)) for part in (mine, still)]
    floor = spread(again)
    return (
        f"| {name.removeprefix('paper/')} | {len(files)} | {np.median(agreed):.2f} | {rows[0][2]} "
        f"| {rows[0][0]:.3f} | {rows[0][1]:.3f} | {floor[0]:.3f} | {floor[1]:.3f} | {rows[1][0]:.3f} |"
    )


def main() -> None:
    """Measure every set asked for."""
    asked = options(__doc__, RESULTS)
    sets = [name for name in asked.sets if name.startswith("paper/")] or list(PAPER)
    extractor = Extractor(asked.cache)
    lines = [
        "| set | images | matches that agree | places | with the paper, median | 90 % "
        "| two seeds of ours, median | 90 % | as they are |",
        "| --- |" + " ---: |" * 8,
    ]
    print("\n".join(lines), flush=True)
    for name in sets:
        lines.append(measured(name, extractor))
        print(lines[-1], flush=True)
    said = (
        "How far images are from their set's median place in congeal's atlas, for places of the paper's "
        "atlas, in atlas units (half the atlas' side is 1): the median over the images of each one's median, "
        "and the 90th percentile of all. Beside it the same for places of another solution of congeal's, and "
        "for the photographs as they are (frame units)."
    )
    tell("Maps beside the paper's alignment", "neural/paper_maps.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
