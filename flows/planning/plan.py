"""A plan: the sample is run, what is done already is looked up, and both are carried over to the whole."""

from __future__ import annotations

import os
import time
from typing import Any

from congeal.settings import Settings
from congeal_floors.plurals import counted
from flows.planning.forecast import forecast
from flows.planning.sample_process import SampleProcess
from flows.runs.prepare import Job, prepare
from infra.compute.numeric_libraries import settle_arenas
from infra.compute.temporary_folders import temporary_folder
from infra.storage.location import Location

BUSY = 1.5  # load a core from which other work slows a sample down
EMBEDDING = 1_024  # numbers of an image's embedding, at most, of the backbones that there are


def _busy() -> list[str]:
    """What is to be said where the machine had other work while the sample ran."""
    if not hasattr(os, "getloadavg"):
        return []
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= BUSY * cores:
        return []
    return [
        f"This machine was busy with other work (load {load:.0f} of {counted(cores, 'core')}): the "
        "times are those of a "
        "machine as busy, and less on a quiet one."
    ]


def _second_looks(settings: Settings) -> list[str]:
    """What is to be said of work that a sample does not tell of: of few images more need it than of many."""
    if settings.alignment.second_look == "off":
        return []
    return [
        "Second looks at things that are small in their images come on top: they are not in the forecast."
    ]


def plan(source: str, destination: str | None, settings: Settings) -> dict[str, Any]:
    """The facts of a plan, see `flows.planning.forecast.forecast`; the destination stays as it is.

    destination None: somewhere new. Raises UserError as a run would.
    """
    settle_arenas()
    begin = time.perf_counter()
    with temporary_folder("plan") as folder:
        there = destination or str(folder / "out")
        with SampleProcess(folder, Location.parse(there, settings.storage)) as process:
            job = prepare(source, there, settings, writing=False, comparing=False, computing=process)
            with job.survey:
                facts = _facts(job, process, named=destination is not None)
    return facts | {"plan_seconds": round(time.perf_counter() - begin, 3)}


def _facts(job: Job, process: SampleProcess, *, named: bool) -> dict[str, Any]:
    """named: whether somebody has named the destination."""
    if job.current is not None:
        facts = {"up_to_date": True, "source": job.source.url, "destination": job.destination.url}
        return facts | {"version": job.current.number, "images": job.survey.images}
    assert job.weights is not None  # noqa: S101 - there is something to do
    sample = process.sampled(job.survey, job.settings)
    scope = process.feature_scope(job.settings, job.weights) if named else None
    process.close()
    done = None
    if scope is not None:
        from flows.planning.done_already import done_already  # and more of pandas than a plan has room for

        done = done_already(job, scope)
    found = forecast(job, sample, done, job.destination if named else None, EMBEDDING)
    found["notes"] += [*_second_looks(job.settings), *_busy()]
    return {"up_to_date": False, **found}
