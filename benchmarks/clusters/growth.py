"""What it costs, and what it is worth, to add images to a collection that is done.

    python benchmarks/clusters/growth.py [--sets SET …] [--first N] [--more N] [--set section.key=value …]
                                         [--record]

Two parts. A mixed collection with a label for every image: a run on some, then on some more; how long each
takes, how many newcomers land in the cluster of their label (the label that most of its first images have),
how many belong nowhere. Annotated sets as one cluster: a run on half of the images, then on all; PCK of pairs
among those that built the atlas' side, between them and newcomers, and among newcomers, beside the same pairs
when everything is aligned anew at once, and when the grown cluster is solved anew in its old frame; and how
far that moves the points of the index. With --record, results go to benchmarks/results/growth.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import congeal
from benchmarks.common.annotated_sets import ROOT, WEIGHTS, folder_of, load, shared
from benchmarks.common.destinations import about, heading, run
from congeal.evaluation.pck import Outcomes
from flows.evaluation.annotated_run import ask
from flows.evaluation.measurement import measure
from infra.storage.location import Location

RESULTS = ROOT / "benchmarks" / "results" / "growth.md"
SETS = ("flywings", "cub/001", "cub/002", "pf_willow/car_S", "pf_willow/motorbike_S")
MIXED = "caltech_mix"
OUTLIER = "none"


def timed(source: Path, destination: Path, settings: list[str]) -> float:
    """Seconds of `congeal run` in a process of its own."""
    begin = time.perf_counter()
    run(source, destination, settings)
    return time.perf_counter() - begin


def add(folder: Path, names: Sequence[str], to: Path) -> None:
    """Copy files."""
    to.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(folder / name, to / name)


def mixed(first: int, more: int, settings: list[str], work: Path) -> list[str]:
    """The mixed collection; lines of Markdown."""
    data = shared() / "data" / MIXED
    labels = pd.read_csv(data / "labels.csv").set_index("file")["label"]
    names = list(np.random.default_rng(0).permutation(labels.index.to_numpy(str)))
    source, destination = work / "source", work / "destination"
    add(data / "images", names[:first], source)
    cold = timed(source, destination, settings)
    before = congeal.open(destination)
    add(data / "images", names[first : first + more], source)
    warm = timed(source, destination, settings)
    again = timed(source, destination, settings)
    after = congeal.open(destination)
    was = before.images.set_index("uri")["cluster_id"].fillna(OUTLIER)
    now = after.images.set_index("uri")["cluster_id"].fillna(OUTLIER)
    kept = int((was != now[was.index]).sum())
    inside = was[was != OUTLIER]
    majority = labels[inside.index].groupby(inside).agg(lambda found: found.mode()[0])
    came = now.drop(was.index)
    lands = np.array([
        "none" if cluster == OUTLIER
        else "founded" if cluster not in majority.index
        else "right" if majority[cluster] == labels[name]
        else "wrong"
        for name, cluster in came.items()
    ])  # fmt: skip
    counts = {kind: int((lands == kind).sum()) for kind in ("right", "wrong", "none", "founded")}
    fit = after.alignments[after.alignments["role"] == "newcomer"]
    return [
        f"## {MIXED}: {first} images, then {more} more",
        "",
        "| | seconds |",
        "| --- | ---: |",
        f"| `congeal run` on {first} images | {cold:.0f} |",
        f"| again, with {more} more | {warm:.0f} |",
        f"| again, with nothing new | {again:.1f} |",
        "",
        f"{before.publication.counts['clusters']} clusters of {labels.nunique()} labels, "
        f"{before.publication.counts['outliers']} outliers; of the first {first} images, {kept} changed "
        f"their cluster when {more} more came.",
        "",
        f"| newcomers | {len(came)} |",
        "| --- | ---: |",
        f"| in a cluster of their label | {counts['right']} ({counts['right'] / len(came):.1%}) |",
        f"| in a cluster of another label | {counts['wrong']} |",
        f"| in none | {counts['none']} |",
        f"| in a cluster that was founded | {counts['founded']} |",
        "",
        f"Of the {len(fit)} that were fitted to an atlas, {int(fit['outlier'].sum())} do not fit it. "
        f"Clusters flagged as drifting: {_drifting(after)}. {_spread(after)}",
        "",
    ]  # fmt: skip


def _drifting(collection: Any) -> str:
    from tasks.clusters.drift import drifting

    flagged = drifting(collection.clusters.to_dict("records"))
    return ", ".join(f"{row['cluster_id']} ({row['drift']:.2f})" for row in flagged) or "none"


def _spread(collection: Any) -> str:
    drift = collection.clusters["drift"].dropna()
    if drift.empty:
        return ""
    low, middle, high = np.quantile(drift, [0.1, 0.5, 0.9])
    return f"`drift` of the clusters: median {middle:.2f}, from {low:.2f} to {high:.2f} (deciles)."


def annotated(name: str, settings: list[str], work: Path) -> str:
    """The row of an annotated set."""
    asked = ask(folder_of(name), None, None)
    shown = load(name, work)
    names = list(np.random.default_rng(0).permutation(shown.names))
    half = len(names) // 2
    source, grown, once = work / "source", work / "grown", work / "once"
    settings = ["clusters.method=single", *settings]
    add(shown.folder, names[:half], source)
    run(source, grown, settings)
    add(shown.folder, names[half:], source)
    seconds = timed(source, grown, settings)
    newcomers = set(names[half:])
    cells = [f"| {name} | {half} + {len(names) - half} | {seconds:.0f} |"]
    before = congeal.open(grown)
    cells += _shares(asked, grown, newcomers)
    cells.append(f" {before.clusters['drift'].iloc[0]:.2f} |")
    shutil.copytree(grown, once)
    run(source, once, [*settings, "clusters.growth=anew"])
    cells += _shares(asked, once, newcomers)
    run(source, grown, [*settings, "atlases.resolve=all"])
    cells += _shares(asked, grown, newcomers)
    cells.append(f" {_moved(before, congeal.open(grown)):.2%} |")
    return "".join(cells)


def _shares(asked: Any, destination: Path, newcomers: set[str]) -> list[str]:
    """PCK of the three kinds of pairs."""
    found = measure(asked, Location.parse(destination), 0, {})
    assert found.method is not None
    late = np.array([view.name in newcomers for view in found.used])
    outcomes = found.method.outcomes
    source, target = late[outcomes.source], late[outcomes.target]
    kinds = (~source & ~target, source != target, source & target)
    return [f" {_part(outcomes, kind).pck(asked.alphas[0]):.1f} |" for kind in kinds]


def _part(outcomes: Outcomes, rows: np.ndarray) -> Outcomes:
    return Outcomes(*(getattr(outcomes, name)[rows] for name in Outcomes.__dataclass_fields__))


def _moved(before: Any, after: Any) -> float:
    """How far points that are seen moved in their image, as a share of its longer side: the median."""
    keys = ["cluster_id", "image_id", "point_id"]
    both = before.correspondences().merge(after.correspondences(), on=keys, suffixes=("", "_after"))
    both = both.merge(before.images[["image_id", "width", "height"]], on="image_id")
    both = both[both["visible"]]
    far = np.hypot(both["x_after"] - both["x"], both["y_after"] - both["y"])
    return float(np.median(far / both[["width", "height"]].max(axis=1)))


HEADINGS = (
    "| set | images | s | grown: first × first | first × new | new × new | drift "
    "| at once: first × first | first × new | new × new "
    "| solved anew: first × first | first × new | new × new | points moved |\n"
    "| --- | --- | ---: |" + " ---: |" * 11
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--first", type=int, default=800, help="0: without the mixed collection")
    parser.add_argument("--more", type=int, default=160)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="section.key=value")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    head = about() | {"backbone": Path(WEIGHTS).stem, "settings": asked.settings}
    lines = heading("Growth", "clusters/growth.py", head)
    with tempfile.TemporaryDirectory() as scratch:
        if asked.first:
            lines += mixed(asked.first, asked.more, asked.settings, Path(scratch) / "mixed")
            print("\n".join(lines), flush=True)
        table = ["## Annotated sets, half of the images, then the other half", "", HEADINGS]
        for name in asked.sets:
            table.append(annotated(name, asked.settings, Path(scratch) / name.replace("/", "_")))
            print(table[-1], flush=True)
            shutil.rmtree(Path(scratch) / name.replace("/", "_"))
    if asked.record:
        RESULTS.write_text("\n".join([*lines, *table]) + "\n")


if __name__ == "__main__":
    main()
