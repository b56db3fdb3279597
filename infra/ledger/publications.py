"""What readers see: versions of a destination, and the one small pointer to the current one."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from infra.errors import DamagedError, MissingError, StorageError, UserError
from infra.ledger.commits import CHECKED, LAYOUT, Frozen, digest, newer
from infra.ledger.sealed_text import opened_text, sealed_text
from infra.storage.conditional_writes import require_conditional_puts
from infra.storage.location import Location
from infra.storage.seals import damaged

NAME = "congeal.json"  # what makes a folder a destination
POINTER = "published/current.json"
CLAIMS = "published/claims"  # a small object for each number, written by the first run that wants it
CLAIMED = ("created", "code_version")  # what runs that publish the same would say differently
SEARCHED = 10_000  # objects of a folder that is to become one


class Publication(Frozen):
    """One published state. number: 1, 2, …, given by ``publish``. units: stage → "scope/unit" of each.

    run_key: digest of all that the results depend on. counts: for summaries. created: UTC, ISO 8601.
    """

    layout: int = LAYOUT
    number: int = 0
    run_key: str
    source: str
    settings: dict[str, Any]
    backbone: str
    weights_fingerprint: str
    units: dict[str, list[str]]
    counts: dict[str, int]
    created: str
    code_version: str


def claim(destination: Location, *, single_writer: bool = False) -> None:
    """Mark ``destination`` as one of congeal's.

    Raises ``UserError`` if a newer congeal has written to it, if it lies in another destination or has one in
    it, or if its store does not keep conditional puts and the user has not promised a ``single_writer``.
    """
    if not check_layout(destination):
        _require_apart(destination)
    if not single_writer:
        require_conditional_puts(destination)
    if not (destination / NAME).put_if_absent(_encoded({"layout": LAYOUT})):
        check_layout(destination)


def check_layout(destination: Location) -> bool:
    """True if ``destination`` is one of congeal's; ``UserError`` if a newer congeal has written to it."""
    place = destination / NAME
    try:
        layout = int(json.loads(place.read_bytes())["layout"])
    except MissingError:
        return False
    except (ValueError, KeyError, TypeError) as fault:
        raise DamagedError(f'{place} is damaged: write {{"layout": {LAYOUT}}} into it.') from fault
    if layout > LAYOUT:
        raise newer(place, layout)
    return True


def is_destination(place: Location, folder: str = "") -> bool:
    """True if ``folder`` of ``place`` is one of congeal's, of whatever version; False if nobody can tell."""
    try:
        return check_layout(place / folder if folder else place)
    except (StorageError, DamagedError):
        return False
    except UserError:
        return True


def _require_apart(destination: Location) -> None:
    """Raise ``UserError`` for a new destination that lies in another one or around another one."""
    for outer in destination.above:
        if is_destination(outer):
            raise UserError(
                f"The destination {destination} lies inside the destination {outer}: choose one beside it."
            )
    # What is new is empty, or nearly; a large folder of other things is not searched to its end.
    for item in islice(destination.objects(follow_links=False), SEARCHED):
        folder, _, name = item.path.rpartition("/")
        # Its own mark is there if another run has claimed it since.
        if folder and name == NAME and is_destination(destination, folder):
            raise UserError(
                f"The destination {destination} contains the destination {destination / folder}: choose one "
                "beside it."
            )


def publish(
    destination: Location,
    publication: Publication,
    before: Callable[[Publication, str], None] | None = None,
) -> str:
    """Write ``publication`` under the next number and point to it; the version's file name is returned.

    Of runs that publish the same at the same time all write the one version, that of the run which was first
    to claim the number; others get a number of their own. before: called with the numbered publication and
    that name, before it is pointed to.
    """
    publication = _claimed(destination, publication)
    number = publication.number
    content = publication.model_dump(mode="json")
    name = f"{number:05d}-{digest(content, length=8)}.json"
    # Nobody else writes under a name that is made of the content, and with many units it can be large.
    (destination / "published/versions" / name).write_bytes(sealed_text(content))
    if before is not None:
        before(publication, name)
    point_to(destination, name)
    return name


