"""The flows beside `collection`: new images alone, clusters solved anew, verification, report."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from pydantic import Field

import congeal_floors.first  # noqa: F401  before any of these
from congeal_floors.plurals import counted
from infra.compute.numeric_libraries import settle_threads

settle_threads()  # before NumPy is imported

from flows.collection import Destination, Source, as_task_run, run_on  # noqa: E402
from flows.deployments.artifacts import cell, code  # noqa: E402
from flows.deployments.destination_slots import alone_on, slot_name  # noqa: E402
from flows.deployments.published_settings import settings_as_published  # noqa: E402
from flows.deployments.run_progress import RunProgress  # noqa: E402
from flows.deployments.settings_form import EMPTY, SettingsForm  # noqa: E402
from flows.runs.parameters import Parameters, checked, clusters_of  # noqa: E402
from infra.errors import DamagedError  # noqa: E402
from infra.storage.location import Location  # noqa: E402

MOST_FAULTS = 200  # on the page of a verification

Clusters = Annotated[list[str], Field(examples=[["c1f0a2b3c4d5"], ["drifted"]])]
VersionNumber = Annotated[int | None, Field(examples=[3])]
Annotations = Annotated[str | None, Field(examples=["s3://bucket/eyes.tps"])]


def _new_images_form(source: Source, destination: Destination, settings: SettingsForm = EMPTY) -> None: ...


def _resolve_form(
    source: Source, destination: Destination, clusters: Clusters, settings: SettingsForm = EMPTY
) -> None: ...


def _verification_form(
    destination: Destination,
    shallow: bool = False,
    version: VersionNumber = None,
    settings: SettingsForm = EMPTY,
) -> None: ...


def _report_form(
    destination: Destination,
    out: str | None = None,
    annotations: Annotations = None,
    settings: SettingsForm = EMPTY,
) -> None: ...


@flow(name="new-images", persist_result=False, validate_parameters=False)
def new_images(source: Any = None, destination: Any = None, settings: Any = None) -> dict[str, Any]:
    """Take in what has come since the last version, with its settings; clusters and atlases stay.

    Returns the facts of the run. Raises UserError if nothing is published yet, and for settings with which
    results would be others.

    Args:
        source: Where the photographs are, as the last run was told.
        destination: Where the results are.
        settings: Those that change no result, such as engine and log; the others are the last version's.
    """
    sound = checked({"source": source, "destination": destination, "settings": settings}, "new-images")
    return run_on(sound._replace(settings=settings_as_published(sound.destination, settings)))


@flow(name="resolve", persist_result=False, validate_parameters=False)
def resolve(
    source: Any = None, destination: Any = None, clusters: Any = None, settings: Any = None
) -> dict[str, Any]:
    """Solve clusters that have grown anew from all their images, in the frames of their atlases.

    Returns the facts of the run. Raises UserError as `new_images` does, and for a cluster that there is not.

    Args:
        source: Where the photographs are, as the last run was told.
        destination: Where the results are.
        clusters: Their ids or names; or one word, drifted or all.
        settings: Those that change no result, such as engine and log; the others are the last version's.
    """
    given = {"source": source, "destination": destination, "clusters": clusters, "settings": settings}
    sound = checked(given, "resolve")
    named = clusters_of(clusters)
    return run_on(sound._replace(settings=settings_as_published(sound.destination, settings, named)))


@flow(name="verification", persist_result=False, validate_parameters=False)
def verification(
    destination: Any = None, shallow: Any = False, version: Any = None, settings: Any = None
) -> dict[str, Any]:
    """Check every marker, checksum, schema and reference of a version; ends as Failed if there is a fault.

    Returns the facts (see `congeal verify`). Raises DamagedError that names the first fault; the page of the
    run names more.

    Args:
        destination: Where the results are.
        shallow: Look at sizes only, compute no checksums.
        version: An older version, by its number; left out: the current one.
        settings: How the store is reached.
    """
    from tasks.maintenance.verify import verify

    given = {"destination": destination, "shallow": shallow, "version": version, "settings": settings}
    sound = checked(given, "verification")
    place = _place(sound)
    number = None if version is None else str(version)
    facts: dict[str, Any] = as_task_run("verify", verify, place, deep=not shallow, version=number)
    faults = facts["faults"]
    _left(
        f"{slot_name(sound.destination)}-verification",
        _verification_page(place, facts),
        f"What was checked in {sound.destination}",
    )
    if faults:
        first = str(faults[0])
        raise DamagedError(
            first if len(faults) == 1 else f"{counted(len(faults), 'fault')}, and the first is: {first}"
        )
    get_run_logger().info(
        f"sound: {counted(facts['units'], 'unit')}, {counted(facts['files'], 'file')} of version "
        f"{facts['version']}"
    )
    return facts


@flow(name="report", persist_result=False, validate_parameters=False)
def report(
    destination: Any = None, out: Any = None, annotations: Any = None, settings: Any = None
) -> dict[str, Any]:
    """Make the report on what is published, or bring it up to date. Returns its facts.

    Args:
        destination: Where the results are.
        out: Where the report goes; left out: report/ in the destination.
        annotations: Marks to show on all members: a file in COCO's (.json) or tpsDig's (.tps) format.
        settings: How the store is reached, and by how many processes the pages are made.
    """
    from flows.runs.site import alone

    given = {"destination": destination, "out": out, "annotations": annotations, "settings": settings}
    sound = checked(given, "report")
    place, told = _place(sound), sound.settings
    folder = None if out is None else Location.parse(out, told.storage)
    progress = RunProgress(as_json=told.log.format == "json")
    with alone_on(sound.destination):
        facts: dict[str, Any] = as_task_run("report", alone, place, told, folder, annotations, progress)
    key = f"{slot_name(sound.destination)}-report"
    if told.report.url is not None and out is None:
        link = f"{told.report.url}/report/index.html"
        create_link_artifact(link=link, link_text=f"The report on {sound.destination}", key=key)
    else:
        _left(
            key, f"The report lies at {code(facts['report'])}.", f"Where the report on {sound.destination} is"
        )
    get_run_logger().info(
        f"{facts['report']}: version {facts['version']}, {counted(facts['images'], 'image')}"
    )
    return facts


# Forms are shown what must be given, and as what; the flows take anything and answer with a sentence.
_FORMS: tuple[tuple[Any, Any], ...] = (
    (new_images, _new_images_form),
    (resolve, _resolve_form),
    (verification, _verification_form),
    (report, _report_form),
)
for _flow, _form in _FORMS:
    _flow.__signature__ = inspect.signature(_form, eval_str=True)


def _place(sound: Parameters) -> Location:
    return Location.parse(sound.destination, sound.settings.storage)


def _verification_page(place: Location, facts: dict[str, Any]) -> str:
    faults, notes = facts["faults"], facts["notes"]
    lines = [f"## Version {facts['version']} of {code(place)}", ""]
    lines += [
        f"{counted(facts['units'], 'unit')}, {counted(facts['files'], 'file')}: "
        f"{'sound' if not faults else 'not sound'}.",
        "",
    ]
    lines += [f"- {cell(fault)}" for fault in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        lines += [f"- … and {len(faults) - MOST_FAULTS:,} more"]
    return "\n".join([*lines, "", *(f"- {cell(note)}" for note in notes[:MOST_FAULTS])])


def _left(key: str, text: str, description: str) -> None:
    try:
        create_markdown_artifact(markdown=text, key=key, description=description)
    except Exception as error:
        get_run_logger().warning(f"the page of this run lacks a table ({type(error).__name__})")
