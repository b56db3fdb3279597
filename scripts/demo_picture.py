"""One picture of what joint alignment does: members of a cluster, their average before it, and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from congeal.imaging.decoding import square
from congeal.imaging.visualization import average_image
from congeal.results.collection import Collection

SIDE, GAP, SHOWN, ROWS = 176, 8, 4, 4
PAPER = 255

Pixels = npt.NDArray[np.uint8]


def draw(collection: Collection, folder: Path) -> Path:
    """Write picture.png, a row for each of the clusters with the smallest residual; return where it is."""
    clusters = collection.clusters[collection.clusters["status"] == "ok"]
    best = clusters.sort_values(["residual", "cluster_id"])["cluster_id"].head(ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "picture.png"
    Image.fromarray(np.concatenate([_row(collection, cluster) for cluster in best])).save(path)
    return path


def _row(collection: Collection, cluster: str) -> Pixels:
    """Four members, the average of all as they are, and in the atlas' place."""
    misfits = collection.misfits(cluster)
    fitting = [row["uri"] for row in collection.members(cluster) if row["image_id"] not in misfits]
    images = np.stack([square(collection.image(uri), SIDE) for uri in fitting])
    maps = [collection.maps(uri) for uri in fitting]
    fields = np.stack([one.frame.to_frame(one.forward) for one in maps])
    after = average_image(images, fields, np.ones(len(images), np.float32))
    before = images.mean(0).round().astype(np.uint8)
    shown = images[:: max(len(images) // SHOWN, 1)][:SHOWN]
    blank = np.full((SIDE, SIDE, 3), PAPER, np.uint8)
    cells = [*shown, *[blank] * (SHOWN - len(shown)), before, after]
    room = ((0, GAP), (0, GAP), (0, 0))
    return np.concatenate([np.pad(cell, room, constant_values=PAPER) for cell in cells], axis=1)
