"""The flow: from a place full of photographs to atlases and tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

import congeal_floors.first  # noqa: F401  before any of these
from infra.compute.numeric_libraries import settle_threads

settle_threads()  # before NumPy is imported

from flows import retries  # noqa: E402
from flows.notification import require_url, told  # noqa: E402
from flows.parameters import checked  # noqa: E402
from flows.prepare import Job, prepare  # noqa: E402
from flows.report import sentence  # noqa: E402
from flows.stages import everything  # noqa: E402
from infra.compute.progress import Progress  # noqa: E402

P = ParamSpec("P")
R = TypeVar("R")

# Jobs that were prepared in this process, each for the next flow run on its places: what is listed once need
# not be listed again, and what a run needs beyond its parameters is not kept in Prefect's database.
_handed_over: dict[tuple[str, str], tuple[Job, Progress]] = {}


def hand_over(job: Job, progress: Progress) -> None:
    """Let the next run of the flow in this process take this job instead of preparing its own."""
    _handed_over[job.source.url, job.destination.url] = (job, progress)


def _form(source: str, destination: str, settings: dict[str, Any] | None = None) -> None:
    """What the flow asks for."""


@flow(name="collection", persist_result=False, validate_parameters=False)
def collection(source: Any = None, destination: Any = None, settings: Any = None) -> dict[str, Any]:
    """Everything, from images to published tables; what is done already is not done again.

    source, destination: fsspec URLs or plain paths. settings: by section ({"features": {"image_size": 448}})
    or by dotted name; what is not given comes from CONGEAL_… variables and the defaults. Returns the facts of
    the run (see flows.report). Raises UserError for what cannot be run (see flows.parameters, flows.prepare).
    """
    given = {"source": source, "destination": destination, "settings": settings}
    taken = _taken_over(source, destination)
    if taken is not None:
        job, progress = taken
        with job.survey:  # whoever has handed it over tells of it
            facts = everything(job, progress, step=as_task_run)
    else:
        sound, progress = checked(given), Progress()
        require_url(sound.settings.notify)
        with told(sound.settings, sound.source, sound.destination, progress.note) as outcome:
            job = prepare(*sound)
            with job.survey:
                facts = everything(job, progress, step=as_task_run)
            outcome.facts = facts
    get_run_logger().info(sentence(facts))
    return facts


# Forms and clients are shown that both places must be given, and as text. The flow itself takes anything, so
# that a run without them begins, and fails with a sentence, instead of ending before it began.
collection.__signature__ = inspect.signature(_form, eval_str=True)  # type: ignore[attr-defined]


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
