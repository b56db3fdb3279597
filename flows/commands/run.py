"""`congeal run`."""

from __future__ import annotations

import functools
import os
from typing import Annotated, Any

import typer

from flows.terminal import Config, Json, Overrides, Quiet, answers


@answers
def run(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The photographs: a folder, or an fsspec URL.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="Where the results go: a folder or URL.")
    ],
    config: Config = None,
    overrides: Overrides = None,
    engine: Annotated[str | None, typer.Option("--engine", help="auto, dask or loop.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Any:
    """Everything, from images to tables. What is done already is not done again; a killed run is taken up."""
    from congeal.settings import load_settings, recorded
    from flows.prepare import prepare
    from flows.report import nothing_to_do
    from flows.summary import show_run

    chosen = [*(overrides or ()), *([f"engine.kind={engine}"] if engine else ())]
    job = prepare(source, destination, load_settings(config, chosen))
    if job.current is not None:
        job.survey.close()
        facts = nothing_to_do(job)
    else:
        quiet_prefect()
        from flows.collection import collection, hand_over
        from infra.compute.progress import Progress

        hand_over(job, Progress(quiet=quiet))
        facts = collection(job.source.url, job.destination.url, recorded(job.settings))
    return facts, functools.partial(show_run, facts)


def quiet_prefect() -> None:
    """Settle how Prefect behaves on a command line, where the user has not; before it is imported."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The first start makes a database; two busy cores need longer than the default.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "HF_HUB_VERBOSITY": "critical",
        "DASK_LOGGING__DISTRIBUTED": "error",
        # Its sampling of other threads' frames can hang a worker for good on Python 3.11 (cpython#106883).
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
