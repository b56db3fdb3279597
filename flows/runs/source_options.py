"""What a command is told of its source: places, patterns, a table of further columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="The photographs: a folder, an fsspec URL, or a list of them (.csv, .parquet); several in turn.",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include", metavar="PATTERN", help='Only images whose path matches, as "birds/**"; may be repeated.'
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="No image whose path matches; may be repeated."),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", metavar="FILE", help="A CSV or Parquet table of further columns, by uri or image_id."
    ),
]


def choosing(
    sources: Sequence[str],
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    columns: str | None,
) -> list[str]:
    """The same in the form of `--set`; what was not given is not set."""
    lists = {"also": list(sources[1:]), "include": list(include or ()), "exclude": list(exclude or ())}
    chosen = [f"source.{name}={json.dumps(value)}" for name, value in lists.items() if value]
    return [*chosen, *([f"source.columns={columns}"] if columns else ())]
