"""The small networks against the direct solver: PCK of what a run with `alignment.method=neural` makes.

    python benchmarks/neural/fast_start.py [SET …] [--seeds N …] [--cache FOLDER] [--keep FILE] [--record]

Every set with every seed: PCK of nearest neighbours; of the direct maps, after a second look where one is
kept (then all images build the atlas); of the same maps, smooth, in the networks' place, which is what a
perfect fit would reach; of the networks fitted to them and after the losses; and of what is kept. The
networks that lie beside the atlas are those that explain more free matches, fitted or after the losses. With
--keep, what is known stays in a file of JSON, set by set and seed by seed: whoever is stopped goes on there.
With --known nothing is measured: what the file knows is told, and what it lacks.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.accuracy.engines import neighbours
from benchmarks.accuracy.second_look import looked
from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import Kept, command_line, tell
from benchmarks.common.set_features import Extractor, carried, joined, solve
from benchmarks.neural.networks import BUILDERS, arrays_of
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.windows import to_whole_frames
from congeal.alignment.model import picked
from congeal.neural import refinement
from congeal.neural.config import NeuralMethod
from congeal.neural.refinement import refine
from congeal.neural.solution import SolvedSet, solution, warps_of
from infra.compute.numeric_libraries import settle_allocator

RESULTS = ROOT / "benchmarks" / "results" / "fast_start.md"
HEAD = (
    "| set | images | neighbours | direct | smooth | fitted | after the losses | networks lose | kept | "
    "direct, s | training, s |"
)
ALLOWED = 0.5  # points that networks may lose


def measure(extractor: Extractor, name: str, seed: int) -> dict[str, Any]:
    """The facts of a set and a seed."""
    from congeal.alignment.solver import fit

    featured, config = extractor.named(name), SolverConfig()
    look = looked(extractor, featured, seed, config)
    if look.kept:
        assert look.crops is not None
        given, rest = look.crops, look.crops[:0]
    else:
        given, rest = featured.given[:BUILDERS], featured.given[BUILDERS:]

    def pck(aligned: Any) -> float:
        if look.kept:
            assert look.windows is not None
            whole = to_whole_frames(picked(aligned, range(len(given))), look.windows)
        else:
            whole = joined([aligned, *([fit(aligned.atlas, **rest.for_fit)] if len(rest) else [])])
        return float(carried(featured, whole).pck(featured.alpha))

    begin = time.process_time()
    direct = solve(given, seed, len(given))
    alone = time.process_time() - begin
    solved = SolvedSet.of(arrays_of(given), direct, given.extent, config, seed, torch.device("cpu"))
    cells = min(config.flow.finest_cells, given.features.shape[1], 32)
    maps: dict[str, Any] = {}

    def told(of: SolvedSet, warps: Any) -> Any:
        return maps.setdefault("refined" if "fitted" in maps else "fitted", solution(of, warps))

    begin = time.process_time()
    with patch.object(refinement, "solution", told):
        found = refine(arrays_of(given), direct, NeuralMethod(seed=seed), extent=given.extent)
    trained = time.process_time() - begin
    facts, tried = dict(found.facts), {state: pck(aligned) for state, aligned in maps.items()}
    return {
        "images": len(featured),
        "second_look": look.kept,
        "neighbours": neighbours(featured),
        "direct": pck(direct),
        "smooth": pck(solution(solved, warps_of(solved, cells))),
        "tried": tried,
        "networks": tried.get(str(facts.get("of_networks"))),
        "kept": pck(found.aligned),
        "direct_s": alone,
        "training_s": trained,
        "facts": facts,
        "megabytes": len(found.networks or b"") / 1e6,
    }


def row(name: str, seeds: dict[int, dict[str, Any]]) -> str:
    """The line of a set: medians of the seeds, and the loss of every one."""
    every = list(seeds.values())

    def median(*path: str) -> str:
        known = [value for facts in every if (value := _at(facts, path)) is not None]
        return f"{statistics.median(known):.1f}" if known else "–"

    losses = [
        f"{loss:+.2f} ({seed})" if (loss := lost(facts)) is not None else f"– ({seed})"
        for seed, facts in seeds.items()
    ]
    ways = Counter(str(facts["facts"]["kept"]) for facts in every)
    kept = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
    shown = f"{name}, second look" if all(facts["second_look"] for facts in every) else name
    return (
        f"| {shown} | {every[0]['images']} | {median('neighbours')} | {median('direct')} | "
        f"{median('smooth')} | {median('tried', 'fitted')} | {median('tried', 'refined')} | "
        f"{', '.join(losses)} | {median('kept')} ({kept}) | {median('direct_s')} | {median('training_s')} |"
    )


def _at(facts: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        facts = None if facts is None else facts.get(key)
    return facts


def lost(facts: dict[str, Any]) -> float | None:
    """What the networks beside the atlas lose to the direct maps; None: there are none."""
    return None if facts["networks"] is None else facts["direct"] - facts["networks"]


def said(seeds: list[int], found: dict[str, dict[int, dict[str, Any]]]) -> str:
    """What the table means, and what all of it comes to."""
    every = [facts for of_set in found.values() for facts in of_set.values()]
    losses = [loss for facts in every if (loss := lost(facts)) is not None]
    over = sum(loss > ALLOWED for loss in losses)
    sizes = {(facts["facts"].get("parameters"), round(facts["megabytes"], 2)) for facts in every}
    parameters, megabytes = max(size for size in sizes if size[0])
    kept = statistics.mean(facts["kept"] - facts["direct"] for facts in every)
    text = (
        f"PCK in percent by each set's usual protocol, medians of the seeds. Networks of {parameters:,} "
        f"parameters, {megabytes} MB a set. Smooth: the direct maps in the networks' place. What the "
        "networks beside the atlas lose to the direct maps is told seed by seed (the seed in brackets); "
        "seconds are of a processor, one thread, with memory kept as workers keep it. They lose "
        f"{statistics.mean(losses):.2f} points on average of {len(losses)} trainings and "
        f"{max(losses):.2f} at most, {over} of them more than {ALLOWED}. What is kept has "
        f"{kept:+.2f} points beside the direct maps on average."
    )
    lacking = [
        f"{name} ({', '.join(str(seed) for seed in missing)})"
        for name, of_set in found.items()
        if (missing := [seed for seed in seeds if seed not in of_set])
    ]
    return f"{text}\n\nNot measured (seeds): {', '.join(lacking)}." if lacking else text


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, help="a file in which what was found is kept")
    parser.add_argument("--known", action="store_true", help="measure nothing: tell what the file knows")
    asked = parser.parse_args()
    settle_allocator()  # as workers do
    torch.set_num_threads(1)
    extractor, kept = Extractor(asked.cache), Kept(asked.keep)
    for seed, name in itertools.product(asked.seeds, asked.sets):
        title = f"{name}, seed {seed}"
        if asked.known:
            continue
        facts = kept.once(title, lambda name=name, seed=seed: measure(extractor, name, seed))
        print(row(name, {seed: facts}), facts["facts"].get("explained"), flush=True)
    found = {
        name: {
            seed: kept.found[title] for seed in asked.seeds if (title := f"{name}, seed {seed}") in kept.found
        }
        for name in asked.sets
    }
    tell(
        "Small networks beside the direct solver",
        f"neural/fast_start.py --seeds {' '.join(map(str, asked.seeds))}",
        said(asked.seeds, found),
        [HEAD, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: | ---: |"]
        + [row(name, of_set) for name, of_set in found.items() if of_set],
        RESULTS,
        asked.record,
    )


if __name__ == "__main__":
    main()
