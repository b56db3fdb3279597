"""The small networks against the direct solver: PCK of what a run with `alignment.method=neural` makes.

    python benchmarks/neural/fast_start.py [SET …] [--seeds N] [--cache FOLDER] [--keep FILE] [--record]

Every set with every seed: PCK of the direct maps; of the same maps, smooth, in the networks' place, which is
what a perfect fit would reach; of the networks fitted to them and after the losses; and of what is kept. The
networks that lie beside the atlas are those that explain more free matches, fitted or after the losses. With
--keep, what is known stays in a file of JSON, set by set and seed by seed: whoever is stopped goes on there.
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import Kept, command_line, tell
from benchmarks.common.set_features import Extractor, FeaturedSet, carried, joined, solve
from benchmarks.neural.networks import BUILDERS, arrays_of
from congeal.alignment.config import SolverConfig
from congeal.neural import refinement
from congeal.neural.config import NeuralMethod
from congeal.neural.refinement import refine
from congeal.neural.solution import SolvedSet, solution, warps_of

RESULTS = ROOT / "benchmarks" / "results" / "fast_start.md"
HEAD = "| set | images | direct | smooth | fitted | after the losses | networks lose | kept | training, s |"


def measure(featured: FeaturedSet, seed: int) -> dict[str, Any]:
    """The facts of a set and a seed."""
    from congeal.alignment.solver import fit

    given, rest = featured.given[:BUILDERS], featured.given[BUILDERS:]

    def pck(aligned: Any) -> float:
        whole = [aligned, *([fit(aligned.atlas, **rest.for_fit)] if len(rest) else [])]
        return float(carried(featured, joined(whole)).pck(featured.alpha))

    begin = time.process_time()
    direct = solve(given, seed=seed)
    alone = time.process_time() - begin
    config = SolverConfig()
    solved = SolvedSet.of(arrays_of(given), direct, given.extent, config, seed, torch.device("cpu"))
    cells = min(config.flow.finest_cells, given.features.shape[1], 32)
    tried: dict[str, float] = {}

    def told(of: SolvedSet, warps: Any) -> Any:
        aligned = solution(of, warps)
        tried["refined" if "fitted" in tried else "fitted"] = pck(aligned)
        return aligned

    begin = time.process_time()
    with patch.object(refinement, "solution", told):
        found = refine(arrays_of(given), direct, NeuralMethod(seed=seed), extent=given.extent)
    trained = time.process_time() - begin
    facts = dict(found.facts)
    return {
        "images": len(featured),
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


def row(name: str, seeds: list[dict[str, Any]]) -> str:
    """The line of a set: medians, and the loss of every seed."""

    def median(*path: str) -> str:
        values = []
        for facts in seeds:
            value: Any = facts
            for key in path:
                value = value.get(key) if value is not None else None
            values.append(value)
        known = [value for value in values if value is not None]
        return f"{statistics.median(known):.1f}" if known else "–"

    losses = [
        f"{facts['direct'] - facts['networks']:+.2f}" if facts["networks"] is not None else "–"
        for facts in seeds
    ]
    kept = [str(facts["facts"]["kept"]) for facts in seeds]
    ways = ", ".join(f"{len(list(some))} {way}" for way, some in itertools.groupby(sorted(kept)))
    return (
        f"| {name} | {seeds[0]['images']} | {median('direct')} | {median('smooth')} | "
        f"{median('tried', 'fitted')} | {median('tried', 'refined')} | {' '.join(losses)} | "
        f"{median('kept')} ({ways}) | {median('training_s')} |"
    )


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, help="a file in which what was found is kept")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    extractor, kept = Extractor(asked.cache), Kept(asked.keep)
    for seed, name in itertools.product(asked.seeds, asked.sets):
        title = f"{name}, seed {seed}"
        facts = kept.once(title, lambda name=name, seed=seed: measure(extractor.named(name), seed))
        print(row(title, [facts]), facts["facts"].get("explained"), flush=True)
    found = {name: [kept.found[f"{name}, seed {seed}"] for seed in asked.seeds] for name in asked.sets}
    losses = [
        one["direct"] - one["networks"]
        for some in found.values()
        for one in some
        if one["networks"] is not None
    ]
    tell(
        "Small networks beside the direct solver",
        f"neural/fast_start.py --seeds {' '.join(map(str, asked.seeds))}",
        "PCK in percent by each set's usual protocol, medians of the seeds. Smooth: the direct maps in "
        "the networks' place. What the networks beside the atlas lose to the direct maps is told seed by "
        "seed; seconds are of a processor, one thread. "
        f"They lose {statistics.mean(losses):.2f} points on average and {max(losses):.2f} at most.",
        [HEAD, "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: |"]
        + [row(name, some) for name, some in found.items()],
        RESULTS,
        asked.record,
    )


if __name__ == "__main__":
    main()
