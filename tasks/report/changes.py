"""What the version that a report shows says otherwise than the one before it, as its page shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import StorageError, UserError
from infra.ledger.publications import Publication, versions
from infra.storage.location import Location

if TYPE_CHECKING:
    from congeal.results.version_comparison import ImageChanges, VersionDiff

FOLLOWED = 50  # changed clusters, the largest, in which points are followed: maps of both versions are read
MOST = 1_000  # images or clusters that are named of each kind; all are counted
FILE = "changes.js"


@dataclass(frozen=True)
class Changes:
    """facts: JSON-able, None if there is no version before. notes: what could not be compared."""

    facts: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def changes(destination: Location, publication: Publication) -> Changes:
    """Compare a version with the newest one before it that is there."""
    number = publication.number
    earlier = [name for name in versions(destination) if int(name.partition("-")[0]) < number]
    if not earlier:
        return Changes()
    from congeal.results.published_version import Published
    from congeal.results.version_comparison import compare

    try:
        found = compare(
            Published(destination, earlier[-1]), Published(destination, str(number)), FOLLOWED, MOST
        )
    except (UserError, StorageError) as error:
        # What an earlier version has lost is no reason to show nothing of this one.
        before = int(earlier[-1].partition("-")[0])
        return Changes(None, (f"What has changed since version {before} cannot be told: {error}",))
    return Changes(_facts(found))


def _facts(found: VersionDiff) -> dict[str, Any]:
    return {
        "before": found.before,
        "after": found.after,
        "images": _images(found.images),
        "new": [asdict(one) for one in found.new],
        "gone": [asdict(one) for one in found.gone],
        "changed": [asdict(one) for one in found.changed],
        "counts": {
            "new": found.n_new,
            "gone": found.n_gone,
            "changed": found.n_changed,
            "unchanged": found.unchanged,
        },
        "figures": {name: asdict(one) for name, one in found.figures.items()},
        "notes": found.notes,
    }


def _images(found: ImageChanges) -> dict[str, Any]:
    named = {
        "come": found.come,
        "gone": found.gone,
        "renamed": [[one.before, one.after] for one in found.renamed],
        "other_cluster": [[one.uri, one.before, one.after] for one in found.other_cluster],
    }
    counts = {name: getattr(found, f"n_{name}") for name in named}
    return {"before": found.before, "after": found.after, "counts": counts, **named}
