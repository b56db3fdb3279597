"""`congeal report`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, Quiet, answers, opened


@answers
def report(
    destination: Destination,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Where the report goes; absent: DEST/report.")
    ] = None,
    annotations: Annotated[
        str | None,
        typer.Option(
            "--annotations", metavar="FILE", help="Marks to show on all members: COCO (.json) or TPS (.tps)."
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on this machine alone, until interrupted.")
    ] = False,
    port: Annotated[int, typer.Option("--port", help="Of the server; 0: any that is free.")] = 0,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Any:
    """(Re)build the report on what is published: a page that opens from disk or straight from a bucket."""
    from flows.runs.site import alone
    from infra.compute.progress import Progress
    from infra.storage.location import Location

    place, settings = opened(destination, config, overrides)
    folder = None if out is None else Location.parse(out, settings.storage)
    if serve:
        from flows.console.report_server import root_of

        root_of(place, folder)  # before the pages are made for nothing
    facts = alone(place, settings, folder, annotations, Progress(quiet=quiet))
    if serve:
        from flows.console.report_server import serve as until_interrupted

        until_interrupted(place, folder, port)

    def show(console: Console) -> None:
        where, seconds = facts["report"].removeprefix("file://"), facts["seconds"]
        parts = f"{facts['units_made']:,} of {facts['units']:,} parts made"
        made = "up to date" if facts["up_to_date"] else parts
        holds = f"version {facts['version']}, {counted(facts['images'], 'image')}"
        line = f"{where}: {holds} ({made}, {seconds:.1f} s)"
        for text in (line, *facts["notes"]):
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    return facts, show
