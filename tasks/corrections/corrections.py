"""The corrections that are in force in a destination, and what of them a run has yet to apply.

A correction of members says of single images which cluster they had and which they are to have, whatever it
was called: a merge, a split and a move are all of this kind. So it can be kept through growth, and undone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import DamagedError, UserError
from infra.ledger.commits import digest
from infra.ledger.journal import JournalEntry, entries
from infra.storage.location import Location

Kind = Literal["merge", "split", "move", "exclude", "pin", "name", "undo"]
WHOLE = ("merge", "split")  # corrections that place every image of the clusters that they name
LONGEST_NAME = 100  # characters
LONGEST_REASON = 1000


class Pose(BaseModel):
    """How an image shows its atlas: the columns of the table alignments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mirrored: bool
    rotation: float
    scale: float
    translation_u: float
    translation_v: float


class Correction(BaseModel):
    """What one record says.

    Attributes:
        kind: the command.
        clusters: those that it names, ids.
        images: image id to cluster before and after; None: it has none. In an exclusion the second is None.
        medoids: cluster to its medoid when the correction was made; tells which cluster is meant after a
            collection was split anew.
        name: of the cluster.
        pose, pose_before: of a reference image, as it is to be and as it was.
        parent: of a split, the cluster whose frame the new one keeps.
        undoes: number of another correction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    clusters: tuple[str, ...] = ()
    images: dict[str, tuple[str | None, str | None]] = {}
    medoids: dict[str, str] = {}
    name: str | None = None
    pose: Pose | None = None
    pose_before: Pose | None = None
    parent: str | None = None
    undoes: int | None = None


@dataclass(frozen=True)
class Recorded:
    """A correction with its number, and who gave it, when and why."""

    number: int
    by: str
    at: str
    why: str | None
    correction: Correction


@dataclass(frozen=True)
class Placement:
    """What the stage of clusters is told of a collection's images, by id.

    Attributes:
        clusters: image to the cluster that it belongs to.
        excluded: images that take no part.
        references: cluster to the image that comes first in it.
        medoids: cluster to an image by which it is found, should there be none of that name.
        touched: clusters that are solved anew in this run.
        restored: image to the cluster that it had before a correction that was undone; None: none.
    """

    clusters: Mapping[str, str] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    references: Mapping[str, str] = field(default_factory=dict)
    medoids: Mapping[str, str] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()
    restored: Mapping[str, str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.clusters or self.excluded or self.references or self.touched or self.restored)

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        return digest(
            sorted(self.clusters.items()),
            sorted(self.excluded),
            sorted(self.references.items()),
            sorted(self.medoids.items()),
            sorted(self.touched),
            sorted(self.restored.items()),
        )


NOWHERE = Placement()


@dataclass(frozen=True)
class Corrections:
    """All records of a destination, the oldest first."""

    every: tuple[Recorded, ...] = ()

    @cached_property
    def undone(self) -> dict[int, int]:
        """Number of a correction to that of the one that undoes it."""
        return {one.correction.undoes: one.number for one in self.every if one.correction.undoes is not None}

    @cached_property
    def in_force(self) -> tuple[Recorded, ...]:
        """Those that hold."""
        return tuple(
            one for one in self.every if one.correction.kind != "undo" and one.number not in self.undone
        )

    @cached_property
    def names(self) -> dict[str, str]:
        """Cluster id to name."""
        return {
            one.correction.clusters[0]: one.correction.name
            for one in self.in_force
            if one.correction.kind == "name" and one.correction.name
        }

    @cached_property
    def of_members(self) -> tuple[int, ...]:
        """Numbers of those in force that bear on which images make an atlas, and on its frame."""
        return tuple(one.number for one in self.in_force if one.correction.kind != "name")

    @property
    def last(self) -> int:
        """The number of the newest record; 0: there is none."""
        return self.every[-1].number if self.every else 0

    @property
    def digest(self) -> str | None:
        """Digest of what is in force; None: nothing is."""
        held = [one.correction.model_dump(mode="json") for one in self.in_force]
        return digest(held) if held else None

    def placement(self, applied: Collection[int] | None) -> Placement:
        """What a run that starts from a version has to do. applied: the numbers that it has applied; None:
        there is no such version."""
        placed: dict[str, str | None] = {}
        medoids: dict[str, str] = {}
        references: dict[str, str] = {}
        for one in self.in_force:
            correction = one.correction
            placed.update({image: after for image, (_, after) in correction.images.items()})
            medoids |= correction.medoids
            if correction.kind == "pin":
                references[correction.clusters[0]] = next(iter(correction.medoids.values()))
        touched: set[str] = set()
        restored: dict[str, str | None] = {}
        if applied is not None:
            for one in reversed(self._undone_of(applied)):
                touched |= _touched(one.correction)
                restored |= {
                    image: before
                    for image, (before, _) in one.correction.images.items()
                    if image not in placed
                }
            for one in self._new(applied):
                touched |= _touched(one.correction)
        targets = set(placed.values())
        return Placement(
            {image: cluster for image, cluster in placed.items() if cluster is not None},
            frozenset(image for image, cluster in placed.items() if cluster is None),
            references,
            {cluster: image for cluster, image in medoids.items() if cluster in targets},
            frozenset(touched),
            restored,
        )

    def frames(self, applied: Collection[int]) -> dict[str, tuple[str, Pose]]:
        """Cluster to the reference image by which its frame is laid anew in this run, and its pose there."""
        found: dict[str, tuple[str, Pose]] = {}
        for one in reversed(self._undone_of(applied)):
            _add_frame(found, one.correction, one.correction.pose_before)
        for one in self._new(applied):
            _add_frame(found, one.correction, one.correction.pose)
        return found

    def parents(self, applied: Collection[int]) -> dict[str, str]:
        """New cluster to the one that it was split from in this run."""
        return {
            one.correction.clusters[1]: one.correction.parent
            for one in self._new(applied)
            if one.correction.parent is not None
        }

    def _new(self, applied: Collection[int]) -> list[Recorded]:
        return [
            one for one in self.in_force if one.correction.kind != "name" and one.number not in set(applied)
        ]

    def _undone_of(self, applied: Collection[int]) -> list[Recorded]:
        return [one for one in self.every if one.number in set(applied) and one.number in self.undone]


NONE = Corrections()


def read_corrections(destination: Location) -> Corrections:
    """The corrections of a destination. Raises DamagedError for one that is not what was written."""
    return understood(entries(destination), destination)


def understood(found: Sequence[JournalEntry], destination: Location) -> Corrections:
    """Records of a journal as corrections."""
    return Corrections(tuple(_recorded(entry, destination) for entry in found))


def checked_name(name: str) -> str:
    """A name for a cluster, in Unicode's composed form; UserError if it cannot be one."""
    text = unicodedata.normalize("NFC", name).strip()
    if not text:
        raise UserError("A name has at least one character.")
    if len(text) > LONGEST_NAME:
        raise UserError(f"A name has at most {LONGEST_NAME} characters, and this one has {len(text)}.")
    if not plain(text):
        raise UserError("A name is one line of plain text: leave out line breaks and control characters.")
    return text


