"""What the table of images says of some images in one column, by which they can be told apart as groups."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads

from congeal.results.published_tables import PublishedTables
from congeal.results.schema.date_limits import within
from infra.errors import UserError


def values_of(tables: PublishedTables, column: str, images: Sequence[str]) -> tuple[Any, ...]:
    """The value of a column for every image, named by path or id; None where there is none.

    Raises UserError, naming the nearest one, if there is no such column.
    """
    dataset = tables.dataset("images")
    named = next((name for name in dataset.schema.names if name.lower() == column.lower()), None)
    if named is None:
        near = difflib.get_close_matches(column, dataset.schema.names, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(dataset.schema.names)}."
        raise UserError(f"The table images has no column {column}: {hint}")
    names = pa.array(sorted(set(images)), pa.string())
    asked = dict.fromkeys(("uri", "image_id", named))
    rows = within(
        dataset.to_table(
            columns=list(asked), filter=pads.field("uri").isin(names) | pads.field("image_id").isin(names)
        )
    ).to_pylist()
    by_name = {row[key]: row[named] for key in ("image_id", "uri") for row in rows}
    return tuple(by_name.get(image) for image in images)
