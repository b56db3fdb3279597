"""Individuals told apart where pictures show several of a kind: by looks, and by the numbers of instances.

    python benchmarks/individuals.py [KIND …] [--embedded] [--cache FOLDER]

The pictures are those of `benchmarks/instances.py composed`: the same few things, cut out, are laid together
on different photographs, at other sizes, turned by up to 10°. Of every two of these pictures, things found in
both are marked on the one and looked for among the instances of the other. Right: it is found to be the
instance that lies on it. Chance: one of as many instances.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from composed_pictures import pictures_of
from instances import MOST, ON, arrays_of, lies_on, where
from set_features import KINDS, Extractor, solve

from congeal.alignment.config import SolverConfig
from congeal.alignment.further_instances import Known, further_instances
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import square
from congeal.transfer.individual_choice import Look, assigned, compared_cells, likeness, look_of
from congeal.transfer.points import Maps

CHANCE = "by chance"


class Shown(NamedTuple):
    """An instance in a picture: its number, which thing it lies on, its look."""

    number: int
    who: int
    look: Look


def instances_of(kind: str, extractor: Extractor) -> list[list[Shown]]:
    """The instances of each made picture that lie on a thing of their own."""
    config = SolverConfig()
    singles, made = pictures_of(kind)
    pictures = [pixels for pixels, _ in singles] + [one.pixels for one in made]
    frames = [Frame(one.shape[1], one.shape[0]) for one in pictures]
    size = extractor._shape.image_size
    given = extractor.given(f"several/{kind}", (square(one, size) for one in pictures), frames)
    aligned = solve(given)
    found = further_instances(Known.of(aligned), arrays_of(given), MOST, extent=given.extent, config=config)
    cells = compared_cells(aligned.atlas.saliency)
    shown: list[list[Shown]] = []
    for at, one in enumerate(made):
        row = len(singles) + at
        candidates: list[tuple[int, Any, int]] = [(0, aligned, row)]
        candidates += [
            (int(found.numbers[k]), found.aligned, k) for k in np.flatnonzero(found.rows == row).tolist()
        ]
        here: list[Shown] = []
        for number, alignment, k in candidates:
            places = where(alignment.forward[k], aligned.atlas.saliency, frames[row], config)
            which, share = lies_on(places, one.truths)
            if share < ON or one.who[which] in {other.who for other in here}:
                continue
            maps = Maps(
                frames[row],
                frames[row].to_pixels(alignment.forward[k]),
                alignment.forward_confidence[k],
                alignment.backward[k],
                alignment.backward_confidence[k],
            )
            look = look_of(given.features[row], given.extent, maps, cells)
            here.append(Shown(number, one.who[which], look))
        shown.append(here)
    return shown


def judged(shown: list[list[Shown]]) -> dict[str, float]:
    """How many individuals are asked for, and are right by look, by number and by chance."""
    counts = dict.fromkeys(("asked", "by look", "by number", CHANCE), 0.0)
    for marked, there in itertools.permutations(shown, 2):
        both = {one.who for one in marked} & {one.who for one in there}
        if len(there) < 2 or not both:
            continue
        alike = np.array([[likeness(one.look, other.look) for other in there] for one in marked])
        chosen = assigned(alike, apart=len(marked) > 1)
        for one, place in zip(marked, chosen, strict=True):
            if one.who not in both:
                continue
            counts["asked"] += 1
            counts["by look"] += place is not None and there[place].who == one.who
            counts["by number"] += any(other.number == one.number and other.who == one.who for other in there)
            counts[CHANCE] += 1 / len(there)
    return counts


def main() -> None:
    """Print a row a kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--embedded", action="store_true", help="the package's own backbone")
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    extractor = Extractor(asked.cache, embedded=asked.embedded)
    print("| kind | asked | right by look | by number | by chance |\n| --- | ---: | ---: | ---: | ---: |")
    for kind in asked.kinds:
        found = judged(instances_of(kind, extractor))
        counts = [f"{found[name]:.0f}" for name in ("asked", "by look", "by number")]
        row = " | ".join([*counts, f"{found[CHANCE]:.1f}"])
        print(f"| {kind} | {row} |", flush=True)


if __name__ == "__main__":
    main()
