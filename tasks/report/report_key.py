"""Which report lies in a folder, and whether it is the one that would be made; imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from congeal.report import page_shell
from congeal.report.index_fields import FORMAT
from infra.errors import MissingError, UserError
from infra.ledger.commits import digest
from infra.ledger.publications import Publication, check_layout, published
from infra.storage.location import Location

if TYPE_CHECKING:
    from tasks.report.annotation_marks import Annotations

STAGE = "report"
VERSION = 3  # of the pages' data; raised when what the units write would change
FOLDER = "report"
INDEX, MANIFEST = "index.html", "report.json"


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes:
        destination: what a run has published.
        out: where the report goes; absent, `report` in the destination.
        annotations: marks to show on the members.
    """

    destination: Location
    out: Location | None = None
    annotations: Annotations | None = None

    @property
    def folder(self) -> Location:
        """The report's folder."""
        return self.out or self.destination / FOLDER

    @property
    def base(self) -> str | None:
        """The destination as the page sees it; None: it does not."""
        return "../" if self.folder.url == (self.destination / FOLDER).url else None


@dataclass(frozen=True)
class Made:
    """A report. written: whether anything had to be. units_made: of `units`. work_seconds: of these."""

    index: Location
    version: int
    written: bool
    units_made: int
    units: int
    images: int
    clusters: int
    work_seconds: float = 0.0


def current(destination: Location) -> Publication:
    """The version to report on. Raises UserError if nothing is published."""
    publication = published(destination) if check_layout(destination) else None
    if publication is None:
        raise UserError(
            f"Nothing is published in {destination}, so there is nothing to report: "
            f"`congeal run SOURCE {destination}` does that."
        )
    return publication


def up_to_date(order: Order, publication: Publication) -> Made | None:
    """The report that lies there, if it is what would be made; reads two small objects."""
    manifest = manifest_of(order.folder)
    if manifest.get("key") != key_of(order, publication) or not (order.folder / INDEX).is_object():
        return None
    return Made(
        order.folder / INDEX,
        publication.number,
        False,
        0,
        len(manifest["units"]),
        int(manifest["images"]),
        int(manifest["clusters"]),
    )


def key_of(order: Order, publication: Publication) -> str:
    """Digest of all that a report depends on."""
    marks = None if order.annotations is None else order.annotations.digest
    content = publication.model_dump(mode="json")
    return digest(FORMAT, VERSION, page_shell.assets_digest(), content, order.base, marks)


def manifest_of(folder: Location) -> dict[str, Any]:
    """What the report that lies there is made of; nothing if there is none, or it cannot be read."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (MissingError, ValueError):
        return {}
    sound = isinstance(found, dict) and found.get("format") == FORMAT
    names = ("key", "units", "places", "images", "clusters")
    return found if sound and all(name in found for name in names) else {}
