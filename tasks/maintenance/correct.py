"""Corrections as an owner gives them: each is checked against all that holds, then written as one record.

Nothing is computed and no table changes: the next run applies what is recorded.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from congeal.results.published_version import Published
from infra.errors import UserError
from infra.ledger.commits import digest
from infra.ledger.journal import JournalEntry, append
from infra.storage.conditional_writes import require_conditional_puts
from tasks.corrections.corrections import (
    LONGEST_REASON,
    Correction,
    Corrections,
    Pose,
    Recorded,
    checked_name,
    plain,
    read_corrections,
    understood,
)
from tasks.maintenance.corrected_view import KnownImages, View, alike, smaller_half

# Cosine of the centres of two clusters, the collection's mean taken away, for a merge. Of eight kinds of
# Caltech (six images each, embedded backbone), halves of one kind have 0.57 to 0.89, two kinds at most 0.51
# (emu and llama), all other pairs at most 0.19.
ALIKE = 0.35
RESERVED = ("all", "drifted")  # words that mean more than one cluster


class Given(NamedTuple):
    """By whom, and why, a correction is given."""

    by: str
    why: str | None


def given(why: str | None = None, by: str | None = None) -> Given:
    """Who gives a correction, by default who is logged in; UserError for what is no line of text."""
    who = by if by is not None else _user()
    for what, text in (("The name of whoever corrects", who), ("The reason", why)):
        if text is not None and (not plain(text) or len(text) > LONGEST_REASON):
            raise UserError(f"{what} is one line of plain text, of at most {LONGEST_REASON} characters.")
    return Given(who, why)


def merge(
    published: Published, clusters: Sequence[str], who: Given, *, force: bool = False
) -> dict[str, Any]:
    """One cluster of several: the first keeps its id and its frame, the images of the others come to it.

    Raises UserError for clusters that have nothing in common (see ALIKE), unless forced.
    """

    def make(view: View) -> Correction:
        ids = [view.find_cluster(name) for name in clusters]
        if len(set(ids)) != len(ids) or len(ids) < 2:
            raise UserError("A merge takes two or more different clusters.")
        # Of only two clusters, each is all that the other is not.
        if not force and len(view.members) > 2:
            for other in ids[1:]:
                similarity = alike(view, ids[0], other)
                if similarity < ALIKE:
                    raise UserError(
                        f"The clusters {ids[0]} and {other} have little in common (similarity "
                        f"{similarity:.2f}, and {ALIKE} is asked for): look at their pictures, and give "
                        "--force to merge them all the same."
                    )
        images: dict[str, tuple[str | None, str | None]] = {}
        for cluster in ids:
            images |= view.place(view.members[cluster], ids[0])
        medoids = {cluster: view.medoid(cluster) for cluster in ids}
        return Correction(kind="merge", clusters=tuple(ids), images=images, medoids=medoids)

    return _record(published, make, who)


def split(published: Published, cluster: str, images: Sequence[str], who: Given) -> dict[str, Any]:
    """Two clusters of one: the images that are named leave it or, if none is, those of its smaller half."""

    def make(view: View) -> Correction:
        old = view.find_cluster(cluster)
        members = view.members[old]
        leaving = view.find_images(images) if images else smaller_half(view, members)
        for image in leaving:
            if view.cluster.get(image) != old:
                raise UserError(
                    f"The image {view.known.uri.get(image, image)!r} is not in the cluster {old}."
                )
        if len(leaving) == len(members):
            raise UserError(f"Nothing of the cluster {old} would be left: name some of its images.")
        new = "c" + digest("split", old, sorted(leaving), length=12)[:11]
        going = set(leaving)
        staying = [image for image in members if image not in going]
        placed = view.place(staying, old) | view.place(leaving, new)
        medoid = view.medoid(old)
        medoids = {old: medoid if medoid not in going else staying[0], new: leaving[0]}
        return Correction(kind="split", clusters=(old, new), images=placed, medoids=medoids, parent=old)

    return _record(published, make, who)


def move(published: Published, images: Sequence[str], to: str, who: Given) -> dict[str, Any]:
    """Images to another cluster."""

    def make(view: View) -> Correction:
        cluster = view.find_cluster(to)
        ids = view.find_images(images)
        for image in ids:
            if view.cluster[image] == cluster:
                raise UserError(f"The image {view.known.uri[image]!r} is in the cluster {cluster} already.")
        medoids = {cluster: view.medoid(cluster)}
        return Correction(kind="move", clusters=(cluster,), images=view.place(ids, cluster), medoids=medoids)

    return _record(published, make, who)


def exclude(published: Published, images: Sequence[str], who: Given) -> dict[str, Any]:
    """Images that take no part in any cluster; they stay in the table of images."""

    def make(view: View) -> Correction:
        return Correction(kind="exclude", images=view.place(view.find_images(images), None))

    return _record(published, make, who)


def pin(published: Published, cluster: str, reference: str, who: Given) -> dict[str, Any]:
    """A reference image of a cluster: the atlas is turned, and mirrored, so that it lies as it does there."""

    def make(view: View) -> Correction:
        name = view.find_cluster(cluster)
        (image,) = view.find_images([reference])
        held = view.excluded.get(image)
        if held is not None:
            raise UserError(
                f"The image {reference!r} is excluded by correction {held.number}: undo {held.number} first."
            )
        if view.cluster[image] != name:
            raise UserError(f"The image {reference!r} is not in the cluster {name}: move it there first.")
        if image in view.waits or any(
            name in one.correction.clusters for one in view.pending if one.correction.kind != "name"
        ):
            raise UserError(f"A correction of the cluster {name} waits for the next run: run, then pin.")
        row = published.alignment(name, image)
        if row is None or row["outlier"] or row["rotation"] is None:
            raise UserError(f"The image {reference!r} does not fit the atlas of {name}: pin one that does.")
        was = Pose(**{field: row[field] for field in Pose.model_fields})
        upright = was.model_copy(update={"mirrored": False, "rotation": 0.0})
        return Correction(kind="pin", clusters=(name,), medoids={name: image}, pose=upright, pose_before=was)

    return _record(published, make, who)


def name(published: Published, cluster: str, text: str, who: Given) -> dict[str, Any]:
    """A name for a cluster, beside its id; the last one holds."""
    called = checked_name(text)

    def make(view: View) -> Correction:
        wanted = view.find_cluster(cluster)
        if called in RESERVED or called in view.members or called in view.known.medoids:
            raise UserError(f"{called!r} means something else already: choose another name.")
        for other, known in view.corrections.names.items():
            if known == called:
                raise UserError(f"The cluster {other} is called {called!r} already: a name is given once.")
        return Correction(kind="name", clusters=(wanted,), name=called)

    return _record(published, make, who)


def undo(published: Published, number: int, who: Given) -> dict[str, Any]:
    """Take a correction back. The one that was given last about an image goes first."""

    def make(view: View) -> Correction:
        every = {one.number: one for one in view.corrections.every}
        if number not in every:
            raise UserError(f"There is no correction {number}: `congeal clusters DEST list` shows them.")
        if every[number].correction.kind == "undo":
            raise UserError(f"Correction {number} undoes another one: give that one again instead.")
        if number in view.corrections.undone:
            raise UserError(f"Correction {number} is undone by {view.corrections.undone[number]} already.")
        wanted = every[number].correction
        for later in view.corrections.in_force:
            if later.number > number and _rests_on(later.correction, wanted):
                raise UserError(f"Correction {later.number} rests on {number}: undo {later.number} first.")
        return Correction(kind="undo", clusters=wanted.clusters, undoes=number)

    return _record(published, make, who)


def listed(published: Published) -> list[dict[str, Any]]:
    """Every correction: number, by, at, why, kind, clusters, name, images (how many), undoes; and state:
    "in force", "waits for the next run", "undone by N"."""
    known = published.publication.counts.get("corrections", 0)
    corrections = read_corrections(published.place)
    return [_facts(one, corrections, known) for one in corrections.every]


def _record(published: Published, make: Callable[[View], Correction], who: Given) -> dict[str, Any]:
    place, known = published.place, KnownImages(published)
    single_writer = published.storage is not None and published.storage.single_writer
    if not single_writer:
        require_conditional_puts(place)

    def entry(there: Sequence[JournalEntry]) -> JournalEntry:
        correction = make(View(known, understood(there, place)))
        at = datetime.now(UTC).isoformat()
        facts = correction.model_dump(mode="json", exclude_defaults=True)
        return JournalEntry(number=0, by=who.by, at=at, why=who.why, facts=facts)

    written = append(place, entry)
    (one,) = understood([written], place).every
    return _facts(one, Corrections((one,)), known.applied) | {
        "source": published.source.url,
        "destination": place.url,
    }


def _facts(one: Recorded, corrections: Corrections, applied: int) -> dict[str, Any]:
    correction = one.correction
    state = "in force" if one.number <= applied else "waits for the next run"
    if one.number in corrections.undone:
        state = f"undone by {corrections.undone[one.number]}"
    changed = [image for image, (before, after) in correction.images.items() if before != after]
    return {
        "number": one.number,
        "kind": correction.kind,
        "clusters": list(correction.clusters),
        "images": len(changed),
        "name": correction.name,
        "undoes": correction.undoes,
        "by": one.by,
        "at": one.at,
        "why": one.why,
        "state": state,
    }


def _rests_on(later: Correction, earlier: Correction) -> bool:
    if earlier.kind == "name" or later.kind == "name":
        return False
    if later.images.keys() & earlier.images.keys():
        return True
    ends = {cluster for pair in earlier.images.values() for cluster in pair} | set(earlier.clusters)
    return later.kind == "pin" and bool(ends & set(later.clusters))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
