"""`congeal plan`."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer

from flows.console.terminal import Config, Json, Overrides, answers
from flows.runs.source_options import Columns, Exclude, Include, choosing


@answers
def plan(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [DEST]", help="As for run; of two or more places the last is the destination."
        ),
    ],
    include: Include = None,
    exclude: Exclude = None,
    columns: Columns = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """What a run would take, measured on a sample: sets, hours, memory, bytes, requests and their price."""
    source, destination = (places, None) if len(places) == 1 else (places[:-1], places[-1])
    chosen = [*(overrides or ()), *choosing(source, include, exclude, columns)]
    return planned(source[0], destination, config, chosen)


def planned(source: str, destination: str | None, config: Any, chosen: list[str]) -> Any:
    """The facts of a plan and how they are shown; of `congeal run --dry-run`, too."""
    from infra.compute.numeric_libraries import settle_threads

    settle_threads()  # before NumPy is imported
    from congeal.settings import load_settings
    from flows.console.quiet_libraries import quiet_libraries
    from flows.planning.plan import plan as make
    from flows.planning.shown import show_plan

    quiet_libraries()
    facts = make(source, destination, load_settings(config, chosen))
    return facts, functools.partial(show_plan, facts)
