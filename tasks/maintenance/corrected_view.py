"""The images and clusters of a version as corrections leave them: by that the next one is checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.dataset as pads

from congeal.results.published_version import Published
from congeal.results.schema.rows import ImageRow
from infra.errors import UserError
from tasks.corrections.corrections import Corrections, Recorded


class KnownImages:
    """The images and clusters of the current version."""

    def __init__(self, published: Published) -> None:
        self.published = published
        columns = ["image_id", "uri", "cluster_id", "features_unit", "features_row"]
        table = published.tables.dataset("images").to_table(
            columns=columns, filter=pads.field("status") == "ok"
        )
        lists = [table[name].to_pylist() for name in columns]
        self.uri: dict[str, str] = dict(zip(lists[0], lists[1], strict=True))
        self.cluster: dict[str, str | None] = dict(zip(lists[0], lists[2], strict=True))
        self.place = {
            image: (unit, row) for image, unit, row in zip(lists[0], lists[3], lists[4], strict=True)
        }
        rows = published.tables.dataset("clusters").to_table(columns=["cluster_id", "medoid_image_id"])
        self.medoids: dict[str, str] = dict(
            zip(rows["cluster_id"].to_pylist(), rows["medoid_image_id"].to_pylist(), strict=True)
        )
        self.applied = published.publication.counts.get("corrections", 0)

    @cached_property
    def mean(self) -> Any:
        """float32 [d], of the embeddings of at most 2000 images."""
        ids = sorted(self.place)
        chosen = ids[:: max(1, len(ids) // 2000)]
        return self.embeddings(chosen).mean(0)

    def embeddings(self, images: Sequence[str]) -> Any:
        """float32 [n, d], of length 1, of the images."""
        from congeal.results.similarity_search import embeddings_of

        found = embeddings_of(self.published, [self.place[image] for image in images])
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


class View:
    """What holds once the corrections that wait for the next run are applied."""

    def __init__(self, known: KnownImages, corrections: Corrections) -> None:
        self.known = known
        self.corrections = corrections
        self.pending = [one for one in corrections.in_force if one.number > known.applied]
        self.cluster = dict(known.cluster)
        for one in reversed(corrections.every):
            if one.number <= known.applied and corrections.undone.get(one.number, 0) > known.applied:
                self.cluster.update(
                    {image: pair[0] for image, pair in one.correction.images.items() if image in self.cluster}
                )
        self.waits: dict[str, Recorded] = {}  # image to the pending correction that places it
        for one in self.pending:
            for image, (_, after) in one.correction.images.items():
                if image in self.cluster:
                    self.cluster[image] = after
                    self.waits[image] = one
        self.excluded = {
            image: one
            for one in corrections.in_force
            if one.correction.kind == "exclude"
            for image in one.correction.images
        }

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """Clusters, by id, and their images."""
        found: dict[str, list[str]] = {}
        for image, cluster in self.cluster.items():
            if cluster is not None:
                found.setdefault(cluster, []).append(image)
        return {cluster: sorted(images) for cluster, images in found.items()}

    def find_cluster(self, name: str) -> str:
        """The id of a cluster by its id or its name; UserError if there is none."""
        if name in self.members:
            return name
        named = [cluster for cluster, text in self.corrections.names.items() if text == name]
        if named and named[0] in self.members:
            return named[0]
        wanted = named[0] if named else name
        for one in reversed(self.corrections.in_force):
            if one.correction.kind == "merge" and wanted in one.correction.clusters[1:]:
                raise UserError(
                    f"The cluster {name!r} was merged into {one.correction.clusters[0]} by correction "
                    f"{one.number}: name that one, or undo {one.number}."
                )
        raise UserError(
            f"There is no cluster {name!r} in {self.known.published.place}: see the table clusters."
        )

    def find_images(self, images: Sequence[str]) -> list[str]:
        """Ids of images by their ids or paths, each once; UserError if one is not there or not sound."""
        rows: list[ImageRow] = self.known.published.find_all(images)
        ids = []
        for image, row in zip(images, rows, strict=True):
            if row["status"] == "failed" or row["image_id"] is None:
                raise UserError(f"The image {image!r} could not be used: {row['error']}.")
            ids.append(row["image_id"])
        return list(dict.fromkeys(ids))

    def place(self, images: Iterable[str], after: str | None) -> dict[str, tuple[str | None, str | None]]:
        """Images to where they are and are to be; UserError where that contradicts what waits or holds."""
        found = {}
        for image in images:
            uri = self.known.uri[image]
            waiting = self.waits.get(image)
            if waiting is not None and self.cluster[image] != after:
                raise UserError(
                    f"Correction {waiting.number} ({waiting.correction.kind}), which waits for the next run, "
                    f"says otherwise of the image {uri!r}: undo {waiting.number} first, or run."
                )
            held = self.excluded.get(image)
            if held is not None:
                raise UserError(
                    f"The image {uri!r} is excluded by correction {held.number}: undo {held.number} first."
                )
            found[image] = (self.cluster[image], after)
        return found

    def medoid(self, cluster: str) -> str:
        """An image by which a cluster is found again."""
        medoid = self.known.medoids.get(cluster)
        return medoid if medoid in self.members[cluster] else self.members[cluster][0]


def alike(view: View, one: str, other: str) -> float:
    """Cosine of the centres of two clusters, seen from the middle of the collection."""
    centres = [view.known.embeddings(view.members[name]).mean(0) - view.known.mean for name in (one, other)]
    lengths = [float(np.linalg.norm(centre)) for centre in centres]
    return float(centres[0] @ centres[1] / max(lengths[0] * lengths[1], 1e-12))


def smaller_half(view: View, members: Sequence[str]) -> list[str]:
    """The images of the smaller of the two halves of a cluster."""
    from congeal.clustering.set_halves import halves_of

    if len(members) < 4:
        raise UserError("A cluster of fewer than four images has no halves: name those that are to leave it.")
    halves, _ = halves_of(view.known.embeddings(members).astype(np.float64), 0)
    smaller = int(np.count_nonzero(halves) * 2 <= len(halves))
    return [image for image, half in zip(members, halves.tolist(), strict=True) if half == smaller]
