"""What the owner of a collection says of the images of a cluster, word for word, for the panel of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from congeal.report.data_scripts import script
from infra.ledger.commits import Marker
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import Unit, Work

FILE = "own.js"
LONGEST = 500  # characters of a value that are shown


@dataclass(frozen=True, slots=True)
class OwnerValuesPayload:
    """A cluster, the names of the columns, and packed rows: an image's id, then a text or None a column."""

    cluster_id: str
    columns: tuple[str, ...]
    rows: bytes


def rows_of(members: Sequence[Sequence[Any]]) -> list[list[str | None]]:
    """A row an image of which anything is said. members: an id and a value of each column."""
    said = ([image, *map(_said, values)] for image, *values in members)
    return [row for row in said if any(one is not None for one in row[1:])]


def payload(cluster_id: str, names: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> OwnerValuesPayload:
    """Of the rows of a cluster."""
    return OwnerValuesPayload(cluster_id, names, pack_rows(rows))


def make_owner_values(unit: Unit[OwnerValuesPayload]) -> Marker:
    """The script with the values of a cluster's images, by id."""
    work, asked = Work(unit), unit.payload
    images = {image: values for image, *values in unpack_rows(asked.rows)}
    content = {"cluster": asked.cluster_id, "columns": list(asked.columns), "images": images}
    return work.commit({FILE: script(f"own/{asked.cluster_id}", content)}, {})


def _said(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
