"""What of a run is done already in its destination; nothing is written to find out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.published_tables import PublishedTables
from flows.runs.prepare import Job
from infra.errors import DamagedError
from infra.ledger.commits import Marker, outputs_location
from infra.ledger.publications import check_layout, published
from infra.threads import in_threads
from tasks.catalog.catalog_slices import slice_addresses
from tasks.execution.stage_runner import address, read_markers
from tasks.execution.stage_versions import FEATURES, VERSIONS


@dataclass(frozen=True)
class Done:
    """Images that are catalogued and that have features, and sets that have an atlas."""

    catalog: int = 0
    features: int = 0
    atlases: int = 0

    @property
    def facts(self) -> dict[str, int]:
        """For the answer of a command."""
        return {"catalog": self.catalog, "features": self.features, "atlases": self.atlases}


def done_already(job: Job, scope: str) -> Done:
    """Look at the units that a run of this job would name, and at the version that it would grow from.

    scope: of its features, see `tasks.features.features_stage.scope`.
    """
    if not check_layout(job.destination):
        return Done()
    places, counts = [], []
    for place, count in slice_addresses(job.source, job.destination, job.settings, job.survey):
        places.append(place)
        counts.append(count)
    try:
        slices = list(read_markers(places))
    except DamagedError:
        slices = [None] * len(places)  # the run makes them anew
    catalog = sum(count for count, marker in zip(counts, slices, strict=True) if marker is not None)
    return Done(catalog, _with_features(job, scope, slices), _atlases(job))


def _with_features(job: Job, scope: str, slices: list[Marker | None]) -> int:
    """How many files are images that have features: by the slices, and where one is to be made anew, since
    an image came or went in it, by what the current version says of the file of that path and size."""
    names = (job.destination / "stages" / FEATURES / scope).children()
    known: set[str] = set()
    try:
        for marker in read_markers(
            address(job.destination, FEATURES, VERSIONS[FEATURES], scope, name) for name in names
        ):
            if marker is not None:
                known.update(marker.record["image_ids"])
    except DamagedError:
        return 0
    if not known:
        return 0

    def ids(marker: Marker) -> list[Any]:
        data = (outputs_location(job.destination, marker) / "catalog.parquet").read_bytes()
        found: list[Any] = pq.read_table(io.BytesIO(data), columns=["image_id"])["image_id"].to_pylist()
        return found

    sure = [marker for marker in slices if marker is not None]
    count = sum(one in known for some in in_threads(ids, sure) for one in some)
    if len(sure) < len(slices):
        count += sum(one in known for one in _published_ids(job, slices))
    return count


def _published_ids(job: Job, slices: list[Marker | None]) -> list[Any]:
    """Ids of the files of slices that are not there, as far as the current version has them."""
    publication = published(job.destination)
    if publication is None or publication.source != job.source.url:
        return []
    listed = job.survey.slices(job.settings.catalog.slice_size)
    sizes = {
        entry.path: entry.bytes
        for entries, marker in zip(listed, slices, strict=True)
        if marker is None
        for entry in entries
    }
    import pyarrow.dataset as pads

    images = PublishedTables(job.destination, publication).dataset("images")
    wanted = pads.field("uri").isin(pa.array(sizes, pa.string())) & (pads.field("status") == "ok")
    rows = images.to_table(columns=["uri", "bytes", "image_id"], filter=wanted).to_pylist()
    return [row["image_id"] for row in rows if row["bytes"] == sizes[row["uri"]]]


def _atlases(job: Job) -> int:
    try:
        publication = published(job.destination)
    except DamagedError:
        return 0
    same = publication is not None and publication.source == job.source.url
    return len(publication.units.get("atlases", ())) if publication is not None and same else 0
