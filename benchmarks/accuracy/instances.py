"""Several of a kind in one image: how many are found, how well they are mapped, and how often one is made up.

    python benchmarks/accuracy/instances.py composed [KIND …] [--embedded] [--cache FOLDER] [--out FILE.json]
    python benchmarks/accuracy/instances.py alone [SET …] [--embedded] [--cache FOLDER] [--out FILE.json]
    python benchmarks/accuracy/instances.py bounds FILE.json …

composed: things are cut out of pictures by their masks and laid on photographs of something else, two apart,
two that touch, three, at sizes from 0.7 to 1.3 of each other and turned by up to 10°. A set has pictures of
one thing, and four such pictures of things that are in none of the others. It is solved as a run with
`alignment.instances_max=4` does, and looked through. Found: an instance of which most cells lie on a thing
that no other instance lies on. PCK at a tenth of the thing's points, carried from the pictures of one thing.
alone: the same on sets of which every picture shows one thing: whatever is found is made up. bounds: of the
candidates that looser bounds let through (--loose, written with --out), which bounds tell the true ones from
those made up, chosen with each kind left out in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common.composed_pictures import Doubles, Pixels, Truth, grown, pictures_of
from benchmarks.common.set_features import EVERY, KINDS, Extractor, Given, solve
from congeal.alignment import further_instances as search
from congeal.alignment.config import SolverConfig
from congeal.alignment.further_instances import Instances, Known, without_others
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.model import Alignment
from congeal.alignment.solver import align
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import square
from congeal.transfer.object_confidence import object_confidence
from congeal.transfer.points import interpolate

MOST = 4
PETS = ("pets/Abyssinian", "pets/Bengal", "pets/american_bulldog")
ONE_THING = (
    *PETS,
    *(
        f"paper/{name}"
        for name in ("butterflies", "mug_set", "teapots", "mix_cats", "mix_animals1", "video_dog")
    ),
)
ON = 0.5  # of an instance's cells lie on its thing
LOOSE = {
    "instances.least_rest": 0.02,
    "instances.least_evidence": 0.1,
    "instances.least_alone": 0.4,
    "instances.least_confidence": 0.35,
    "outliers.least_evidence": 0.1,
}
MEASURES = ("evidence", "alone", "confidence")


@dataclass
class Tally:
    """Counts of a set. candidates: measures of what was found, and whether it is true."""

    wanted: int = 0
    found: int = 0
    false: int = 0
    images: int = 0
    false_alone: int = 0
    right: float = 0.0
    points: int = 0
    solving: float = 0.0
    looking: float = 0.0
    candidates: list[dict[str, Any]] | None = None


# ---- solved as a run does ----


def arrays_of(given: Given, valid: Any = None) -> ImageArrays:
    more = given.valid if valid is None else valid
    return ImageArrays(given.features, given.saliency, given.mirrored, given.mirrored_saliency, more)


def looked_through(
    given: Given, config: SolverConfig
) -> tuple[Alignment, Instances, list[dict[str, float]], list[float]]:
    """A set solved, and again without what else was found; what is found in the end, with its measures.

    config: by whose bounds things are looked for. Seconds: solving, looking, solving again.
    """
    begin = time.process_time()
    first = solve(given)
    alone = time.process_time() - begin
    begin = time.process_time()
    known = Known.of(first)
    found = search.further_instances(known, arrays_of(given), MOST, extent=given.extent, config=config)
    again = 0.0
    if found.aligned is not None:
        left = without_others(known, found, given.valid, given.extent, config)
        start = time.process_time()
        second = align(**{**given.for_align, "valid": left})
        again = time.process_time() - start
        if second.status == "ok" and second.outlier.sum() <= (~known.good).sum():
            first = second
    measures: dict[tuple[int, int], dict[str, float]] = {}
    known = Known.of(first)

    calls = itertools.count()

    def noted(fitted: Any, known: Known, rows: Any, free: Any, extent: float, asked: Any) -> Any:
        saliency = known.atlas.saliency
        thing = saliency >= asked.salient
        there = torch.as_tensor(fitted.aligned.forward) / extent
        on = (search._at(torch.as_tensor(free), there).numpy() * thing).sum((1, 2)) / max(int(thing.sum()), 1)
        sure = object_confidence(fitted.aligned.forward_confidence, saliency, asked.salient)
        usual = object_confidence(known.confidence[rows], saliency, asked.salient)
        # Each number is asked for twice, the second time alone.
        number, second = divmod(next(calls), 2)
        for at, row in enumerate(rows.tolist() if second else ()):
            said = float(fitted.score[at]), float(on[at]), float(sure[at] / usual[at])
            measures[row, number + 1] = dict(zip(MEASURES, said, strict=True))
        return held(fitted, known, rows, free, extent, asked)

    held = search._maps_hold
    with patch.object(search, "_maps_hold", noted):
        found = search.further_instances(known, arrays_of(given), MOST, extent=given.extent, config=config)
    looking = time.process_time() - begin - again
    keys = zip(found.rows.tolist(), found.numbers.tolist(), strict=True)
    said = [measures[key] for key in keys]
    return first, found, said, [alone, looking, again]


def where(forward: Any, atlas_saliency: Any, frame: Frame, config: SolverConfig) -> Doubles:
    """Pixels [k, 2] of the cells of the thing in a picture."""
    return np.asarray(frame.to_pixels(forward[atlas_saliency >= config.instances.salient]), np.float64)


def lies_on(places: Doubles, truths: list[Truth]) -> tuple[int, float]:
    """On which thing most places lie, and which share of them."""
    at = places.round().astype(int)
    shares = []
    for truth in truths:
        inside = ((at >= 0) & (at < [truth.seen.shape[1], truth.seen.shape[0]])).all(1)
        wide = grown(truth.seen, 3)
        shares.append(float(wide[at[inside, 1], at[inside, 0]].sum()) / max(1, len(at)))
    best = int(np.argmax(shares))
    return best, shares[best]


def composed_set(kind: str, extractor: Extractor, config: SolverConfig) -> Tally:
    """One kind: its pictures made, solved, and judged."""
    singles, made = pictures_of(kind)
    pictures = [pixels for pixels, _ in singles] + [one.pixels for one in made]
    frames = [Frame(one.shape[1], one.shape[0]) for one in pictures]
    size = extractor._shape.image_size
    given = extractor.given(f"several/{kind}", (square(one, size) for one in pictures), frames)
    aligned, found, measures, seconds = looked_through(given, config)
    tally = Tally(images=len(singles), solving=seconds[0], looking=seconds[1], candidates=[])
    assert tally.candidates is not None
    n, saliency = len(singles), aligned.atlas.saliency
    for at, one in enumerate(made):
        row, frame = n + at, frames[n + at]
        first, share = lies_on(where(aligned.forward[row], saliency, frame, config), one.truths)
        taken = {first} if share >= ON else set()
        tally.wanted += len(one.truths) - 1
        for k in np.flatnonzero(found.rows == row).tolist():
            assert found.aligned is not None
            forward = found.aligned.forward[k]
            which, on = lies_on(where(forward, saliency, frame, config), one.truths)
            true = on >= ON and which not in taken
            tally.found += true
            tally.false += not true
            tally.candidates.append({"kind": kind, "what": one.what, "true": true, "on": on, **measures[k]})
            if true:
                taken.add(which)
                right, points = carried(singles, aligned, frames, forward, frame, one.truths[which].points)
                tally.right, tally.points = tally.right + right, tally.points + points
    for k in np.flatnonzero(found.rows < n).tolist():
        tally.false_alone += 1
        tally.candidates.append({"kind": kind, "what": "alone", "true": False, "on": 0.0, **measures[k]})
    return tally


def carried(
    singles: list[tuple[Pixels, Doubles]],
    aligned: Alignment,
    frames: list[Frame],
    forward: Any,
    frame: Frame,
    truth: Doubles,
) -> tuple[float, int]:
    """How many keypoints, carried from pictures of one thing, are right on a thing; and of how many."""
    there = np.isfinite(truth).all(1)
    if there.sum() < 2:
        return 0.0, 0
    extent = float(np.ptp(truth[there], axis=0).max())
    right = count = 0
    for row, (_, points) in enumerate(singles):
        both = there & np.isfinite(points).all(1)
        if aligned.outlier[row] or not both.any():
            continue
        places = interpolate(aligned.backward[row], np.asarray(frames[row].to_frame(points[both])))
        at = frame.to_pixels(interpolate(np.asarray(forward), places))
        off = np.linalg.norm(np.asarray(at) - truth[both], axis=1)
        right += int((off <= 0.1 * extent).sum())
        count += int(both.sum())
    return float(right), count


def alone_set(name: str, extractor: Extractor, config: SolverConfig) -> Tally:
    """A set of which each picture shows one thing."""
    given = extractor.named(name).given
    _, found, measures, seconds = looked_through(given, config)
    made_up = [{"kind": name, "what": "alone", "true": False, "on": 0.0, **one} for one in measures]
    return Tally(
        images=len(given),
        false_alone=len(found.rows),
        solving=seconds[0],
        looking=seconds[1],
        candidates=made_up,
    )


# ---- bounds ----


def bounds(candidates: list[dict[str, Any]]) -> None:
    """Bounds chosen without each kind in turn, and on all: the most true ones at the fewest made up."""
    kinds = sorted({one["kind"] for one in candidates})
    grid = [np.arange(0.1, 0.9, 0.05), np.arange(0.4, 0.95, 0.05), np.arange(0.35, 1.0, 0.05)]
    values = np.array([[one[name] for name in MEASURES] for one in candidates])
    true = np.array([one["true"] for one in candidates], bool)
    of = np.array([one["kind"] for one in candidates])

    def best(rows: npt.NDArray[np.bool_]) -> tuple[float, ...]:
        def worth(asked: tuple[float, ...]) -> tuple[float, float]:
            kept = (values >= asked).all(1) & rows
            return float((kept & true).sum() - 5 * (kept & ~true).sum()), -float(sum(asked))

        return max(itertools.product(*grid), key=worth)

    def told(asked: tuple[float, ...], rows: npt.NDArray[np.bool_]) -> str:
        kept = (values >= asked).all(1) & rows
        return (
            f"{int((kept & true).sum())} of {int((true & rows).sum())}, {int((kept & ~true).sum())} made up"
        )

    now = SolverConfig().instances
    today = (now.least_evidence, now.least_alone, now.least_confidence)
    everything = np.ones(len(true), bool)
    print(f"as they are {today}: {told(today, everything)}")
    print(
        f"chosen on all {tuple(np.round(best(everything), 2).tolist())}: {told(best(everything), everything)}"
    )
    kept_true = kept_false = 0
    for kind in kinds:
        asked = best(of != kind)
        kept = (values >= asked).all(1) & (of == kind)
        kept_true, kept_false = kept_true + int((kept & true).sum()), kept_false + int((kept & ~true).sum())
        print(f"without {kind} {tuple(np.round(asked, 2).tolist())}: on it {told(asked, of == kind)}")
    print(f"each kind by the bounds of the others: {kept_true} of {int(true.sum())}, {kept_false} made up")


def rows_of(
    part: str, names: list[str], extractor: Extractor, config: SolverConfig
) -> Iterator[tuple[str, Tally]]:
    for name in names:
        yield name, (composed_set if part == "composed" else alone_set)(name, extractor, config)


def main() -> None:
    """Do what is asked for, and print a row a set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("composed", "alone", "bounds"))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--embedded", action="store_true", help="the package's own backbone")
    parser.add_argument("--loose", action="store_true", help="by looser bounds, for `bounds`")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, help="what was found and how it measures, as JSON")
    asked = parser.parse_args()
    if asked.part == "bounds":
        bounds([one for path in asked.sets for one in json.loads(Path(path).read_text())])
        return
    names = asked.sets or list((*KINDS, *PETS) if asked.part == "composed" else (*EVERY, *ONE_THING))
    extractor = Extractor(asked.cache, embedded=asked.embedded)
    config = SolverConfig().replace(LOOSE) if asked.loose else SolverConfig()
    print(
        "| set | others there | found | made up beside them | pictures of one | made up there | PCK "
        "| solved, s | looked, s |"
    )
    print("| --- |" + " ---: |" * 8, flush=True)
    candidates: list[dict[str, Any]] = []
    for name, one in rows_of(asked.part, names, extractor, config):
        pck = f"{100 * one.right / one.points:.1f}" if one.points else "–"
        print(
            f"| {name} | {one.wanted} | {one.found} | {one.false} | {one.images} | {one.false_alone} | {pck} "
            f"| {one.solving:.1f} | {one.looking:.1f} |",
            flush=True,
        )
        candidates += one.candidates or []
        if asked.out is not None:
            asked.out.write_text(json.dumps(candidates))


if __name__ == "__main__":
    main()
