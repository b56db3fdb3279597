"""Is a hidden counterpart told from one that shows? Confidence of points whose counterpart nobody can see.

    python benchmarks/confidence/visibility.py [SET …] [--cache FOLDER] [--record]

Every keypoint that a set's annotators saw in one image is carried to all others. Where the alignment mirrors
one of the two, left and right change names first. "Tells apart": how often a counterpart that shows has more
confidence than one that is hidden (0.5 is chance). Sets that hide nothing are left out. With --record,
results go to benchmarks/results/visibility.md.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import options, tell
from benchmarks.common.set_features import Extractor, in_processes, maps_of, on_frame, place_of, solve
from congeal.evaluation.datasets import load
from congeal.geometry.arrays import Doubles, Flags
from congeal.transfer.points import transfer

RESULTS = ROOT / "benchmarks" / "results" / "visibility.md"


class Counterparts(NamedTuple):
    """What was said of m carried points: confidence float64 [m], visible bool [m]; and whether they show."""

    freedom: str
    confidence: Doubles
    visible: Flags
    shows: Flags


def counterparts(cache: Path | None, name: str) -> Counterparts:
    """Of one of EVERY."""
    featured = Extractor(cache).named(name)
    renamed = load(place_of(name)).mirrored
    alignment = solve(featured.given)
    maps = maps_of(alignment, featured.images)
    parts = []
    for source, target in featured.pairs:
        one, other = featured.images[source], featured.images[target]
        turned = alignment.mirrored[source] != alignment.mirrored[target]
        seen = np.flatnonzero(one.visible)
        found = transfer(on_frame(one.points[seen], one.frame), maps[source], maps[target])
        shows = other.visible[renamed[seen] if turned else seen]
        parts.append((found.confidence, found.visible, shows))
    return Counterparts(
        alignment.atlas.deformation, *(np.concatenate(part) for part in zip(*parts, strict=True))
    )


def row(name: str, found: Counterparts) -> str:
    shows, sure = found.shows, found.confidence
    return (
        f"| {name} | {found.freedom} | {len(shows):,} | {1 - shows.mean():.1%} | {sure[shows].mean():.2f} | "
        f"{sure[~shows].mean():.2f} | {roc_auc_score(shows, sure):.2f} | {found.visible[shows].mean():.1%} | "
        f"{found.visible[~shows].mean():.1%} |"
    )


def main() -> None:
    asked = options(__doc__, RESULTS)
    lines = [
        "| set | freedom | points | hidden | mean confidence if shown | if hidden | tells apart "
        "| called visible if shown | if hidden |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    found = in_processes(functools.partial(counterparts, asked.cache), asked.sets)
    lines += [row(name, one) for name, one in zip(asked.sets, found, strict=True) if not one.shows.all()]
    said = (
        "Every annotated point carried to every other image of its set; left and right change names where "
        "one of the two is mirrored. Tells apart: how often a counterpart that shows has more confidence "
        "than one that is hidden (0.5 is chance)."
    )
    tell("Counterparts that are hidden", "confidence/visibility.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
