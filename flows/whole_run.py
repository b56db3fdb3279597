"""One whole run in a command's process: prepared, done, told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra.compute.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from congeal.settings import Settings
    from flows.runs.prepare import Job
    from infra.ledger.publications import Publication

# Of the settings of a version: how its run reached the store, and what it was asked to do once.
ONCE = {"storage": None, "atlases": ("resolve",), "clusters": ("growth",)}


def whole_run(source: str, destination: str, settings: Settings, *, quiet: bool) -> dict[str, Any]:
    """The facts of a run; of nothing to do, if there is nothing. Raises UserError for what cannot be run."""
    from flows.console.quiet_libraries import quiet_libraries
    from flows.runs.job_engine import BesideWorkers
    from flows.runs.notification import require_url, told
    from flows.runs.prepare import prepare
    from flows.runs.report import nothing_to_do
    from flows.runs.site import after_run

    require_url(settings.notify)
    quiet_libraries()
    progress = Progress(quiet=quiet, as_json=settings.log.format == "json")
    with told(settings, source, destination, progress.note) as outcome:
        job = prepare(source, destination, settings, computing=BesideWorkers(progress.note))
        if job.current is not None:
            job.survey.close()
            facts = nothing_to_do(job) | after_run(job, progress)
        else:
            facts = _done(job, progress)
        outcome.facts = facts
    return facts


def settings_of(publication: Publication, config: Path | None, overrides: Sequence[str]) -> Settings:
    """The settings with which a version was made, for another run like it; overrides come before these."""
    from congeal.settings import load_settings
    from flows.runs.parameters import overrides as as_overrides
    from flows.runs.recorded_settings import still_there

    known: dict[str, Any] = {}
    for section, values in still_there(publication.settings).items():
        once = ONCE.get(section, ())
        if once is not None:
            kept = isinstance(values, Mapping)
            known[section] = (
                {name: one for name, one in values.items() if name not in once} if kept else values
            )
    return load_settings(config, [*as_overrides(known), *overrides])


def _done(job: Job, progress: Progress) -> dict[str, Any]:
    """The facts of the run: of the flow, where Prefect's settings name a server, else of its stages here."""
    from flows.console.quiet_libraries import quiet_prefect
    from flows.runs.prefect_profile import server_named

    quiet_prefect()
    if server_named():
        from congeal.settings import recorded
        from flows.collection import collection, hand_over

        hand_over(job, progress)
        return collection(job.source.url, job.destination.url, recorded(job.settings))
    from flows.runs.retries import retrying
    from flows.runs.stages import everything

    with job.survey:
        return everything(job, progress, step=retrying(progress.note))
