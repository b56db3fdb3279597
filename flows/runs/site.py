"""The report: at the end of a run, and on its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from congeal.settings import Settings
from infra.compute.progress import Progress
from infra.errors import UserError
from infra.ledger.run_lock import RUN, locked
from infra.storage.location import Location
from tasks.report.report_key import Made, Order, current, up_to_date

if TYPE_CHECKING:
    from flows.runs.prepare import Job
    from infra.compute.engine import Engine

# Images up to which pages are made in threads: workers would start for as long as the pages take.
IN_THREADS = 20_000


def after_run(job: Job, progress: Progress, engine: Engine | None = None) -> dict[str, Any]:
    """Bring the report up to date where the settings ask for it; the facts of it.

    A report that cannot be made is no reason for a run to fail: a sentence says why. engine: of the run;
    absent, threads of this process.
    """
    if not job.settings.report.enabled:
        return {"report": None, "report_fault": None}
    begin = time.perf_counter()
    try:
        made = _made(Order(job.destination), job.settings, engine, progress)
    except Exception as error:  # whatever it is, what the run is for is published
        reason = " ".join(str(error).split()) or type(error).__name__
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        fault = (
            f"The report was not made ({kind}{reason.rstrip('.')}): `congeal report {job.destination}` tries "
            "again, report.enabled=false does without."
        )
        return {"report": None, "report_fault": fault}
    return {
        "report": made.index.url,
        "report_fault": None,
        "report_seconds": round(time.perf_counter() - begin, 3),
        "report_work_seconds": round(made.work_seconds, 3),
    }


def alone(
    destination: Location,
    settings: Settings,
    out: Location | None,
    annotations: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """`congeal report`: the facts of the report on what is published.

    Raises UserError if nothing is, for a folder that the report would mix with, and for a file of annotations
    that does not fit.
    """
    begin = time.perf_counter()
    publication = current(destination)
    if out is not None:
        _require_apart(out, destination)
    given = None
    if annotations is not None:
        from congeal.results.collection import Collection
        from tasks.report.annotation_marks import read_annotations

        collection = Collection(destination, storage=settings.storage)
        given = read_annotations(collection, Location.parse(annotations, settings.storage))
    order = Order(destination, out, given)
    made = up_to_date(order, publication)
    if made is None:
        with _guarded(order, settings), progress:
            made = _made(order, settings, None, progress)
    return {
        "report": made.index.url,
        "version": made.version,
        "up_to_date": not made.written,
        "units_made": made.units_made,
        "units": made.units,
        "images": made.images,
        "clusters": made.clusters,
        "annotations": None if given is None else dict(given.facts),
        "notes": [] if given is None else list(given.notes),
        "seconds": round(time.perf_counter() - begin, 3),
    }


def _made(order: Order, settings: Settings, engine: Engine | None, progress: Progress) -> Made:
    there = up_to_date(order, current(order.destination))
    if there is not None:
        return there
    from tasks.report.report_stage import report

    if engine is not None:
        return report(order, settings, engine, progress)
    images = current(order.destination).counts.get("ok", 0)
    with _engine(settings, images) as own:
        return report(order, settings, own, progress)


@contextmanager
def _engine(settings: Settings, images: int) -> Iterator[Engine]:
    from flows.runs.job_engine import PRELOADED
    from infra.compute.engine import open_engine
    from infra.compute.thread_engine import ThreadEngine

    asked = settings.engine
    if asked.kind == "auto" and asked.address is None and images <= IN_THREADS:
        yield ThreadEngine(asked.workers)
        return
    with open_engine(asked, images=images, preloaded=PRELOADED) as engine:
        yield engine


@contextmanager
def _guarded(order: Order, settings: Settings) -> Iterator[None]:
    """Nothing that the pages are made of is pruned meanwhile; a report elsewhere leaves no sign in DEST."""
    if order.out is not None:
        yield
        return
    with locked(order.destination, RUN, alone=settings.storage.single_writer):
        yield


def _require_apart(out: Location, destination: Location) -> None:
    from infra.ledger.publications import NAME
    from tasks.report.report_key import INDEX, MANIFEST

    if out.url == destination.url or (out / NAME).is_object():
        raise UserError(f"{out} is a destination of congeal, not a folder for a report: choose another.")
    if (out / INDEX).is_object() and not (out / MANIFEST).is_object():
        raise UserError(f"{out} has an {INDEX} that is not congeal's: choose an empty folder.")