def plain(text: str) -> bool:
    """True for text without line breaks, control, formatting, private and unassigned characters."""
    return all(
        unicodedata.category(one)[0] != "C" and unicodedata.category(one) not in ("Zl", "Zp") for one in text
    )


def _recorded(entry: JournalEntry, destination: Location) -> Recorded:
    try:
        correction = Correction.model_validate(entry.facts)
    except ValidationError as fault:
        raise DamagedError(
            f"Correction {entry.number} of {destination} is of a kind that this congeal does not know: "
            "upgrade congeal, or delete its file."
        ) from fault
    if correction.name is not None and (not plain(correction.name) or len(correction.name) > LONGEST_NAME):
        raise DamagedError(f"Correction {entry.number} of {destination} holds no name: delete its file.")
    return Recorded(entry.number, entry.by, entry.at, entry.why, correction)


def _touched(correction: Correction) -> set[str]:
    """The clusters that a correction of members concerns."""
    ends = {cluster for pair in correction.images.values() for cluster in pair if cluster is not None}
    return ends | set(correction.clusters)


def _add_frame(found: dict[str, tuple[str, Pose]], correction: Correction, pose: Pose | None) -> None:
    if correction.kind == "pin" and pose is not None:
        found[correction.clusters[0]] = (next(iter(correction.medoids.values())), pose)
