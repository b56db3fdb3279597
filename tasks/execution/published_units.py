"""The units that a published version names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infra.ledger.commits import Marker, find_marker
from infra.ledger.publications import Publication
from infra.storage.location import Location
from infra.threads import in_threads


def published_markers(
    destination: Location, publication: Publication, stages: Iterable[str] | None = None
) -> Iterator[tuple[str, Marker | None]]:
    """Stage and marker of every unit that a publication names; None for one that is gone."""
    wanted = publication.units if stages is None else stages
    named = [(stage, name) for stage in wanted for name in publication.units.get(stage, ())]
    markers = in_threads(lambda unit: find_marker(destination, *unit), named)
    for (name, _), marker in zip(named, markers, strict=True):
        yield name, marker