def _claimed(destination: Location, publication: Publication) -> Publication:
    """``publication`` with a number that nobody else gives to another one, and the time of its claim."""
    names = versions(destination)
    # The newest may be of a run that has published the same a moment ago.
    newest = int(names[-1].partition("-")[0]) if names else 0
    number = max(newest, 1)
    substance = digest(publication.model_dump(mode="json", exclude=set(CLAIMED) | {"number"}))
    mine = {name: getattr(publication, name) for name in CLAIMED} | {"substance": substance}
    while True:
        place = destination / CLAIMS / f"{number:05d}.json"
        if number > newest and place.put_if_absent(sealed_text(mine)):
            return publication.model_copy(update={"number": number})
        try:
            claim = json.loads(opened_text(place.read_bytes())[0])
            if claim["substance"] == substance:
                known = {name: str(claim[name]) for name in CLAIMED}
                return publication.model_copy(update=known | {"number": number})
        except (MissingError, ValueError, KeyError, TypeError):
            # Whoever claimed it cannot be asked: the number is not given twice.
            pass
        number += 1


def point_to(destination: Location, name: str) -> None:
    """Make a version, called by the name of its file, the current one."""
    (destination / POINTER).write_bytes(sealed_text({"version": name}))


def published(destination: Location, version: str | None = None) -> Publication | None:
    """The current publication, or ``version``: its file name, with or without ending, or its number.

    None if nothing has been published. Raises ``UserError`` for a version that does not exist or was pruned.
    """
    if version is None:
        name = _current(destination)
        if name is None:
            return None
    else:
        name = _named(destination, version)
    place = destination / "published/versions" / name
    try:
        text, checked = opened_text(place.read_bytes())
        content = json.loads(text)
        if content["layout"] > LAYOUT:
            raise newer(place, content["layout"])
        if content["layout"] >= CHECKED and not checked:
            raise damaged(place.url, "it has lost its checksum")
        return Publication.model_validate(content)
    except MissingError as fault:
        if version is not None:
            raise _pruned(destination, version, versions(destination)) from fault
        raise damaged(place.url, "it is missing") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise damaged(place.url, "it is not the record of a version that was written") from fault


def versions(destination: Location) -> list[str]:
    """File names of all publications, oldest first."""
    names = (destination / "published/versions").children()
    return [name for name in names if name.endswith(".json") and name.partition("-")[0].isdigit()]


def current_name(destination: Location) -> str | None:
    """File name of the current publication; None if nothing has been published."""
    return _current(destination)


def replace_version(destination: Location, name: str, publication: Publication) -> str:
    """Write a version anew under its number; the name of its file now. What pointed to it points there.

    Nobody else may be at work.
    """
    content = publication.model_dump(mode="json")
    new = f"{publication.number:05d}-{digest(content, length=8)}.json"
    (destination / "published/versions" / new).write_bytes(sealed_text(content))
    if _current(destination) == name:
        point_to(destination, new)
    if new != name:
        (destination / "published/versions" / name).delete()
    return new


def withdraw(destination: Location, name: str) -> None:
    """Remove a publication, not its units. Raises ``ValueError`` for the current one."""
    if name == _current(destination):
        raise ValueError(f"{name} is the current publication")
    # The claim first: a version that a kill leaves is withdrawn the next time, a claim by itself never would.
    (destination / CLAIMS / f"{name.partition('-')[0]}.json").delete()
    (destination / "published/versions" / name).delete()


def _current(destination: Location) -> str | None:
    place = destination / POINTER
    try:
        text, _ = opened_text(place.read_bytes())
        found = json.loads(text)
        if set(found) != {"version"}:
            raise ValueError("it names more than a version")
        return str((destination / "published/versions" / found["version"]).name)
    except MissingError:
        return None
    except (ValueError, TypeError, AttributeError) as fault:
        raise damaged(place.url, "it is not the pointer that was written") from fault


def _named(destination: Location, version: str) -> str:
    names = versions(destination)
    for name in names:
        number = name.partition("-")[0]
        if version in (name, name.removesuffix(".json")):
            return name
        if version.isdigit() and int(version) == int(number):
            return name
    # Numbers are given one after the other, so one below the newest that is not there has been.
    number = version.partition("-")[0]
    if names and number.isdigit() and 0 < int(number) < int(names[-1].partition("-")[0]):
        same = [name for name in names if int(name.partition("-")[0]) == int(number)]
        if not same:
            raise _pruned(destination, version, names)
    raise UserError(f"{destination} has no version {version}: {_kept(names)}.")


def _pruned(destination: Location, version: str, names: list[str]) -> UserError:
    return UserError(f"Version {version} of {destination} was pruned: {_kept(names)}.")


def _kept(names: list[str]) -> str:
    return f"the newest are {', '.join(name.removesuffix('.json') for name in names[-5:]) or 'none'}"


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"
