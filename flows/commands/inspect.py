"""Commands that read what a run has published: `congeal status`, `verify`, `sql`."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.terminal import Config, Destination, Json, Overrides, Version, answers, opened


@answers
def status(
    destination: Destination,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """What is done, missing and failed, per stage."""
    from flows.summary import show_status
    from tasks.status import status as look

    place, _ = opened(destination, config, overrides)
    facts = look(place, version)
    return facts, functools.partial(show_status, facts)


@answers
def verify(
    destination: Destination,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    shallow: Annotated[bool, typer.Option("--shallow", help="Sizes only, no checksums.")] = False,
    as_json: Json = False,
) -> Any:
    """Check every marker, checksum, schema and reference; name each fault; exit 1 if there is one."""
    from tasks.verify import verify as check

    place, _ = opened(destination, config, overrides)
    facts = check(place, deep=not shallow, version=version)

    def show(console: Console) -> None:
        for fault in facts["faults"]:
            console.print(fault, markup=False, highlight=False, soft_wrap=True)
        sound = f"sound: {facts['units']:,} units, {facts['files']:,} files of version {facts['version']}"
        found = f"{len(facts['faults']):,} faults"
        console.print(found if facts["faults"] else sound, highlight=False)

    return facts, show


@answers
def sql(
    destination: Destination,
    query: Annotated[
        str, typer.Argument(help="DuckDB SQL over the tables, views and macros of docs/tables.md.")
    ],
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Query the published tables with DuckDB; nothing can be written."""
    from congeal.collection import Collection
    from flows.summary import show_rows

    place, _ = opened(destination, config, overrides)
    frame = Collection(place, version).query(query)
    columns, rows = frame.column_names, [tuple(row.values()) for row in frame.to_pylist()]
    return {"columns": columns, "rows": rows}, functools.partial(show_rows, columns, rows)
