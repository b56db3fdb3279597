"""The stages in order, with or without Prefect around each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from flows.runs.job_engine import job_engine, kept_near
from flows.runs.prepare import Job
from flows.runs.report import finished, nothing_to_do
from flows.runs.site import after_run
from infra.compute.engine import LoopEngine
from infra.compute.numeric_libraries import release_memory
from infra.compute.progress import Progress
from infra.ledger.run_lock import RUN, locked
from infra.storage.usage import meter
from tasks.atlases import atlases_stage
from tasks.catalog import catalog_stage
from tasks.catalog.skipped_files import keep
from tasks.clusters import clusters_stage
from tasks.execution.cost import Budget, keep_cost, run_cost
from tasks.execution.stage_runner import Run
from tasks.features import features_stage
from tasks.index import index_stage
from tasks.publication import publish

P = ParamSpec("P")
R = TypeVar("R")


class Step(Protocol):
    """Calls a stage's function with its arguments, and says so where that is of interest."""

    def __call__(self, name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        ...


def plainly(name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The step of a run without Prefect: a call."""
    return function(*args, **kwargs)


def everything(job: Job, progress: Progress, step: Step = plainly) -> dict[str, Any]:
    """Do what a job asks for, from images to a publication; the facts of the run (see flows.runs.report)."""
    weights = job.weights
    if weights is None:
        keep(job.destination, job.survey.counted.facts())
        return nothing_to_do(job) | after_run(job, progress)
    begin = time.perf_counter()
    with (
        locked(job.destination, RUN, alone=job.settings.storage.single_writer) as lock,
        progress,
        kept_near(job),
        job_engine(job.settings.engine, job.survey.images, job.destination, progress) as engine,
    ):
        started = time.perf_counter() - begin
        if job.line is not None:
            progress.note(job.line)
        budget = Budget(job.settings.limits, job.begin)
        run = Run(job.source, job.destination, job.settings, engine, progress, job.corrections, budget)
        before = meter.total

        catalogued = step("catalog", catalog_stage.stage, run, job.survey)
        featured = step("features", features_stage.stage, run, catalogued, weights)
        clustered = step("clusters", clusters_stage.stage, run, catalogued, featured)
        aligned = step("atlases", atlases_stage.stage, run, catalogued, featured, clustered)
        indexed = step("index", index_stage.stage, run, catalogued, featured, clustered, aligned)

        outcomes = (catalogued, featured, clustered, aligned, indexed)
        results = {outcome.result.stage: outcome.result for outcome in outcomes}
        counts = indexed.counts | {"clusters": clustered.clusters}
        if job.corrections.last:
            counts["corrections"] = job.corrections.last
        if failed := sum(unit.failed for unit in aligned.result.units):
            counts["failed_clusters"] = failed
        lock.require_held()
        keep(job.destination, job.survey.counted.facts())
        published = step("publish", publish.stage, run, job.key, weights, results, counts)
        job.survey.rest()  # the report has tables of its own
        release_memory()
        site = after_run(job, progress, engine)
        facts = finished(job, published, results=results, workers=engine.workers, engine_start=started)
        cost = run_cost(
            job.settings.plan,
            results.values(),
            meter.total - before,
            facts["seconds"],
            in_process=isinstance(engine, LoopEngine),
        )
        keep_cost(job.destination, cost)
        facts |= {"cost": cost}
        _tell(job, facts, progress)
    return facts | site


def _tell(job: Job, facts: dict[str, Any], progress: Progress) -> None:
    """An event for whatever failed, where events are shown; that they cannot be read stops no run."""
    from flows.runs.findings import Failures, failures, tell

    found = Failures()
    if facts["images"]["failed"] or facts["failed_clusters"]:
        from congeal.results.collection import Collection

        try:
            found = failures(facts, Collection(job.destination, facts["version"], job.settings.storage))
        except Exception as error:
            progress.note(f"What failed could not be read ({type(error).__name__}: {error}).", live=False)
    tell(facts, found, progress)
