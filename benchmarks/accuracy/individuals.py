"""Individuals told apart where pictures show several of a kind: by colours, and by a backbone's features.

    python benchmarks/accuracy/individuals.py [KIND …] [--cache FOLDER]

The pictures are those of `benchmarks/accuracy/instances.py composed`: the same few things, cut out, are laid
together on different photographs, at other sizes, turned by up to 10°; nobody changes posture or light. Each
thing is fitted to the atlas of its set with everything else taken away, so that what is judged is who is
who, not who is found. Of every two pictures, all things of the one are looked for in the other, at most one
in each place. Right: a thing that both show is found to be itself. Chance: one of as many things.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy.instances import PETS
from benchmarks.common.composed_pictures import Doubles, grown, pictures_of
from benchmarks.common.set_features import KINDS, Extractor, solve
from congeal.alignment.solver import fit
from congeal.geometry.frames import Frame, cell_centres
from congeal.imaging.decoding import square
from congeal.transfer.individual_choice import Look, assigned, compared_cells, likeness, look_of
from congeal.transfer.points import Maps, interpolate, interpolate_many

AROUND = 12  # pixels around a thing that are left with it


class Thing(NamedTuple):
    """A thing in a picture: which it is, its look, and its features [k, c] of unit length."""

    who: int
    look: Look
    features: Doubles


def things_of(kind: str, extractor: Extractor) -> list[list[Thing]]:
    """The things of each picture that shows several."""
    singles, made = pictures_of(kind)
    pictures = [pixels for pixels, _ in singles] + [one.pixels for one in made]
    frames = [Frame(one.shape[1], one.shape[0]) for one in pictures]
    size = extractor._shape.image_size
    given = extractor.given(f"several/{kind}", (square(one, size) for one in pictures), frames)
    atlas = solve(given).atlas
    cells = compared_cells(atlas.saliency)
    centres = cell_centres(given.features.shape[1], given.extent)
    found: list[list[Thing]] = []
    for row, (one, frame) in enumerate(zip(made, frames[len(singles) :], strict=True), len(singles)):
        shown = square(one.pixels, size)
        here: list[Thing] = []
        for who, truth in zip(one.who, one.truths, strict=True):
            around = grown(truth.seen, AROUND).astype(np.uint8) * 255
            inside = square(np.dstack([around] * 3), size)[..., 0] / 255.0
            mine = interpolate(inside, np.asarray(centres, np.float64).reshape(-1, 2)) > 0.5
            alone = given[[row]]
            valid = alone.valid * mine.reshape(alone.valid.shape)
            fitted = fit(atlas, **{**alone.for_fit, "valid": valid.astype(np.float32)})
            maps = Maps(
                frame,
                frame.to_pixels(fitted.forward[0]),
                fitted.forward_confidence[0],
                fitted.backward[0],
                fitted.backward_confidence[0],
            )
            at = np.clip(np.asarray(fitted.forward[0], np.float64)[cells] / given.extent, -1, 1)
            seen = interpolate_many(given.features[row].astype(np.float32)[None], at)[0]
            seen /= np.linalg.norm(seen, axis=1, keepdims=True)
            here.append(Thing(who, look_of(shown, maps, cells), seen))
        found.append(here)
    return found


def by_features(one: Thing, other: Thing) -> float:
    """The mean cosine over the cells that both show."""
    weight = one.look.weight * other.look.weight + 1e-12
    return float((weight * (one.features * other.features).sum(1)).sum() / weight.sum())


def by_colours(one: Thing, other: Thing) -> float:
    """As the product compares them."""
    return likeness(one.look, other.look)


def judged(shown: list[list[Thing]], alike: Callable[[Thing, Thing], float]) -> tuple[int, int, float]:
    """How many things are asked for, how many are right, and how many chance would get right."""
    asked, right, chance = 0, 0, 0.0
    for marked, there in itertools.permutations(shown, 2):
        both = {one.who for one in marked} & {one.who for one in there}
        if not both:
            continue
        table = np.array([[alike(one, other) for other in there] for one in marked])
        for one, place in zip(marked, assigned(table, apart=True), strict=True):
            if one.who in both:
                asked += 1
                right += place is not None and there[place].who == one.who
                chance += 1 / len(there)
    return asked, right, chance


def main() -> None:
    """Print a row a kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=[*KINDS, *PETS])
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    extractor = Extractor(asked.cache)
    print("| kind | asked | by colours | by features | by chance |\n| --- | ---: | ---: | ---: | ---: |")
    for kind in asked.kinds:
        shown = things_of(kind, extractor)
        count, right, chance = judged(shown, by_colours)
        print(f"| {kind} | {count} | {right} | {judged(shown, by_features)[1]} | {chance:.1f} |", flush=True)


if __name__ == "__main__":
    main()
