"""Commands that read what a run has published: `congeal status`, `verify`, `sql`, `pictures`."""

from __future__ import annotations

import functools
import warnings
from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, Version, answers, opened


@answers
def status(
    destination: Destination,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """What is done, missing and failed, per stage."""
    from flows.console.summary import show_status
    from tasks.maintenance.status import status as look

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
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="Look whether anything is left of what was forgotten.")
    ] = False,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="TEXT", help="With --forgotten: an id or path that must not be left."),
    ] = None,
    as_json: Json = False,
) -> Any:
    """Check every marker, checksum, schema and reference; name each fault; exit 1 if there is one."""
    from tasks.maintenance.verify import verify as check

    place, _ = opened(destination, config, overrides)
    facts = check(place, deep=not shallow, version=version)
    if forgotten:
        from tasks.maintenance.forget import what_is_left

        facts["faults"] = [*facts["faults"], *what_is_left(place, names or ())]

    def show(console: Console) -> None:
        for fault in (*facts["faults"], *facts["notes"]):
            console.print(fault, markup=False, highlight=False, soft_wrap=True)
        units, files = counted(facts["units"], "unit"), counted(facts["files"], "file")
        sound = f"sound: {units}, {files} of version {facts['version']}"
        found = counted(len(facts["faults"]), "fault")
        console.print(found if facts["faults"] else sound, highlight=False)

    return facts, show


@answers
def sql(
    destination: Destination,
    query: Annotated[
        str, typer.Argument(help="DuckDB SQL over the tables, views and macros of docs/tables.md.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the answer: .csv, .parquet or .json, a path or URL."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    # What it was called before the other commands' name was taken.
    force: Annotated[bool, typer.Option("--force", hidden=True)] = False,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Query the published tables with DuckDB; nothing can be written to them."""
    from congeal.results.collection import Collection
    from flows.console import answers as shown
    from infra.storage.location import Location

    if out is not None:
        shown.require_format(out)
    place, settings = opened(destination, config, overrides)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        table = Collection(place, version, settings.storage).query(query)
    for one in told:
        Console(stderr=True, soft_wrap=True).print(str(one.message), markup=False, highlight=False)
    if out is not None:
        file = Location.parse(out, settings.storage)
        shown.write(table, file, overwrite=overwrite or force)
        written = {"rows": table.num_rows, "columns": table.column_names, "out": file.url}
        return written, functools.partial(_written, written)
    rows = shown.rows_of(table)
    facts = {"columns": table.column_names, "rows": [shown.plain(row) for row in rows] if as_json else rows}
    return facts, functools.partial(shown.show, table.column_names, rows)


def _written(facts: dict[str, Any], console: Console) -> None:
    count = f"{facts['rows']:,} row{'' if facts['rows'] == 1 else 's'}"
    console.print(
        f"{count} written to {facts['out'].removeprefix('file://')}",
        highlight=False, soft_wrap=True, markup=False,
    )  # fmt: skip


@answers
def pictures(
    destination: Destination,
    cluster: Annotated[
        str | None, typer.Argument(metavar="[CLUSTER]", help="A cluster id; absent: all of them.")
    ] = None,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Where the pictures of the clusters are: a path or URL a line."""
    from congeal.results.collection import Collection
    from infra.threads import in_threads

    place, settings = opened(destination, config, overrides)
    collection = Collection(place, version, settings.storage)
    names = [cluster] if cluster is not None else collection.clusters["cluster_id"].tolist()
    found = [
        {"cluster_id": name, "pictures": where}
        for name, where in zip(names, in_threads(collection.pictures, names), strict=True)
    ]

    def show(console: Console) -> None:
        for one in found:
            if console.is_terminal and cluster is None:
                console.print(f"{one['cluster_id']}:", highlight=False, soft_wrap=True, markup=False)
            for where in one["pictures"].values():
                console.print(where, highlight=False, soft_wrap=True, markup=False)

    return {"clusters": found}, show
