"""The embedded backbone beside its teacher and a plain network of its size: matching, sorting, speed, size.

    python benchmarks/accuracy/backbones.py [SET …] [--of TITLE …] [--record]

Nearest-neighbour PCK on annotated sets, each by its usual protocol; V-measure on a labelled mixture of kinds,
split as `congeal run` splits it and by k-means with the true number of kinds; images a second of the backbone
alone on the CPU, all backbones in turn in one process, one thread, at the same grid of tokens. Scores that
were measured for the same weights before are taken from benchmarks/results/backbones.json, speeds never.
With --record, results go to benchmarks/results/backbones.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import v_measure_score

from benchmarks.common.annotated_sets import ROOT, SETS, WEIGHTS, load, shared
from congeal.backbones import embedded
from congeal.backbones.extractor import Backbone, BackboneSpec, load_backbone
from congeal.clustering.agglomerative import cluster
from congeal.evaluation.pck import nearest_neighbour, pck
from congeal.imaging.decoding import decode, square

RESULTS = ROOT / "benchmarks" / "results" / "backbones.md"
PLAIN = "weights/deit_tiny_patch16_224.fb_in1k.fp16.safetensors"
MIXTURE = "data/caltech_mix"
SCORES = RESULTS.with_suffix(".json")
BATCH = 4  # as in a run
ROUNDS = 8


@dataclass(frozen=True)
class Candidate:
    """A backbone of the table, and the bytes of its weights."""

    title: str
    backbone: Backbone
    size: int


def candidates(titles: list[str]) -> list[Candidate]:
    places = {
        "teacher": ("dinov2_vits14", (shared() / WEIGHTS).read_bytes),
        "embedded": (embedded.NAME, embedded.weights),
        "DeiT-Tiny": ("deit_tiny_patch16_224", (shared() / PLAIN).read_bytes),
    }
    found = []
    for title in titles:
        name, read = places[title]
        data = read()
        found.append(Candidate(title, load_backbone(BackboneSpec(name), data, "cpu"), len(data)))
    return found


def pixels(paths: list[Path], size: int) -> np.ndarray:
    return np.stack([square(decode(path.read_bytes(), target=size), size) for path in paths])


def matched(backbone: Backbone, name: str) -> float:
    """PCK of nearest neighbours on one of SETS."""
    with tempfile.TemporaryDirectory() as scratch:
        shown = load(name, Path(scratch))
        paths = [shown.folder / file for file in shown.names]
        features = np.concatenate(
            [
                backbone(pixels(paths[first : first + BATCH], backbone.image_size)).features.numpy()
                for first in range(0, len(paths), BATCH)
            ]
        )
    return pck(shown.images, nearest_neighbour(shown.images, features, backbone.extent), shown.alpha)


def sorted_out(backbone: Backbone) -> tuple[float, float, int]:
    """V-measure as `congeal run` splits the mixture and by k-means, and how many sets the run would find."""
    labels = pd.read_csv(shared() / MIXTURE / "labels.csv")
    paths = [shared() / MIXTURE / "images" / name for name in labels.iloc[:, 0]]
    embedding = np.concatenate(
        [
            backbone(pixels(paths[first : first + BATCH], backbone.image_size)).embedding.numpy()
            for first in range(0, len(paths), BATCH)
        ]
    )
    truth = labels.iloc[:, 1]
    found = cluster(embedding).labels
    known = KMeans(truth.nunique(), n_init=10, random_state=0).fit_predict(embedding)
    sets = len(set(found[found >= 0].tolist()))
    return float(v_measure_score(truth, found)), float(v_measure_score(truth, known)), sets


def speeds(backbones: list[Backbone]) -> list[float]:
    """Images a second of processor time, the median of some rounds in each of which everyone has a turn."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    shown = [
        generator.integers(0, 256, (BATCH, one.image_size, one.image_size, 3), np.uint8) for one in backbones
    ]
    taken: list[list[float]] = [[] for _ in backbones]
    for turn in range(ROUNDS + 1):
        for index, (backbone, images) in enumerate(zip(backbones, shown, strict=True)):
            begin = time.process_time()
            backbone(images)
            if turn:  # the first warms up
                taken[index].append(time.process_time() - begin)
    return [BATCH / statistics.median(seconds) for seconds in taken]


class Scores:
    """What was measured, by the fingerprint of the weights."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = json.loads(SCORES.read_text()) if SCORES.exists() else {}

    def of(self, backbone: Backbone, what: str, measure: Callable[[], Any]) -> Any:
        mine = self._known.setdefault(backbone.fingerprint, {"backbone": backbone.name})
        if what not in mine:
            mine[what] = measure()
            SCORES.parent.mkdir(exist_ok=True)
            SCORES.write_text(json.dumps(self._known, indent=1, sort_keys=True) + "\n")
        return mine[what]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=[name for name in SETS if name != "flywings"])
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--of", nargs="*", default=["teacher", "embedded", "DeiT-Tiny"], metavar="TITLE")
    asked = parser.parse_args()
    rivals, known = candidates(asked.of), Scores()
    lines = ["| | " + " | ".join(rival.title for rival in rivals) + " |", "| --- |" + " ---: |" * len(rivals)]

    def say(title: str, values: list[str]) -> None:
        lines.append(f"| {title} | " + " | ".join(values) + " |")
        print(lines[-1], flush=True)

    print("\n".join(lines), flush=True)
    rates = speeds([rival.backbone for rival in rivals])
    say("images/s, one thread", [f"{rate:.2f}" for rate in rates])
    say("times the teacher's", [f"{rate / rates[0]:.2f}" for rate in rates])
    say("weights, MB", [f"{rival.size / 1e6:.1f}" for rival in rivals])
    scores = []
    for name in asked.sets:
        scores.append(
            [known.of(one.backbone, name, functools.partial(matched, one.backbone, name)) for one in rivals]
        )
        say(f"{name}, NN PCK", [f"{score:.1f}" for score in scores[-1]])
    if scores:
        means = np.mean(scores, axis=0)
        say("mean NN PCK", [f"{mean:.1f}" for mean in means])
        say("share of the teacher's", [f"{100 * mean / means[0]:.0f} %" for mean in means])
    split = [known.of(one.backbone, "mixture", functools.partial(sorted_out, one.backbone)) for one in rivals]
    say("mixture, V-measure of a run", [f"{run:.3f} ({sets} sets)" for run, _, sets in split])
    say("mixture, V-measure of k-means, true k", [f"{right:.3f}" for _, right, _ in split])
    if asked.record:
        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "precision": rivals[0].backbone.precision,
            "grid": rivals[0].backbone.grid,
            "teacher": Path(WEIGHTS).stem,
            "DeiT-Tiny": Path(PLAIN).stem,
            "embedded": embedded.card()["student"]["sha256"],
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(
            "# The embedded backbone, its teacher, and a plain network of its size\n\n"
            f"`python benchmarks/accuracy/backbones.py --record`, {json.dumps(about)}\n\n"
            + "\n".join(lines)
            + "\n"
        )


if __name__ == "__main__":
    main()
