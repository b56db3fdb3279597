"""A plan: the sample is run, what is done already is looked up, and both are carried over to the whole."""

from __future__ import annotations

import os
import time
from typing import Any

from congeal.settings import Settings
from flows.planning.done_already import done_already
from flows.planning.forecast import forecast
from flows.planning.machine import Loading
from flows.planning.sample_run import sampled
from flows.prepare import prepare
from infra.compute.progress import Progress
from infra.compute.temporary_folders import temporary_folder

LEAST = 16  # images of a sample; of a small collection it is a third
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
        f"This machine was busy with other work (load {load:.0f} of {cores} cores): the times are those of a "
        "machine as busy, and less on a quiet one."
    ]


def _second_looks(settings: Settings) -> list[str]:
    """What is to be said of work that a sample does not tell of: of few images more need it than of many."""
    if settings.alignment.second_look == "off":
        return []
    return [
        "Second looks at things that are small in their images come on top: they are not in the forecast."
    ]


def plan(source: str, destination: str | None, settings: Settings, progress: Progress) -> dict[str, Any]:
    """The facts of a plan, see `flows.planning.forecast.forecast`; the destination stays as it is.

    destination None: somewhere new. Raises UserError as a run would.
    """
    begin, loading = time.perf_counter(), Loading()
    with temporary_folder("plan") as folder:
        there = destination or str(folder / "out")
        job = prepare(source, there, settings, writing=False, comparing=False, loading=loading)
        with job.survey:
            if job.current is not None:
                facts = {"up_to_date": True, "source": job.source.url, "destination": job.destination.url}
                facts |= {"version": job.current.number, "images": job.survey.images}
                return facts | {"plan_seconds": round(time.perf_counter() - begin, 3)}
            most = min(settings.plan.sample, max(LEAST, job.survey.images // 3))
            with sampled(job, most, progress, loading) as sample:
                named = None if destination is None else job.destination
                done = done_already(job) if destination is not None else None
                found = forecast(job, sample, done, named, EMBEDDING)
                found["notes"] += [*_second_looks(job.settings), *_busy()]
    return {"up_to_date": False, **found, "plan_seconds": round(time.perf_counter() - begin, 3)}
