"""The end of a run: one publication that names every unit, if it says anything new."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from congeal.backbones import embedded
from congeal.settings import Settings, recorded
from infra.errors import DamagedError
from infra.ledger.commits import digest
from infra.ledger.provenance import code_version
from infra.ledger.publications import Publication, publish, published
from infra.storage.location import Location
from tasks.catalog.source_listing import Survey
from tasks.execution.published_units import published_markers
from tasks.execution.stage_runner import Run, StageResult
from tasks.execution.stage_versions import ATLASES, VERSIONS
from tasks.features.run_backbone import HUB, Weights
from tasks.publication import current_iceberg_tables
from tasks.publication.manifest import describe, described

# These say how the work is done, not what comes out of it; what is listed through links is in the survey.
WITHOUT_EFFECT = (
    ("storage",),
    ("features", "device"),
    ("features", "batch_size"),
    ("catalog", "follow_links"),
)


@dataclass(frozen=True)
class PublishOutcome:
    """The publication that now counts, and whether this run had to write it.

    fault: why the Iceberg tables are not those of it, if they are not.
    """

    publication: Publication
    written: bool
    fault: str | None = None


def run_key(survey: Survey, settings: Settings, storage_key: str, corrections: str | None = None) -> str:
    """Digest of everything that a run's results depend on; costs no model and no import of torch.

    storage_key: the digest of the weights file, see `weights_key`. corrections: digest of those in force;
    None: there are none.
    """
    values = recorded(settings)
    for *sections, name in WITHOUT_EFFECT:
        inner = values
        for section in sections:
            inner = inner[section]
        inner.pop(name, None)
    values["features"].pop("weights")
    if values["features"]["engine"] in ("auto", "torch"):
        # So it was before there was a choice, and what was made then is up to date.
        values["features"].pop("engine")
    # What is to be listed, and what is said of it, is in the survey.
    values.pop("source")
    if values["clusters"]["split"] == "off":
        values["clusters"].pop("split")  # as it was before there was a choice
    # What is to be solved anew is an act, not a state.
    values["atlases"].pop("resolve")
    return digest(survey.digest, values, VERSIONS, storage_key, *([corrections] if corrections else []))


def weights_key(settings: Settings) -> str:
    """Digest of the weights file; for the hub's weights, which nobody replaces under their name, a word."""
    if settings.features.weights is None and settings.features.backbone == embedded.NAME:
        return hashlib.sha256(embedded.weights()).hexdigest()
    if settings.features.weights is None:
        return HUB
    place = Location.parse(settings.features.weights, settings.storage)
    return hashlib.sha256(place.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Standing:
    """What is published already, and the records of its atlases."""

    publication: Publication
    clusters: tuple[Mapping[str, Any], ...]


def up_to_date(destination: Location, key: str) -> Standing | None:
    """The current publication, if it is what a run with this key would publish and all its markers are there.

    Not if some image could not be read: it may be readable now.
    """
    try:
        publication = published(destination)
    except DamagedError:
        return None
    if publication is None or publication.run_key != key or publication.counts.get("unread"):
        return None
    clusters = []
    try:
        for name, marker in published_markers(destination, publication):
            if marker is None:
                return None
            if name == ATLASES:
                clusters.append(marker.record)
    except DamagedError:
        return None
    return Standing(publication, tuple(clusters)) if described(destination, publication) else None


def stage(
    run: Run, key: str, weights: Weights, results: Mapping[str, StageResult], counts: Mapping[str, int]
) -> PublishOutcome:
    """Replace the pointer, unless what it names is the same."""
    settings = recorded(run.settings)
    settings["atlases"]["resolve"] = []
    publication = Publication(
        run_key=key,
        source=run.source.url,
        settings=settings,
        backbone=weights.backbone,
        weights_fingerprint=weights.fingerprint,
        units={name: results[name].names for name in VERSIONS},
        counts=dict(counts),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
    )
    try:
        current = published(run.destination)
    except DamagedError:
        current = None
    if not described(run.destination, publication):
        describe(run.destination, publication)
    if current is not None and _substance(current) == _substance(publication):
        return PublishOutcome(current, written=False, fault=refreshed(run.destination, current, run.settings))
    faults: list[str | None] = []

    def describe_tables(numbered: Publication, name: str) -> None:
        faults.append(current_iceberg_tables.write(run.destination, numbered, name))

    wanted = run.settings.publish.iceberg
    publish(run.destination, publication, before=describe_tables if wanted else None)
    written = published(run.destination) or publication
    if wanted and not any(faults):
        faults.append(current_iceberg_tables.point(run.destination, written.number))
    return PublishOutcome(written, written=True, fault=next((one for one in faults if one), None))


def refreshed(destination: Location, publication: Publication, settings: Settings) -> str | None:
    """Bring the Iceberg tables up to date with the current version; a sentence if that could not be done."""
    return current_iceberg_tables.refresh(destination, publication) if settings.publish.iceberg else None


def _substance(publication: Publication) -> dict[str, object]:
    return publication.model_dump(exclude={"number", "created", "code_version"})
