"""What no page names any more: it goes when it is a day old, since whoever has a page open still reads it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from infra.ledger.commits import MARKER
from infra.storage.location import Location
from infra.threads import run_in_threads

AGE = timedelta(days=1)


def tidy(folder: Location, named: Iterable[str], age: timedelta = AGE) -> list[str]:
    """Remove units, data and assets of a report's folder that are not among ``named``; what went, by path.

    named: paths below the folder, such as "data/0123": all that the page and the one before it are made of.
    Folders without a date are left: they may belong to a report that is being made.
    """
    kept = set(named)
    units = folder / "stages/report"
    found = [f"{kind}/{name}" for kind in ("data", "assets") for name in (folder / kind).children()]
    found += [
        f"stages/report/{scope}/{name}" for scope in units.children() for name in (units / scope).children()
    ]
    since = datetime.now(UTC) - age
    old = [path for path in found if path not in kept and _older(folder / path, since)]
    run_in_threads(lambda path: (folder / path).delete(), old)
    return old


def _older(place: Location, since: datetime) -> bool:
    for name in (MARKER, "index.js", "map.js", "report.js"):
        file = place / name
        if file.is_object():
            changed = file.modified()
            return changed is not None and changed < since
    return False
