"""The flow: from a place full of photographs to atlases and tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field

import congeal_floors.first  # noqa: F401  before any of these
from infra.compute.numeric_libraries import settle_threads

settle_threads()  # before NumPy is imported

from flows.deployments.destination_slots import alone_on  # noqa: E402
from flows.deployments.run_progress import RunProgress  # noqa: E402
from flows.deployments.settings_form import EMPTY, SettingsForm  # noqa: E402
from flows.runs import retries  # noqa: E402
from flows.runs.job_engine import BesideWorkers  # noqa: E402
from flows.runs.notification import require_url, told  # noqa: E402
from flows.runs.parameters import Parameters, checked  # noqa: E402
from flows.runs.prepare import Job, prepare  # noqa: E402
from flows.runs.report import sentence  # noqa: E402
from flows.runs.stages import everything  # noqa: E402
from infra.compute.progress import Progress  # noqa: E402

P = ParamSpec("P")
R = TypeVar("R")

# Jobs that were prepared in this process, each for the next flow run on its places: what is listed once need
# not be listed again, and what a run needs beyond its parameters is not kept in Prefect's database.
_handed_over: dict[tuple[str, str], tuple[Job, Progress]] = {}


def hand_over(job: Job, progress: Progress) -> None:
    """Let the next run of the flow in this process take this job instead of preparing its own."""
    _handed_over[job.source.url, job.destination.url] = (job, progress)


# Prefect shows the parameters' names as their titles, and what the flows' docstrings say of them.
Source = Annotated[str, Field(examples=["s3://bucket/photographs"])]
Destination = Annotated[str, Field(examples=["s3://bucket/atlases"])]


def _form(source: Source, destination: Destination, settings: SettingsForm = EMPTY) -> None:
    """What the flow asks for."""


@flow(name="collection", persist_result=False, validate_parameters=False)
def collection(source: Any = None, destination: Any = None, settings: Any = None) -> dict[str, Any]:
    """Everything, from images to published tables; what is done already is not done again.

    Returns the facts of the run (see flows.runs.report). Raises UserError for what cannot be run (see
    flows.runs.parameters, flows.runs.prepare).

    Args:
        source: Where the photographs are: a folder, an fsspec URL, or a list of them.
        destination: Where the results go: a folder or an fsspec URL.
        settings: By section, {"features": {"image_size": 448}}, or by dotted name. What is left out comes
            from the CONGEAL_… variables of the worker and then from the defaults.
    """
    given = {"source": source, "destination": destination, "settings": settings}
    taken = _taken_over(source, destination)
    if taken is not None:
        job, progress = taken
        with job.survey:  # whoever has handed it over tells of it
            facts = everything(job, progress, step=as_task_run)
            shown(job, facts)
        get_run_logger().info(sentence(facts))
        return facts
    return run_on(checked(given))


def run_on(sound: Parameters) -> dict[str, Any]:
    """A run inside of a flow, alone on its destination; its facts, which the page of the run shows, too."""
    settings = sound.settings
    progress = RunProgress(as_json=settings.log.format == "json")
    require_url(settings.notify)
    with (
        alone_on(sound.destination),
        told(settings, sound.source, sound.destination, progress.note) as outcome,
    ):
        job = prepare(*sound, computing=BesideWorkers())
        if job.line is None:  # which would be told on the way
            progress.event("backbone", _why(job), backbone=job.settings.features.backbone)
        with job.survey:
            facts = everything(job, progress, step=as_task_run)
            shown(job, facts)
        outcome.facts = facts
    get_run_logger().info(sentence(facts))
    return facts


def shown(job: Job, facts: dict[str, Any]) -> None:
    """Leave what the run did on its page. Whatever goes wrong with that, the run is done."""
    from congeal.results.collection import Collection
    from flows.deployments.artifacts import write_artifacts
    from flows.runs.findings import failures

    try:
        collection = Collection(job.destination, facts["version"], job.settings.storage)
        write_artifacts(facts, failures(facts, collection), collection, _why(job), job.settings.report.url)
    except Exception as error:  # whatever it is, what the run is for is published
        get_run_logger().warning(f"the page of this run lacks its tables ({type(error).__name__}: {error})")


# Forms and clients are shown that both places must be given, and as text. The flow itself takes anything, so
# that a run without them begins, and fails with a sentence, instead of ending before it began.
collection.__signature__ = inspect.signature(_form, eval_str=True)  # type: ignore[attr-defined]


def _why(job: Job) -> str:
    """Which backbone a job uses, and for what reason."""
    return job.line or f"backbone: {job.settings.features.backbone}, as the settings ask for it"


def _taken_over(source: object, destination: object) -> tuple[Job, Progress] | None:
    if isinstance(source, str) and isinstance(destination, str):
        return _handed_over.pop((source, destination), None)
    return None


def as_task_run(name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run one stage as a Prefect task run.

    Its arguments do not go through Prefect, which would look into every one of them. What the user has to
    cure is not tried again; a fault of the machinery is, and only what is not yet committed is done anew.
    """

    @task(
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(retries.DELAYS),
        retry_delay_seconds=retries.DELAYS,
        retry_condition_fn=_worth_another_try,
    )
    def body() -> R:
        # Prefect keeps an error to the end of the process; what its frames hold must go before that.
        return retries.released(function, *args, **kwargs)

    return body()


def _worth_another_try(_task: Any, _run: Any, state: Any) -> bool:
    return retries.worth_another_try(state.result(raise_on_failure=False))
