"""Which images of a source a forecast is measured on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from congeal.settings import Settings
from infra.errors import UserError
from infra.threads import in_threads
from tasks.catalog import listed_groups
from tasks.catalog.image_reading import content_id
from tasks.catalog.listing_entries import ListingEntry
from tasks.catalog.source_listing import Survey
from tasks.execution.duckdb_workspace import rows

LEAST = 16  # images of a sample; of a small collection it is a third
WIDER = 3  # times as many images as are run are looked at for what sets there are


def sample_size(survey: Survey, settings: Settings) -> int:
    """How many images are run of a source, at most."""
    return min(settings.plan.sample, max(LEAST, survey.images // 3))


class Choice(NamedTuple):
    """Images, and the group of each, None for one without; groups None where they are not known."""

    entries: tuple[ListingEntry, ...]
    groups: tuple[str | None, ...] | None


def chosen_sample(survey: Survey, method: str, most: int) -> Choice:
    """What is run of a source's images, at most so many: whole groups where `method` knows them.

    Else more are chosen, for the sample to look at: in the small one alone a set would have too few images to
    be seen.
    """
    if method == "auto" and survey.images > most:
        return Choice(tuple(chosen(survey, WIDER * most)), None)
    whole = listed_groups.whole_groups(survey, method, most) if survey.images > most else None
    entries = chosen(survey, most) if not whole else _named(survey, whole)
    return Choice(tuple(entries), _groups(survey, method, entries))


def chosen(survey: Survey, most: int) -> list[ListingEntry]:
    """That many images, evenly spaced in the order of their paths; all if there are no more."""
    every = max(1, survey.images / most)
    with survey.planning(keep=()) as connection:
        found = rows(
            connection,
            "SELECT path, bytes, token, etag, fault FROM ("  # noqa: S608 - numbers of our own
            "SELECT *, row_number() OVER (ORDER BY path) - 1 AS n FROM listing WHERE fault IS NULL) "
            f"WHERE floor(n / {every!r}) > floor((n - 1) / {every!r}) OR n = 0 ORDER BY n LIMIT {int(most)}",
        )
        return [ListingEntry(*row) for row in found]


def _named(survey: Survey, paths: Collection[str]) -> list[ListingEntry]:
    """Those of some paths, in order."""
    with survey.planning(keep=()) as connection:
        every = "SELECT path, bytes, token, etag, fault FROM listing WHERE fault IS NULL ORDER BY path"
        return [ListingEntry(*row) for row in rows(connection, every) if row[0] in paths]


def _groups(survey: Survey, method: str, entries: Sequence[ListingEntry]) -> tuple[str | None, ...] | None:
    """The group of every image, None for one without; None where groups are not known."""
    names = [entry.path for entry in entries]
    if listed_groups.grouped_by_id(survey, method):

        def content(entry: ListingEntry) -> str:
            try:
                return content_id((survey.source / entry.path).read_bytes())
            except UserError:
                return ""  # it has no id, and so no group

        names = list(in_threads(content, entries))
    found = listed_groups.groups(survey, method, names)
    return None if found is None else tuple(found.get(name) for name in names)
