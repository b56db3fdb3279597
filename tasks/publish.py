"""The end of a run: one publication that names every unit, if it says anything new."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from congeal import embedded
from infra.commits import Marker, digest, find_marker, in_threads
from infra.errors import DamagedError
from infra.provenance import code_version
from infra.publications import Publication, publish, published
from infra.settings import Settings, recorded
from infra.storage import Location
from tasks.manifest import describe, described
from tasks.stage import Run, StageResult
from tasks.survey import Survey
from tasks.versions import VERSIONS
from tasks.weights import HUB, Weights

# These say how the work is done, not what comes out of it; what is listed through links is in the survey.
WITHOUT_EFFECT = (
    ("storage",),
    ("features", "device"),
    ("features", "batch_size"),
    ("catalog", "follow_links"),
)


@dataclass(frozen=True)
class Published:
    """The publication that now counts, and whether this run had to write it."""

    publication: Publication
    written: bool


def run_key(survey: Survey, settings: Settings, storage_key: str) -> str:
    """Digest of everything that a run's results depend on; costs no model and no import of torch.

    storage_key: the digest of the weights file, see `weights_key`.
    """
    values = recorded(settings)
    for *sections, name in WITHOUT_EFFECT:
        inner = values
        for section in sections:
            inner = inner[section]
        inner.pop(name, None)
    values["features"].pop("weights")
    # What is to be solved anew is an act, not a state.
    values["atlases"].pop("resolve")
    return digest(survey.digest, values, VERSIONS, storage_key)


def weights_key(settings: Settings) -> str:
    """Digest of the weights file; for the hub's weights, which nobody replaces under their name, a word."""
    if settings.features.weights is None and settings.features.backbone == embedded.NAME:
        return hashlib.sha256(embedded.weights()).hexdigest()
    if settings.features.weights is None:
        return HUB
    place = Location.parse(settings.features.weights, settings.storage)
    return hashlib.sha256(place.read_bytes()).hexdigest()


def up_to_date(destination: Location, key: str) -> Publication | None:
    """The current publication, if it is what a run with this key would publish and all its markers are there.

    Not if some image could not be read: it may be readable now.
    """
    try:
        publication = published(destination)
    except DamagedError:
        return None
    if publication is None or publication.run_key != key or publication.counts.get("unread"):
        return None
    try:
        complete = all(marker is not None for _, marker in published_markers(destination, publication))
    except DamagedError:
        return None
    return publication if complete and described(destination, publication) else None


def published_markers(
    destination: Location, publication: Publication, stages: Iterable[str] | None = None
) -> Iterator[tuple[str, Marker | None]]:
    """Stage and marker of every unit that a publication names; None for one that is gone."""
    wanted = publication.units if stages is None else stages
    named = [(stage, name) for stage in wanted for name in publication.units.get(stage, ())]
    markers = in_threads(lambda unit: find_marker(destination, *unit), named)
    for (name, _), marker in zip(named, markers, strict=True):
        yield name, marker


def stage(
    run: Run, key: str, weights: Weights, results: Mapping[str, StageResult], counts: Mapping[str, int]
) -> Published:
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
        return Published(current, written=False)
    publish(run.destination, publication)
    written = published(run.destination)
    return Published(written or publication, written=True)


def _substance(publication: Publication) -> dict[str, object]:
    return publication.model_dump(exclude={"number", "created", "code_version"})
