"""The units that a published version names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from infra.ledger.commits import Marker, near_marker
from infra.ledger.publications import Publication
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution.stage_versions import INDEX

TOGETHER = 16  # markers that one thread reads from a disk


def published_own(destination: Location, publication: Publication) -> dict[str, Any] | None:
    """What a version's table of images says of the columns of its owner; None if there are none.

    "columns": pairs of name and type; "without_row", "without_images": see `tasks.index.own_join`.
    """
    markers = published_markers(destination, publication, [INDEX])
    return next((marker.record["own"] for _, marker in markers if marker and "own" in marker.record), None)


def published_markers(
    destination: Location, publication: Publication, stages: Iterable[str] | None = None
) -> Iterator[tuple[str, Marker | None]]:
    """Stage and marker of every unit that a publication names; None for one that is gone."""
    wanted = publication.units if stages is None else stages
    named = [(stage, name) for stage in wanted for name in publication.units.get(stage, ())]
    # From a disk here a marker is read in the time that it takes to hand it to a thread.
    together = 1 if destination.local_path() is None else TOGETHER
    markers = in_threads(lambda unit: near_marker(destination, *unit), named, together=together)
    for (name, _), marker in zip(named, markers, strict=True):
        yield name, marker
