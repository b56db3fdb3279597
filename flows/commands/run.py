"""`congeal run`."""

from __future__ import annotations

import functools
import gc
from typing import Annotated, Any

import typer

from flows.console.terminal import Config, Json, Overrides, Quiet, answers
from flows.runs.source_options import Columns, Exclude, Include, Sources, choosing


@answers
def run(
    source: Sources,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="Where the results go: a folder or URL.")
    ],
    include: Include = None,
    exclude: Exclude = None,
    columns: Columns = None,
    config: Config = None,
    overrides: Overrides = None,
    engine: Annotated[str | None, typer.Option("--engine", help="auto, dask or loop.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do nothing, and say what it would take, as congeal plan.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Any:
    """Everything, from images to tables. What is done already is not done again; a killed run is taken up."""
    chosen = [*(overrides or ()), *([f"engine.kind={engine}"] if engine else ())]
    chosen += choosing(source, include, exclude, columns)
    if dry_run:
        from flows.commands.plan import planned

        gc.enable()
        return planned(source[0], destination, config, chosen)
    from infra.compute.numeric_libraries import settle_threads

    settle_threads()  # before NumPy is imported
    from congeal.settings import load_settings
    from flows.console.summary import show_run
    from flows.whole_run import whole_run

    gc.enable()  # see congeal_floors.main
    facts = whole_run(source[0], destination, load_settings(config, chosen), quiet=quiet)
    return facts, functools.partial(show_run, facts)
