"""How well a collection is split into sets as it grows, and how fast: embeddings around real photographs'.

    python benchmarks/clusters/clustering_scale.py [--sizes 1000 10000 100000] [--record]

The 960 photographs of caltech_mix (24 kinds, 40 of each) are seen once by DINOv2 ViT-S/14, at 224 pixels a
side. A larger collection is drawn around them: of what a photograph has of its own beside the mean of its
kind half stays (of the variance), and the other half is drawn anew, in all directions as photographs of a
kind differ in them; it has that photograph's label. With near copies nothing is taken away, and noise of half
those deviations is added: whoever comes from the same photograph is then far more alike than the kind is.
Whoever belongs to no set counts as one set more. Up to 10,000 images all pairs are compared as well: the
same with everything in the sample. Each row is a process of its own, with its peak of memory, the
embeddings included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pandas as pd  # noqa: E402

from benchmarks.common.annotated_sets import WEIGHTS, shared  # noqa: E402
from benchmarks.common.destinations import heading  # noqa: E402

RESULTS = HERE / "results" / "clustering_scale.md"
SIZES = (1_000, 10_000, 100_000)
PAIRS = 10_000  # images up to which all pairs are compared, too
Floats = npt.NDArray[np.floating[Any]]


def real(file: Path) -> None:
    """The embeddings of the photographs, float32 [960, 384], and their labels."""
    from congeal.backbones.extractor import BackboneSpec, load_backbone
    from congeal.imaging.decoding import squares

    home = shared() / "data" / "caltech_mix"
    table = pd.read_csv(home / "labels.csv")
    spec = BackboneSpec("vit_small_patch14_dinov2.lvd142m", image_size=224)
    backbone = load_backbone(spec, (shared() / WEIGHTS).read_bytes(), "cpu")
    found = []
    for start in range(0, len(table), 16):
        names = table["file"][start : start + 16]
        pixels = [next(squares((home / "images" / name).read_bytes(), [224])) for name in names]
        found.append(backbone(np.stack(pixels)).embedding.float().numpy())
    _, labels = np.unique(table["label"], return_inverse=True)
    np.savez(file, embeddings=np.concatenate(found), labels=labels)


def drawn(
    embeddings: Floats, labels: npt.NDArray[np.intp], count: int, *, copies: bool
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """So many embeddings around those that there are, and their labels."""
    random = np.random.default_rng(count)
    points = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    means = np.stack([points[labels == label].mean(0) for label in range(labels.max() + 1)])
    own = points - means[labels]
    values, vectors = np.linalg.eigh(np.cov(own.T))
    spread = vectors * np.sqrt(values.clip(0))
    kept, new = (1.0, 0.5) if copies else (0.5**0.5, 0.5**0.5)
    chosen = random.integers(0, len(points), count)
    result = np.empty((count, points.shape[1]), np.float32)
    for start in range(0, count, 10_000):
        some = chosen[start : start + 10_000]
        noise = random.normal(size=(len(some), len(values))) @ spread.T
        result[start : start + 10_000] = means[labels[some]] + kept * own[some] + new * noise
    return result, labels[chosen]


def measure(file: Path, count: int, sample: int, copies: int) -> dict[str, Any]:
    """One row, in this process. count 0: the photographs themselves."""
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    from congeal.clustering.agglomerative import cluster

    known = np.load(file)
    embeddings, labels = known["embeddings"], known["labels"]
    if count:
        embeddings, labels = drawn(embeddings, labels, count, copies=bool(copies))
    begin, spent = time.perf_counter(), time.process_time()
    found = cluster(embeddings, sample=sample).labels
    seconds, processor = time.perf_counter() - begin, time.process_time() - spent
    table = pd.crosstab(found, labels)
    return {
        "sets": int(found.max()) + 1, "outliers": int((found < 0).sum()), "images": len(labels),
        "v": v_measure_score(labels, found), "ari": adjusted_rand_score(labels, found),
        "purity": float(table.max(axis=1).sum() / len(labels)),
        "seconds": seconds, "processor": processor,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def main() -> None:
    """Each size, and all pairs beside it; the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--embeddings", type=Path, help="kept from another time, or to be kept")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--one", nargs=3, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.embeddings, *asked.one)))
        return
    lines = [
        "| images | drawn | compared | sets | in none | V-measure | ARI | purity | s | processor's s | MiB |",
        f"| ---: | --- |{' ---: |' * 9}",
    ]
    with tempfile.TemporaryDirectory(prefix="congeal-clustering-") as folder:
        file = asked.embeddings or Path(folder) / "embeddings.npz"
        if not file.exists():
            real(file)
        cases = [(0, 5_000, 0)]
        cases += [(size, 5_000, copies) for copies in (0, 1) for size in asked.sizes]
        cases += [(size, 10**9, 0) for size in asked.sizes if 5_000 < size <= PAIRS]
        for size, sample, copies in cases:
            one = [str(value) for value in (size, sample, copies)]
            command = [sys.executable, __file__, "--embeddings", str(file), "--one", *one]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            pairs = "all pairs" if found["images"] <= sample else f"{sample:,}"
            scores = " | ".join(f"{found[name]:.3f}" for name in ("v", "ari", "purity"))
            around = "themselves" if not size else "near copies" if copies else "half their own"
            lines.append(
                f"| {found['images']:,} | {around} | {pairs} | {found['sets']} | {found['outliers']:,} | "
                f"{scores} | {found['seconds']:.1f} | {found['processor']:.1f} | {found['memory']:,.0f} |"
            )
            print(lines[-1], flush=True)
    said = (__doc__ or "").split("\n\n", 2)[2].strip()
    text = [*heading("Sets of collections of any size", "clusters/clustering_scale.py"), said, "", *lines]
    if asked.record:
        RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
