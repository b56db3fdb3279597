"""Where photographs and results may lie beside each other."""

from __future__ import annotations

from infra.errors import UserError
from infra.storage.image_source import ImageSource
from infra.storage.location import Location


def check_places(source: Location, destination: Location) -> None:
    """Raise UserError if one of the two lies inside the other: results must not become photographs."""
    if isinstance(source, ImageSource):
        for place in source.places:
            check_places(place, destination)
    elif source.contains(destination) or destination.contains(source):
        relation = (
            "is the same place as"
            if source.contains(destination) and destination.contains(source)
            else ("lies inside" if source.contains(destination) else "contains")
        )
        raise UserError(
            f"The destination {destination.url} {relation} the source {source.url}: "
            "choose a destination beside the source."
        )
