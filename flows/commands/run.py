"""`congeal run`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.source_options import Columns, Exclude, Include, Sources, choosing
from flows.terminal import Config, Json, Overrides, Quiet, answers

if TYPE_CHECKING:
    from flows.prepare import Job
    from infra.compute.progress import Progress


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

        return planned(source[0], destination, config, chosen)
    from infra.compute.numeric_libraries import settle_threads

    settle_threads()  # before NumPy is imported
    from congeal.settings import load_settings
    from flows.notification import require_url, told
    from flows.prepare import prepare
    from flows.report import nothing_to_do
    from flows.site import after_run
    from flows.summary import show_run
    from infra.compute.progress import Progress

    settings = load_settings(config, chosen)
    require_url(settings.notify)
    progress = Progress(quiet=quiet, as_json=settings.log.format == "json")
    with told(settings, source[0], destination, progress.note) as outcome:
        job = prepare(source[0], destination, settings)
        if job.current is not None:
            job.survey.close()
            facts = nothing_to_do(job) | after_run(job, progress)
        else:
            facts = _done(job, progress)
        outcome.facts = facts
    return facts, functools.partial(show_run, facts)


def _done(job: Job, progress: Progress) -> dict[str, Any]:
    """The facts of the run: of the flow, where Prefect's settings name a server, else of its stages here."""
    from flows.prefect_profile import server_named
    from flows.quiet_libraries import quiet_libraries, quiet_prefect

    quiet_libraries()
    quiet_prefect()
    if server_named():
        from congeal.settings import recorded
        from flows.collection import collection, hand_over

        hand_over(job, progress)
        return collection(job.source.url, job.destination.url, recorded(job.settings))
    from flows.retries import retrying
    from flows.stages import everything

    with job.survey:
        return everything(job, progress, step=retrying(progress.note))
