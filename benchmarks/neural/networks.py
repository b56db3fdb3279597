"""Mapping networks: the loop beside a plain one, new images, and things at any angle.

    python benchmarks/neural/networks.py loop [SET …] [--network small|published] [--iterations N]
    python benchmarks/neural/networks.py held [SET …] [--seeds N] [--direct] [--keep FILE]
    python benchmarks/neural/networks.py turned samples/KIND … [--seeds N]

loop: processor seconds of an iteration of the training, and of the same losses computed image by image, term
by term, as they are written down, in float32 and with Adam as it comes; both take turns in one process, and
their losses are compared first (the fast start has `benchmarks/neural/fast_start.py`). held: a third of the
images takes no part in the alignment and is mapped afterwards, in three ways; PCK of the pairs between those
and the others, and what confidence is worth there and among members; with --keep, what is known stays in a
file, and whoever is stopped goes on there; with --direct no networks are trained. turned: each image of a set
turned by an angle of its own, embedded backbone, `alignment.rotation=any`, one look; PCK of neighbours, of
the direct maps, and of the networks fitted to them and after the losses. --cache: a folder for features.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from benchmarks.accuracy.rotation import turned_set
from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import Kept
from benchmarks.common.set_features import (
    BIRDS,
    Extractor,
    FeaturedSet,
    Given,
    joined,
    maps_of,
    place_of,
    solve,
    through,
)
from congeal.alignment.config import SolverConfig
from congeal.alignment.image_features import backbone_facts, extract_features
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.inputs.rotated_views import to_upright, turns_to_atlas
from congeal.alignment.model import Alignment
from congeal.alignment.solver import align
from congeal.evaluation.calibration import calibration
from congeal.evaluation.datasets import load
from congeal.evaluation.pck import Assured, Outcomes, carry, nearest_neighbour, unsure
from congeal.evaluation.protocols import named, pairs_of, views
from congeal.geometry.warps import Warps
from congeal.neural import grids, refinement
from congeal.neural.checkpoints import decode_networks
from congeal.neural.config import NETWORKS, SCHEDULES, NeuralMethod
from congeal.neural.networks import MappingNetworks
from congeal.neural.new_images import WAYS, fit_new
from congeal.neural.refinement import refine
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.solution import SolvedSet, solution
from congeal.neural.training import Training
from congeal.neural.training_set import TrainingSet
from infra.compute.numeric_libraries import settle_allocator

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from plain_training import PlainTraining

BUILDERS = 24
PIXELS = 256


def arrays_of(given: Given) -> ImageArrays:
    """What `congeal.align` is given, as one."""
    return ImageArrays(given.features, given.saliency, given.mirrored, given.mirrored_saliency, given.valid)


# ---- the loop ----


def begun(featured: FeaturedSet, extractor: Extractor, network: str) -> Training:
    """The published schedule, in its second phase."""
    given = featured.given[:BUILDERS]
    direct = solve(given)
    solved = SolvedSet.of(arrays_of(given), direct, given.extent, SolverConfig(), 0, torch.device("cpu"))
    size = NETWORKS[network]
    if size.pixels:
        shown = np.stack([extractor.read(path) for path in featured.files[:BUILDERS]])
        whole = torch.as_tensor(shown).permute(0, 3, 1, 2).float()
        pixels = functional.interpolate(whole, size=(PIXELS, PIXELS), mode="area").byte()
        data = TrainingSet.of_pixels(solved.images, pixels.permute(0, 2, 3, 1))
    else:
        data = TrainingSet.of_tokens(solved.images)
    still = grids.cells(size.resolution).expand(len(data), -1, -1, -1).contiguous()
    rows = torch.arange(len(data))
    seen = data.oriented(torch.zeros(len(data), dtype=torch.bool), rows).placed(still)
    networks = MappingNetworks(data.images.shape[2], size)
    atlas = SemanticAtlas.from_images(seen.keys, seen.saliency)
    return Training(networks, atlas, data, replace(SCHEDULES["published"], bootstrap=0))


def loop(names: list[str], extractor: Extractor, network: str, iterations: int) -> None:
    for name in names:
        training = begun(extractor.named(name), extractor, network)
        beside, rows = PlainTraining(training), torch.arange(2)
        ours, plain = training.losses_of(rows, flowing=True)[0], beside.losses(rows)
        assert set(ours) == set(plain), set(ours) ^ set(plain)
        for term in ours:
            torch.testing.assert_close(ours[term].detach(), plain[term].detach(), rtol=1e-3, atol=1e-2)
        seconds: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(iterations):
            begin = time.process_time()
            terms, _ = training.losses_of(rows, flowing=True)
            training.optimiser.descend(torch.stack(list(terms.values())).sum())
            seconds["ours"].append(time.process_time() - begin)
            begin = time.process_time()
            beside.step(rows)
            seconds["plain"].append(time.process_time() - begin)
        ours_at, plain_at = (statistics.median(seconds[way]) for way in ("ours", "plain"))
        print(
            f"{name} {network} {training.networks.parameters_in_all:,} parameters, "
            f"{torch.get_num_threads()} threads: {ours_at:.3f} s an iteration of 2 images and their mirror "
            f"images, plain {plain_at:.3f} s ({plain_at / ours_at:.2f} times as long)",
            flush=True,
        )


# ---- new images ----


def held(names: list[str], extractor: Extractor, kept: Kept, asked: argparse.Namespace) -> None:
    for name, seed in itertools.product(names, range(asked.seeds)):
        title = ", ".join([name, f"seed {seed}", *asked.set, *(["direct"] if asked.direct else [])])
        facts = kept.once(
            title,
            lambda name=name, seed=seed: held_out(extractor.named(name), seed, trained=not asked.direct),
        )
        for way, told in facts.items():
            print(f"{title}, {way}: {told}", flush=True)


def held_out(featured: FeaturedSet, seed: int, *, trained: bool) -> dict[str, dict[str, float]]:
    """What becomes of a third of a set, in three ways, and of the members: by way."""
    out = [row for row in range(len(featured)) if row % 3 == 2]
    inner = [row for row in range(len(featured)) if row % 3 != 2][:BUILDERS]
    given, new = featured.given[inner], featured.given[out]
    order = inner + out
    place = {row: number for number, row in enumerate(order)}
    across = [(a, b) for a, b in featured.pairs if (a in out) != (b in out) and {a, b} <= set(order)]
    images = [featured.images[row] for row in order]
    aligned = solve(given, seed=seed)
    networks = None
    if trained:
        found = refine(arrays_of(given), aligned, NeuralMethod(seed=seed), extent=given.extent)
        assert found.networks is not None
        aligned, networks = found.aligned, decode_networks(found.networks).networks
    facts: dict[str, dict[str, float]] = {}
    for way in WAYS if trained else WAYS[-1:]:
        begin = time.process_time()
        fitted = fit_new(aligned.atlas, arrays_of(new), way, networks=networks, extent=given.extent)
        each = (time.process_time() - begin) / len(out)
        maps = maps_of(joined([aligned, fitted.aligned]), images)
        told = carry(images, through(maps), [(place[a], place[b]) for a, b in across])
        facts[way] = assured(told, featured.alpha) | {"ms": round(each * 1000)}
    pairs = [(place[a], place[b]) for a, b in featured.pairs if {a, b} <= set(inner)]
    return facts | {"members": assured(carry(images, through(maps), pairs), featured.alpha)}


def assured(told: Outcomes, alpha: float) -> dict[str, float]:
    """PCK; expected calibration error of confidence, and how well it tells right from wrong, at a tenth."""
    right = told.correct(0.1)
    found = {"pck": round(told.pck(alpha), 2), "error": calibration(told.confidence, right).error}
    if 0 < right.mean() < 1:
        found["area"] = float(roc_auc_score(right, told.confidence))
    return {name: round(float(value), 4) for name, value in found.items()}


# ---- things at any angle ----


def turned(names: list[str], seeds: int) -> None:
    extractor = Extractor(embedded=True)
    for name, seed in itertools.product(names, range(seeds)):
        print(f"{name}, turned, seed {seed}: {of_turned(extractor, name, seed)}", flush=True)


def of_turned(extractor: Extractor, name: str, seed: int) -> dict[str, object]:
    """PCK by who says the maps, and which were kept."""
    asked = named("spair")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / Path(name).name
        turned_set(place_of(name), folder, seed)
        annotated = load(folder)
        shown = views(annotated, asked)
        squares = np.stack([extractor.read(view.image.path, view.crop) for view in shown])
    images = [view.measured for view in shown]
    arrays = extract_features(
        extractor.backbone, squares, [image.frame for image in images], any_angle=True
    ).arrays
    facts = backbone_facts(extractor.backbone)
    direct = align(
        arrays.features,
        arrays.saliency,
        mirrored_features=arrays.mirrored_features,
        mirrored_saliency=arrays.mirrored_saliency,
        valid=arrays.valid,
        turned=arrays.turned,
        extent=arrays.extent,
        position=facts.position,
        parts=facts.parts,
        blank=facts.blank,
        seed=seed,
    )
    tried: list[Alignment] = []

    def told(of: SolvedSet, warps: Warps) -> Alignment:
        tried.append(solution(of, warps))
        return tried[-1]

    method = NeuralMethod(seed=seed)
    with patch.object(refinement, "solution", told):
        found = refine(arrays, direct, method, turned=arrays.turned, extent=arrays.extent)
    pairs, turns = pairs_of(annotated, asked, shown), turns_to_atlas(direct)

    def pck(way: Assured) -> float:
        return round(float(carry(images, way, pairs).pck(asked.alpha)), 2)

    def by(aligned: Alignment) -> float:
        return pck(through(maps_of(aligned, images)))

    return {
        "neighbours": pck(unsure(nearest_neighbour(images, arrays.features, arrays.extent))),
        "direct": by(direct),
        **{
            state: by(to_upright(one, turns))
            for state, one in zip(("fitted", "refined"), tried, strict=False)
        },
        "kept": found.facts["kept"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("loop", "held", "turned"))
    parser.add_argument("sets", nargs="*", default=[BIRDS[0]])
    parser.add_argument("--network", choices=list(NETWORKS), default="small")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--direct", action="store_true", help="held: no networks, steps alone")
    parser.add_argument("--keep", type=Path, help="a file in which what was found is kept")
    parser.add_argument("--set", action="append", default=[], help="a setting of the features, NAME=VALUE")
    asked = parser.parse_args()
    settle_allocator()  # as workers do
    torch.set_num_threads(1)
    made = Extractor(asked.cache, asked.set)
    if asked.part == "loop":
        loop(asked.sets, made, asked.network, asked.iterations)
    elif asked.part == "turned":
        turned(asked.sets, asked.seeds)
    else:
        held(asked.sets, made, Kept(asked.keep), asked)
