"""Shots: where a video is cut, by how suddenly what its frames show changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.own_fields import own_fields
from tasks.catalog.own_unit import OwnFile
from tasks.clusters.cluster_roles import Floats

if TYPE_CHECKING:
    import duckdb

LEAST = 0.08  # 1 - cosine of two frames in a row below which nothing is a cut
TIMES = 4.0  # a cut is so many times the usual change around it
AROUND = 6  # frames on either side that say what is usual


def shots_of(
    connection: duckdb.DuckDBPyConnection,
    own: Sequence[OwnFile],
    embeddings: Floats,
    kept: Sequence[int] | None,
) -> list[str | None]:
    """The shot of each image, "clip number"; None for images that are no frames.

    connection: with the tables `usable` and `named` (image_id, uri). embeddings: float32 [n, d], unit length,
    of the images at positions `kept` of `usable`; None: of all.
    """
    found: list[tuple[int, str, int]] = []
    for file in own:
        if file.origin != "frames":
            continue
        with file.place.open() as opened, pq.ParquetFile(opened) as table:
            clip, frame, _ = (field.name for field in own_fields(table.schema_arrow))
            read = table.read(columns=[file.key, clip, frame])
        connection.register(
            "frames_of", pa.table({"key": read[file.key], "clip": read[clip], "frame": read[frame]})
        )
        found = connection.sql(
            "SELECT u.position, f.clip, f.frame FROM usable u JOIN named n ON n.image_id = u.image_id "
            "AND n.status = 'ok' JOIN frames_of f ON f.key = n.uri ORDER BY f.clip, f.frame"
        ).fetchall()
        connection.unregister("frames_of")
    place = None if kept is None else {position: at for at, position in enumerate(kept)}
    shots: list[str | None] = [None] * len(embeddings)
    clips: dict[str, list[int]] = defaultdict(list)
    for position, clip, _ in found:
        at = position if place is None else place.get(position)
        if at is not None:
            clips[clip].append(at)
    for clip, positions in clips.items():
        for at, number in zip(positions, shot_numbers(embeddings[positions]), strict=True):
            shots[at] = f"{clip} {number:06d}"
    return shots


def shot_numbers(embeddings: Floats) -> list[int]:
    """The number of the shot of each frame of a video, from 0.

    embeddings: float32 [n, d], unit length, in order. A cut is where two frames in a row differ by much, and
    by much more than others around them do; a flash differs from both sides and is none. As the adaptive
    detector of PySceneDetect has it, on what the backbone sees instead of on colours.
    """
    if len(embeddings) < 2:
        return [0] * len(embeddings)
    change = 1 - np.einsum("nd,nd->n", embeddings[1:], embeddings[:-1])
    return [0, *(int(number) for number in np.cumsum(_cuts(change, embeddings)))]


def _cuts(change: npt.NDArray[np.floating], embeddings: Floats) -> npt.NDArray[np.bool_]:
    n = len(change)
    cuts = np.zeros(n, bool)
    for at in np.flatnonzero(change > LEAST).tolist():
        others = np.r_[change[max(at - AROUND, 0) : at], change[at + 1 : at + 1 + AROUND]]
        usual = float(np.median(others)) if len(others) else 0.0
        # Across a flash the frames on either side are alike.
        before, after = embeddings[max(at - 1, 0)], embeddings[min(at + 2, n)]
        lasting = 1 - float(before @ after) > LEAST and 1 - float(embeddings[at] @ after) > LEAST
        lasting = lasting and 1 - float(before @ embeddings[at + 1]) > LEAST
        cuts[at] = lasting and change[at] > TIMES * usual
    return cuts
