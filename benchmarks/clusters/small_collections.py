"""How many sets come out of few images of few kinds: collections drawn from labelled images.

    python benchmarks/clusters/small_collections.py [--backbone embedded|dinov2] [--set section.key=value …]
        [--cache FOLDER] [--record]

Collections of two to eight kinds with 12 or 20 images of each, from the samples and from caltech_mix, split
by their embeddings; and each set of one kind that there is, on its own. By the rule of today, and by the one
before it, which never split a set of fewer than 30 images. With --record, results go to
benchmarks/results/small_collections.md.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import v_measure_score

from benchmarks.common.annotated_sets import ROOT, shared
from benchmarks.common.recording import tell
from benchmarks.common.set_features import KINDS, Extractor
from congeal.clustering.agglomerative import TODAY, Rule, cluster

RESULTS = ROOT / "benchmarks" / "results" / "small_collections.md"
BEFORE = Rule(halve_small=False, thin_out=False, keep_few=False)
BIRDS = 30  # images of each kind of bird
OF_ONE = (
    "paper/butterflies", "paper/mug_set", "paper/mix_cats", "paper/teapots", "paper/mix_animals1",
    "paper/video_dog",
    *(f"pf_willow/{name}" for name in ("duck_S", "car_S", "motorbike_S", "winebottle_woC", "winebottle_wC")),
    "pets/Abyssinian", "pets/Bengal", "pets/american_bulldog", "dogs/all_dogs", "behaviour/openfield_mouse",
    "paper/videoseq_dog", "davis/blackswan", "flywings/drosophilid_wing",
)  # fmt: skip
DRAWS = ((2, 12, 30), (3, 12, 30), (4, 12, 30), (3, 20, 30), (5, 20, 20), (8, 20, 15), (8, 12, 15))
MOST = 60  # combinations of the samples' kinds
Rows = npt.NDArray[np.intp]


class Seen(NamedTuple):
    """embeddings: float32 [n, d]; labels: of each."""

    embeddings: npt.NDArray[np.float32]
    labels: npt.NDArray[np.str_]


def seen(extractor: Extractor, files: list[tuple[Path, str]], kept: Path | None) -> Seen:
    """Of image files with their labels; kept: a file that spares a second computation."""
    if kept is not None and kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            return Seen(stored["embeddings"], stored["labels"])
    parts = []
    for start in range(0, len(files), 8):
        pixels = np.stack([extractor.read(path) for path, _ in files[start : start + 8]])
        parts.append(extractor.backbone(pixels).embedding.float().cpu().numpy())
    found = Seen(np.concatenate(parts), np.array([label for _, label in files]))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **found._asdict())
    return found


def files_of(folder: Path, label: str) -> list[tuple[Path, str]]:
    return [(path, label) for path in sorted((folder / "images").iterdir())]


def of_samples(labels: npt.NDArray[np.str_]) -> Iterator[tuple[str, Rows]]:
    """All pairs and triples of the samples' kinds, and some of the fours."""
    random = np.random.default_rng(0)
    for count in (2, 3, 4):
        groups = list(itertools.combinations(np.unique(labels).tolist(), count))
        for at in random.permutation(len(groups))[:MOST]:
            yield f"samples, {count} kinds, all images", np.flatnonzero(np.isin(labels, groups[at]))


def drawn(labels: npt.NDArray[np.str_]) -> Iterator[tuple[str, Rows]]:
    """So many draws of kinds and of their images."""
    kinds = np.unique(labels)
    for count, each, draws in DRAWS:
        for draw in range(draws):
            random = np.random.default_rng(draw)
            chosen = random.choice(kinds, count, replace=False)
            rows = [random.choice(np.flatnonzero(labels == kind), each, replace=False) for kind in chosen]
            yield f"caltech_mix, {count} kinds, {each} images each", np.sort(np.concatenate(rows))


def measured(title: str, cases: list[tuple[Seen, Rows]]) -> str:
    """The row of collections of one make."""
    kinds = [len(np.unique(one.labels[rows])) for one, rows in cases]
    cells = [f"{len(cases)}"]
    for rule in (BEFORE, TODAY):
        found = [cluster(one.embeddings[rows], rule=rule).labels for one, rows in cases]
        sets = np.array([labels.max() + 1 for labels in found])
        exact, over = (sets == kinds).sum(), (sets > kinds).sum()
        quality = [
            v_measure_score(one.labels[rows], is_in) for (one, rows), is_in in zip(cases, found, strict=True)
        ]
        cells += [f"{exact}", f"{over}", f"{np.mean(quality):.3f}"]
    return f"| {title} | {' | '.join(cells)} |"


def of_one_kind(one: Seen) -> Iterator[str]:
    """The sets of one kind that are split, by either rule; three seeds."""
    for label in dict.fromkeys(one.labels.tolist()):
        rows = one.embeddings[one.labels == label]
        before, after = (
            [int(cluster(rows, seed=seed, rule=rule).labels.max()) + 1 for seed in range(3)]
            for rule in (BEFORE, TODAY)
        )
        if max(before + after) > 1:
            yield f"| {label} | {len(rows)} | {before} | {after} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backbone", nargs="*", default=["embedded", "dinov2"], choices=["embedded", "dinov2"]
    )
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="section.key=value")
    parser.add_argument("--cache", type=Path, help="where embeddings are kept for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    data = shared() / "data"
    table = pd.read_csv(data / "caltech_mix" / "labels.csv")
    mixed = [(data / "caltech_mix" / "images" / file, label) for file, label in table.itertuples(index=False)]
    birds = sorted(path.relative_to(data).as_posix() for path in (data / "cub").iterdir())
    listed = {
        "samples": [one for kind in KINDS for one in files_of(ROOT / kind, kind)],
        "caltech_mix": mixed,
        "alone": [
            *(one for name in OF_ONE for one in files_of(data / name, name)),
            *(one for name in birds for one in files_of(data / name, name)[:BIRDS]),
        ],
    }
    lines: list[str] = []
    for backbone in asked.backbone:
        extractor = Extractor(asked=asked.settings, embedded=backbone == "embedded")
        samples, caltech, alone = (
            seen(extractor, files, asked.cache and asked.cache / f"{title}-{backbone}.npz")
            for title, files in listed.items()
        )
        cases: dict[str, list[tuple[Seen, Rows]]] = {}
        for one, groups in ((samples, of_samples(samples.labels)), (caltech, drawn(caltech.labels))):
            for title, rows in groups:
                cases.setdefault(title, []).append((one, rows))
        lines += [
            f"## {backbone}", "",
            "| collections | how many | before: as many sets as kinds | more | V-measure "
            "| now: as many sets as kinds | more | V-measure |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]  # fmt: skip
        for title, of_a_make in cases.items():
            lines.append(measured(title, of_a_make))
            print(lines[-1], flush=True)
        lines += [
            "",
            "| of one kind, but in several sets | images | before | now |",
            "| --- | ---: | --- | --- |",
        ]
        for one in (samples, alone, caltech):
            lines += list(of_one_kind(one))
        lines.append("")
    said = (
        "Sets that come out of few images of few kinds, by the rule before (no set of fewer than 30 images "
        "is split) and now. Of one kind: how many sets with three seeds; those that are one set by both are "
        f"left out. Settings: {asked.settings}."
    )
    tell(
        "Small collections",
        "clusters/small_collections.py",
        said,
        lines[:-1],
        RESULTS,
        asked.record,
        " ".join(asked.backbone),
    )


if __name__ == "__main__":
    main()
