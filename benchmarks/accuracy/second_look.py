"""What a second look at windows of the images gives, set by set, and whether it would be kept.

    python benchmarks/accuracy/second_look.py [SET …] [--seeds 3] [--least-zoom 1.2] [--cache FOLDER]

PCK of the first look, of the second in whole frames, and of what is kept; the shares of free matches that
both explain. A set whose things fill their frames has no second look.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common.annotated_sets import SETS
from benchmarks.common.set_features import KINDS, Extractor, FeaturedSet, Given, carried, place_of, solve
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.inputs.windows import Windows, to_whole_frames
from congeal.alignment.model import picked
from congeal.alignment.selection.second_look import better, compare, find_windows, seen
from congeal.evaluation.datasets import load
from congeal.evaluation.protocols import cut, named, views
from congeal.imaging.decoding import Pixels, decode, window_pixels


def pixels_of(featured: FeaturedSet) -> Iterator[Pixels]:
    """Each view of a set as its protocol shows it, uint8 [h, w, 3]."""
    annotated = load(place_of(featured.name))
    for view in views(annotated, named(annotated.protocol)):
        image = decode(view.image.path.read_bytes())
        yield image if view.crop is None else cut(image, view.crop)


def windowed(extractor: Extractor, featured: FeaturedSet, windows: Windows) -> Given:
    """The features of windows of a set's images."""
    size = extractor.read(featured.files[0]).shape[0]
    squares = [
        window_pixels(image, centre, float(half), size)
        for image, centre, half in zip(pixels_of(featured), windows.centre, windows.half, strict=True)
    ]
    frames = [image.frame for image in featured.images]
    given = extractor.given(f"{featured.name}-windows", squares, frames)
    return replace(given, valid=windows.on_image(frames, given.features.shape[1], given.extent))


def arrays(given: Given) -> ImageArrays:
    """As the solver compares them."""
    return ImageArrays(given.features, given.saliency, given.mirrored, given.mirrored_saliency, given.valid)


@dataclass(frozen=True)
class Looks:
    """What two looks at a set came to; all of its images build the atlas.

    first: of the frames. windows: where the second look is, None where there is none; crops: its features;
    second: its alignment, of windows; whole: the same in whole frames; evidence: the matches of both.
    """

    first: Any
    windows: Windows | None = None
    crops: Given | None = None
    second: Any = None
    whole: Any = None
    evidence: Any = None
    kept: bool = False


def looked(extractor: Extractor, featured: FeaturedSet, seed: int, config: SolverConfig) -> Looks:
    """A set with a second look, if it is worth one."""
    given = featured.given
    first = solve(given, seed, len(given), config)
    one = seen(arrays(given), first, given.extent, config)
    windows = find_windows(one, config.second_look)
    if windows is None:
        return Looks(first)
    crops = windowed(extractor, featured, windows)
    second: Any = solve(crops, seed, len(given), config)
    two = seen(arrays(crops), second, crops.extent, config, windows=windows)
    whole = to_whole_frames(picked(second, range(len(given))), windows)
    evidence = compare(one, two, whole, seed, config)
    kept = better(evidence, whole, config.second_look)
    return Looks(first, windows, crops, second, whole, evidence, kept)


def line(extractor: Extractor, name: str, seed: int, config: SolverConfig) -> str:
    """The row of a set with a seed."""
    featured = extractor.named(name)
    found = looked(extractor, featured, seed, config)
    before = carried(featured, found.first).pck(featured.alpha)
    if found.windows is None:
        return f"| {name} | {seed} | – | {before:.1f} | – | – | – | {before:.1f} |"
    after = carried(featured, found.whole).pck(featured.alpha)
    kept = after if found.kept else before
    (a, b), (c, d) = found.evidence.by_kind
    return (
        f"| {name} | {seed} | {np.median(1 / found.windows.half):.2f} | {before:.1f} | {after:.1f} | "
        f"{a:.3f} → {b:.3f} | {c:.3f} → {d:.3f} | {kept:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["dogs/all_dogs", *SETS, *KINDS])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--least-zoom", type=float, default=SolverConfig().second_look.least_zoom)
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    extractor = Extractor(asked.cache)
    config = SolverConfig().replace({"second_look.least_zoom": asked.least_zoom})
    print("| set | seed | enlarged | first | second | matches on frames | matches on windows | kept |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in asked.sets:
        for seed in range(asked.seeds):
            print(line(extractor, name, seed, config), flush=True)


if __name__ == "__main__":
    main()
