"""What the demo prints of a run: clusters, faults, accuracy, lines of the index, points carried over."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import congeal
from congeal.evaluation.datasets import load
from congeal.evaluation.pck import Annotated, Doubles, carry, nearest_neighbour, unsure
from congeal.evaluation.protocols import named, pairs_of, views
from congeal.results.collection import Collection
from congeal.settings import load_settings
from congeal.transfer.points import transfer
from tasks.atlases.cluster_members import Member, read_features

console = Console(highlight=False)


def show(destination: str, settings: list[str], truth: Path | None) -> Collection | None:
    """Print what was found, and with annotated sets below `truth` how right it is; None if nothing was."""
    storage = load_settings(None, settings).storage.model_dump()
    collection = congeal.open(destination, **storage)
    images, clusters = collection.images, collection.clusters
    for row in images[images["status"] != "ok"].itertuples():
        console.print(f"{row.status}: {row.uri} {row.error if isinstance(row.error, str) else ''}")
    loose = images[(images["status"] == "ok") & images["cluster_id"].isna()]
    console.print(f"in no cluster: {', '.join(loose['uri']) or 'none'}")
    if clusters.empty:
        return None
    _clusters(collection)
    if truth is not None:
        _accuracy(collection, truth)
    _index(collection)
    return collection


def _clusters(collection: Collection) -> None:
    images = collection.images
    table = Table("cluster", "images", "outliers", "most from", "deformation", "seconds", title="Clusters")
    for row in collection.clusters.sort_values("cluster_id").itertuples():
        folders = images.loc[images["cluster_id"] == row.cluster_id, "uri"].map(lambda u: u.split("/")[0])
        most = folders.value_counts()
        atlas = collection.atlas(row.cluster_id)
        table.add_row(
            row.cluster_id,
            str(row.n_images),
            str(row.n_outliers),
            f"{most.index[0]} ({most.iloc[0]})",
            atlas.deformation,
            f"{row.seconds:.1f}",
        )
    console.print(table)


def _accuracy(collection: Collection, truth: Path) -> None:
    """PCK through the published maps, and of nearest neighbours on the same features."""
    table = Table("kind", "congeal", "nearest neighbour", title="Keypoints within 10 % of the thing, %")
    scores = []
    for folder in sorted(path.parent for path in truth.glob("*/keypoints.json")):
        scores.append(_measured(collection, folder))
        table.add_row(folder.name, *(f"{score:.1f}" for score in scores[-1]))
    table.add_section()
    table.add_row("mean", *(f"{score:.1f}" for score in np.mean(scores, axis=0)))
    console.print(table)


def _measured(collection: Collection, folder: Path) -> tuple[float, float]:
    """Both ways' PCK over all ordered pairs of a set; a pair that lies in two clusters is a miss for us."""
    annotated = load(folder)
    protocol = named(annotated.protocol)
    shown = views(annotated, protocol)
    table = collection.images.set_index("uri")
    rows = table.loc[[f"{folder.name}/images/{view.name}" for view in shown]]
    annotations: list[Annotated] = [view.measured for view in shown]
    pairs = pairs_of(annotated, protocol, shown)
    maps = {
        position: collection.maps(uri)
        for position, (uri, cluster) in enumerate(rows["cluster_id"].items())
        if pd.notna(cluster)
    }

    def through(source: int, target: int, points: Doubles) -> tuple[Doubles, Doubles]:
        if rows["cluster_id"].iloc[source] != rows["cluster_id"].iloc[target] or source not in maps:
            return np.full_like(points, np.nan), np.zeros(len(points))
        frame = maps[source].frame
        inside = np.clip(points, -0.5, [frame.width - 0.5, frame.height - 0.5])
        moved = transfer(inside, maps[source], maps[target])
        return moved.xy, moved.confidence

    columns = ["image_id", "features_unit", "features_row", "width", "height"]
    members = [
        Member(image_id, "member", unit, int(row), int(width), int(height))
        for image_id, unit, row, width, height in rows[columns].itertuples(index=False)
    ]
    dense = read_features(collection.place, members)
    beside = unsure(nearest_neighbour(annotations, dense.features, dense.extent))
    ours, theirs = (carry(annotations, way, pairs, None).pck(protocol.alpha) for way in (through, beside))
    return ours, theirs


def _index(collection: Collection) -> None:
    first = collection.clusters.sort_values("cluster_id")["cluster_id"].iloc[0]
    rows = collection.correspondences(cluster=first)
    console.print("\nThree lines of the correspondence index")
    best = rows.sort_values(["confidence", "image_id", "point_id"], ascending=[False, True, True])
    console.print(best.head(3).round(3).to_string(index=False))
    uris = collection.images.set_index("image_id")["uri"]
    source = uris[best["image_id"].iloc[0]]
    points = best.loc[best["image_id"] == best["image_id"].iloc[0], ["x", "y"]].head(2).to_numpy()
    others = [uris[image] for image in rows["image_id"].unique() if uris[image] != source]
    if others:
        target = sorted(others, key=PurePosixPath)[0]
        console.print(f"\nTwo points of {source}, carried to {target}")
        console.print(collection.transfer(source, points, target).round(2).to_string(index=False))
