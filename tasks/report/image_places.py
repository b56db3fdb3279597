"""The unit that places all images in a plane by their embeddings; those placed before keep their places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from congeal.report.embedding_map import FITTED, FittedMap, fit, normalised, place, to_unit_square
from congeal.results.published_tables import PublishedTables
from congeal.results.stored.image_squares import SquareSource
from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.ledger.commits import Marker, digest_of_list
from infra.ledger.publications import published
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution.duckdb_workspace import rows
from tasks.execution.stage_runner import Unit, Work
from tasks.report.published_rows import PublishedRows

TABLE = "places.parquet"
ANEW = 4  # a map that was fitted on a quarter of the images or less says little of the others
ALONE = 3_000  # images up to which one thread fits: the same bytes on every machine
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), metadata={"description": "the image"}),
        pa.field("x", pa.float32(), metadata={"description": "place, 0 to 1, right"}),
        pa.field("y", pa.float32(), metadata={"description": "place, 0 to 1, down"}),
        pa.field("fitted", pa.bool_(), metadata={"description": "true: fitted; false: placed among those"}),
    ],
    metadata={
        b"congeal.table": b"places",
        b"congeal.description": b"Where the map of the report shows every image.",
        b"congeal.sorted_by": b"image_id",
        b"congeal.schema_version": b"1",
    },
)


@dataclass(frozen=True, slots=True)
class PlacesPayload:
    """All images of a version. base: an earlier table of places; None: there is none. method: its."""

    destination: Location
    version: str
    seed: int
    base: Location | None
    method: str


class _Image(NamedTuple):
    image_id: str
    unit: str
    row: int


def images_digest(published: PublishedRows) -> str:
    """32 hex digits of which images there are, and where their embeddings lie."""
    found = rows(
        published.connection,
        "SELECT image_id, features_unit, features_row FROM images "
        "WHERE status = 'ok' AND features_unit IS NOT NULL ORDER BY ALL",
    )
    return digest_of_list(found)


def make_places(unit: Unit[PlacesPayload]) -> Marker:
    """The table of places."""
    work, asked = Work(unit), unit.payload
    publication = published(asked.destination, asked.version)
    if publication is None:
        raise UserError(f"Nothing is published in {asked.destination}: `congeal run` does that.")
    with work.watch.phase("places"):
        images = _images(PublishedTables(asked.destination, publication))
        source = SquareSource(asked.destination, None, {}, 1)
        earlier = {} if asked.base is None else _earlier(asked.base)
        table, facts = _placed(images, source, earlier, asked, unit.threads)
    return work.commit({TABLE: _encoded(table)}, facts)


def _images(tables: PublishedTables) -> list[_Image]:
    wanted = (pads.field("status") == "ok") & pads.field("features_unit").is_valid()
    columns = ["image_id", "features_unit", "features_row"]
    found = tables.dataset("images").to_table(columns=columns, filter=wanted)
    pairs = zip(*(found[name].to_pylist() for name in columns), strict=True)
    return sorted(_Image(*row) for row in pairs)


def _placed(
    images: Sequence[_Image],
    source: SquareSource,
    earlier: dict[str, tuple[float, float, bool]],
    asked: PlacesPayload,
    threads: int,
) -> tuple[dict[str, tuple[float, float, bool]], dict[str, Any]]:
    """By image: x, y, whether it was fitted."""
    present = {one.image_id for one in images}
    kept = {name: at for name, at in earlier.items() if name in present}
    anchors = sorted(name for name, (_, _, fitted) in kept.items() if fitted)
    note = None
    if not anchors or (len(images) > ANEW * len(anchors) and len(anchors) < FITTED):
        if anchors:
            note = (
                f"The map was fitted anew: the earlier one was fitted on {len(anchors):,} of now "
                f"{counted(len(images), 'image')}."
            )
        kept, anchors = {}, _sample([one.image_id for one in images], asked.seed)
        vectors = _vectors(images, source, anchors)
        anchors = sorted(vectors)
        if not anchors:
            return {}, {"method": "", "fitted": 0, "placed": 0, "note": note}
        one_by_one = 1 if len(anchors) <= ALONE else threads
        solved = fit(np.stack([vectors[name] for name in anchors]), asked.seed, one_by_one)
        # Now, and never again: whoever is placed later lies among these.
        model = replace(solved, places=to_unit_square(solved.places))
        kept = {name: (float(x), float(y), True) for name, (x, y) in zip(anchors, model.places, strict=True)}
    else:
        vectors = _vectors(images, source, anchors)
        anchors = sorted(vectors)
        places = np.array([kept[name][:2] for name in anchors], np.float64)
        unit = normalised(np.stack([vectors[name] for name in anchors]))
        model = FittedMap(unit, places, asked.method)
    rest = [one for one in images if one.image_id not in kept]
    placed = 0
    for names, found in _stream(rest, source):
        for name, (x, y) in zip(names, place(model, found), strict=True):
            kept[name] = (float(x), float(y), False)
            placed += 1
    return kept, {"method": model.method, "fitted": len(anchors), "placed": placed, "note": note}


def _sample(names: Sequence[str], seed: int) -> list[str]:
    if len(names) <= FITTED:
        return list(names)
    chosen = np.random.default_rng(seed).permutation(len(names))[:FITTED]
    return [names[at] for at in np.sort(chosen)]


def _vectors(
    images: Sequence[_Image], source: SquareSource, names: Sequence[str]
) -> dict[str, npt.NDArray[np.float32]]:
    wanted = set(names)
    some = [one for one in images if one.image_id in wanted]
    return {
        name: vector
        for names_of, vectors in _stream(some, source)
        for name, vector in zip(names_of, vectors, strict=True)
    }


def _stream(
    images: Sequence[_Image], source: SquareSource
) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """Ids and embeddings, a unit of features at a time; those without are left out."""
    by_unit: dict[str, list[_Image]] = {}
    for one in images:
        by_unit.setdefault(one.unit, []).append(one)
    found = in_threads(source.embeddings, list(by_unit), ahead=16)
    for members, vectors in zip(by_unit.values(), found, strict=True):
        if vectors is None:
            continue
        chosen = vectors[[one.row for one in members]]
        sound = np.flatnonzero(np.isfinite(chosen).all(1))
        if len(sound):
            yield [members[at].image_id for at in sound], chosen[sound]


def _encoded(placed: dict[str, tuple[float, float, bool]]) -> bytes:
    from congeal.results.schema.parquet_files import encode_table

    names = sorted(placed)
    columns: dict[str, Any] = {"image_id": names}
    columns |= {name: [placed[one][at] for one in names] for at, name in enumerate(("x", "y", "fitted"))}
    return encode_table(pa.table(columns, schema=SCHEMA), SCHEMA)


def _earlier(place: Location) -> dict[str, tuple[float, float, bool]]:
    found = _read(place / TABLE)
    columns = (found[name].to_pylist() for name in ("image_id", "x", "y", "fitted"))
    return {name: (x, y, fitted) for name, x, y, fitted in zip(*columns, strict=True)}


def _read(place: Location) -> pa.Table:
    from congeal.results.schema.parquet_files import dataset

    return dataset([place], SCHEMA).to_table()
