"""Mapping networks: the loop beside a plain one, the fast start, and new images.

    python benchmarks/neural/networks.py loop [SET …] [--network small|published] [--iterations N]
    python benchmarks/neural/networks.py start [SET …] [--seeds N]
    python benchmarks/neural/networks.py held [SET …]

loop: processor seconds of an iteration of the training, and of the same losses computed image by image, term
by term, as they are written down, in float32 and with Adam as it comes; both take turns in one process, and
their losses are compared first. start:
PCK of the direct maps, of networks fitted to them, after the losses, and of what is kept, with the seconds.
held: a third of the images takes no part in the alignment and is mapped afterwards, in three ways; PCK of the
pairs between those and the others, and what confidence is worth there and among members. --cache: a folder
for features.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from benchmarks.common.set_features import (
    BIRDS,
    Extractor,
    FeaturedSet,
    Given,
    carried,
    joined,
    maps_of,
    solve,
    through,
)
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.evaluation.calibration import calibration
from congeal.evaluation.pck import Outcomes, carry
from congeal.neural import grids, losses, refinement
from congeal.neural.checkpoints import decode_networks
from congeal.neural.config import NETWORKS, SCHEDULES, NeuralMethod
from congeal.neural.networks import MappingNetworks
from congeal.neural.new_images import WAYS, fit_new
from congeal.neural.refinement import refine
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.solution import SolvedSet, solution
from congeal.neural.training import Training
from congeal.neural.training_set import TrainingSet

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


def plain_losses(training: Training, rows: Tensor) -> dict[str, Tensor]:
    """The losses of `Training.losses_of` as they are written down: image by image, term by term."""
    both = (plain_of(training, rows, mirrored=False), plain_of(training, rows, mirrored=True))
    return both[0] | {f"mirrored_{name}": value for name, value in both[1].items()}


def plain_of(training: Training, rows: Tensor, *, mirrored: bool) -> dict[str, Tensor]:
    data, atlas, weights, networks = training.data, training.atlas, training.weights, training.networks
    state = int(mirrored)
    keys, saliency = (
        (atlas.keys, atlas.saliency) if not mirrored else (atlas.keys.detach(), atlas.saliency.detach())
    )
    r = atlas.resolution
    sums: dict[str, list[Tensor]] = {}
    shares: dict[str, list[Tensor]] = {}

    def add(name: str, values: Tensor, weight: Tensor) -> None:
        sums.setdefault(name, []).append((values * weight).sum())
        shares.setdefault(name, []).append(weight.expand_as(values).sum())

    reached = []
    for row in rows.tolist():
        image = data.images[state, row : row + 1].clone()  # as a loader would collate it
        field, shown, valid = (part[state, row].clone() for part in (data.keys, data.saliency, data.valid))
        pose, flow = networks(image)
        flow = grids.resized_flow(flow, r)
        for kind, places in (
            ("", grids.composed(pose.detach(), flow)),
            ("similarity_", grids.placed(pose, grids.cells(r)[None])),
        ):
            at = places / data.extent
            there = functional.grid_sample(field[None], at, align_corners=False, padding_mode="border")[0]
            light = functional.grid_sample(shown[None, None], at, align_corners=False)[0, 0]
            inside = (functional.grid_sample(valid[None, None], at, align_corners=False)[0, 0] > 0.5).float()
            a, s = (keys, saliency) if not kind else (keys.detach(), saliency.detach())
            counted = saliency.detach() * inside
            add(f"{kind}keys_mse", ((there - a) ** 2).mean(0), counted)
            add(f"{kind}keys_cosine", 1 - functional.cosine_similarity(there, a, dim=0), counted)
            add(
                f"{kind}saliency",
                functional.huber_loss(light, s, reduction="none", delta=weights.huber),
                inside,
            )
            if kind:
                continue
            reached.append(inside)
            bent = grids.composed(pose.detach(), flow)
            add("magnitude", (flow[0] ** 2).sum(-1), inside)
            far = max(1, round(weights.global_offset * r))
            for name, offset, weight in (("local_rigidity", 1, counted), ("global_rigidity", far, inside)):
                right = (bent[0, :-offset, offset:] - bent[0, :-offset, :-offset]) * r / 2 / offset
                down = (bent[0, offset:, :-offset] - bent[0, :-offset, :-offset]) * r / 2 / offset
                jacobian = torch.stack([right, down], -1)
                metric = jacobian.transpose(-1, -2) @ jacobian
                inverse = torch.linalg.inv(metric + losses.RIDGE * torch.eye(2))
                norm = torch.linalg.matrix_norm(metric) + torch.linalg.matrix_norm(inverse)
                add(name, norm, weight[:-offset, :-offset])
            add("scale", (1 - grids.scale_of(pose)) ** 2, torch.ones(1))
    found = {
        name: getattr(weights, name.removeprefix("similarity_"))
        * torch.stack(parts).sum()
        / torch.stack(shares[name]).sum().clamp_min(1e-6)
        for name, parts in sums.items()
    }
    if not mirrored:
        anywhere = torch.stack(reached).amax(0)
        found |= {
            name: getattr(weights, name) * value
            for name, value in losses.atlas_losses(keys, saliency, anywhere, weights).items()
        }
    return found


def loop(names: list[str], extractor: Extractor, network: str, iterations: int) -> None:
    for name in names:
        training = begun(extractor.named(name), extractor, network)
        rows = torch.arange(2)
        ours, plain = training.losses_of(rows, flowing=True)[0], plain_losses(training, rows)
        assert set(ours) == set(plain), set(ours) ^ set(plain)
        for term in ours:
            torch.testing.assert_close(ours[term].detach(), plain[term].detach(), rtol=1e-3, atol=1e-2)
        learned = [value for part in (training.networks, training.atlas) for value in part.parameters()]
        adam = torch.optim.Adam(learned, lr=1e-6)
        seconds: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(iterations):
            begin = time.process_time()
            terms, _ = training.losses_of(rows, flowing=True)
            training.optimiser.descend(torch.stack(list(terms.values())).sum())
            seconds["ours"].append(time.process_time() - begin)
            begin = time.process_time()
            terms = plain_losses(training, rows)
            adam.zero_grad()
            torch.autograd.backward(torch.stack(list(terms.values())).sum())
            adam.step()
            _ = [float(value.detach()) for value in terms.values()]  # as a log would
            seconds["plain"].append(time.process_time() - begin)
        ours_at, plain_at = (statistics.median(seconds[way]) for way in ("ours", "plain"))
        print(
            f"{name} {network} {training.networks.parameters_in_all:,} parameters, "
            f"{torch.get_num_threads()} threads: {ours_at:.3f} s an iteration of 2 images and their mirror "
            f"images, plain {plain_at:.3f} s ({plain_at / ours_at:.2f} times as long)",
            flush=True,
        )


# ---- the fast start, and new images ----


def start(names: list[str], extractor: Extractor, seeds: int) -> None:
    for name in names:
        featured = extractor.named(name)
        given, rest = featured.given[:BUILDERS], featured.given[BUILDERS:]

        def pck(aligned: Any, given: Any = rest, of: FeaturedSet = featured) -> float:
            from congeal.alignment.solver import fit

            whole = [aligned, *([fit(aligned.atlas, **given.for_fit)] if len(given) else [])]
            return carried(of, joined(whole)).pck(of.alpha)

        tried: dict[str, float] = {}

        def told(solved: SolvedSet, warps: Any, tried: Any = tried, pck: Any = pck) -> Any:
            aligned = solution(solved, warps)
            tried["refined" if "fitted" in tried else "fitted"] = round(pck(aligned), 1)
            return aligned

        with patch.object(refinement, "solution", told):
            for seed in range(seeds):
                tried.clear()
                begin = time.process_time()
                direct = solve(given, seed=seed)
                alone = time.process_time() - begin
                begin = time.process_time()
                found = refine(arrays_of(given), direct, NeuralMethod(seed=seed), extent=given.extent)
                trained = time.process_time() - begin
                print(
                    f"{name} seed {seed}: direct {pck(direct):.1f} ({alone:.1f} s), "
                    f"kept {found.facts['kept']} {pck(found.aligned):.1f} ({trained:.1f} s), {tried}, "
                    f"explained {found.facts.get('explained')}, "
                    f"{len(found.networks or b'') / 1e6:.2f} MB",
                    flush=True,
                )


def held(names: list[str], extractor: Extractor, seeds: int) -> None:
    for name in names:
        featured = extractor.named(name)
        out = [row for row in range(len(featured)) if row % 3 == 2]
        kept = [row for row in range(len(featured)) if row % 3 != 2][:BUILDERS]
        given, new = featured.given[kept], featured.given[out]
        order = kept + out
        place = {row: number for number, row in enumerate(order)}
        across = [(a, b) for a, b in featured.pairs if (a in out) != (b in out) and {a, b} <= set(order)]
        images = [featured.images[row] for row in order]
        for seed in range(seeds):
            direct = solve(given, seed=seed)
            found = refine(arrays_of(given), direct, NeuralMethod(seed=seed), extent=given.extent)
            assert found.networks is not None
            networks = decode_networks(found.networks).networks
            for way in WAYS:
                begin = time.process_time()
                fitted = fit_new(
                    found.aligned.atlas, arrays_of(new), way, networks=networks, extent=given.extent
                )
                each = (time.process_time() - begin) / len(out)
                maps = maps_of(joined([found.aligned, fitted.aligned]), images)
                pairs = [(place[a], place[b]) for a, b in across]
                told = carry(images, through(maps), pairs)
                print(
                    f"{name}, seed {seed}, {len(out)} of {len(order)} held out, {way}: "
                    f"{told.pck(featured.alpha):.1f}, {each * 1000:.0f} ms, {assured(told)}",
                    flush=True,
                )
            inner = [(place[a], place[b]) for a, b in featured.pairs if {a, b} <= set(kept)]
            members = carry(images, through(maps), inner)
            print(
                f"{name}, seed {seed}, members: {members.pck(featured.alpha):.1f}, {assured(members)}",
                flush=True,
            )


def assured(told: Outcomes) -> str:
    """Expected calibration error of confidence, and how well it tells right from wrong, at a tenth."""
    right = told.correct(0.1)
    error = calibration(told.confidence, right).error
    apart = roc_auc_score(right, told.confidence) if 0 < right.mean() < 1 else float("nan")
    return f"calibration error {error:.3f}, area {apart:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("loop", "start", "held"))
    parser.add_argument("sets", nargs="*", default=[BIRDS[0]])
    parser.add_argument("--network", choices=list(NETWORKS), default="small")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--set", action="append", default=[], help="a setting of the features, NAME=VALUE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    made = Extractor(asked.cache, asked.set)
    if asked.part == "loop":
        loop(asked.sets, made, asked.network, asked.iterations)
    elif asked.part == "start":
        start(asked.sets, made, asked.seeds)
    else:
        held(asked.sets, made, asked.seeds)
