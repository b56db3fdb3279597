"""Things that are marked on images of one cluster, carried to every instance in its other images."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from congeal.results.published_version import Published
from congeal.results.schema.rows import MemberRow
from congeal.results.transfer.individuals import Individuals
from congeal.results.transfer.point_transfer import sound
from congeal.transfer.annotations import EVERY, OWN, Annotation, Instances, together

if TYPE_CHECKING:
    from congeal.results.stored.instances import StoredInstances
    from congeal.results.stored.maps import StoredMaps
    from congeal.transfer.annotation_propagation import Mark
    from congeal.transfer.points import Maps

MASKS = 4  # images whose carried masks are in memory at once


@dataclass(frozen=True)
class Thing:
    """One thing on some images of a cluster: what can be transferred, and what is known already.

    Attributes:
        marks: what is carried from.
        known: by path. copies: by image id, for other names of the same bytes.
        lies: by image id, on which instance of the images that fit it was marked.
        kind, count: what it shares with others of its kind, and how many of these there are.
        instances: to which instances of images it is carried.
        served: the instances on which things of its kind were marked.
    """

    marks: list[Mark]
    known: dict[str, Annotation]
    copies: dict[str, Annotation]
    lies: dict[str, int]
    kind: tuple[object, ...]
    count: int = 1
    instances: Instances = EVERY
    served: frozenset[int] = field(default=frozenset({0}))

    @property
    def instance(self) -> int:
        """On which instance of its images it was marked, the first of them."""
        return min(self.lies.values(), default=0)

    def on(self, row: MemberRow) -> Annotation | None:
        """What is known of it on an image."""
        name = str(row["uri"])
        if name in self.known:
            return self.known[name]
        copy = self.copies.get(row["image_id"])
        if copy is None:
            return None
        sure = copy.keypoint_confidence
        if sure is None and copy.keypoints is not None:
            sure = np.where(np.isnan(copy.keypoints).any(1), 0.0, 1.0)
        return replace(copy, image=name, keypoint_confidence=sure, origin=(copy.image,))

    def serves(self, number: int) -> bool:
        """Whether it is carried to an instance: what was marked on several, each to its own, else to all."""
        if self.instances != EVERY and number:
            return False
        return self.instance == (number if number in self.served else min(self.served))


def marked_things(published: Published, pairs: Sequence[tuple[Annotation, MemberRow]]) -> list[Thing]:
    """The things that annotations mark; pairs: each with the row of its image, all of one cluster."""
    from congeal.transfer.annotation_propagation import mark

    rows = {row["uri"]: row for _, row in pairs}
    fits = dict(zip(rows, sound(published, list(rows.values())), strict=True))
    maps = {name: maps_of_instances(published, row) for name, row in rows.items()}
    things: list[Thing] = []
    for group in together([annotation for annotation, _ in pairs]):
        shown = [one for one in group if not one.empty]
        lies = {one.image: _instance_of(one, maps[one.image]) for one in shown}
        marks = [mark(one, maps[one.image][lies[one.image]]) for one in shown if fits[one.image]]
        known = {one.image: one for one in group}
        copies = {rows[one.image]["image_id"]: one for one in reversed(shown)}
        by_id = {rows[name]["image_id"]: number for name, number in lies.items() if fits[name]}
        asked = shown[0].instances if shown else EVERY
        things.append(Thing(marks, known, copies, by_id, group[0].kind, instances=asked))
    return [_among(thing, things) for thing in things]


def _among(thing: Thing, things: Sequence[Thing]) -> Thing:
    """The same, knowing those of its kind."""
    alike = [one for one in things if one.kind == thing.kind]
    served = frozenset(one.instance for one in alike if one.marks) or frozenset({thing.instance})
    return replace(thing, count=len(alike), served=served)


def maps_of_instances(published: Published, row: MemberRow) -> dict[int, Maps]:
    """The maps of all instances of an image, by number."""
    held = published.instances(row["cluster_id"])
    return {
        number: held.maps(row["image_id"], number) if number else published.maps(row)
        for number in held.numbers(row["image_id"])
    }


def _instance_of(annotation: Annotation, maps: dict[int, Maps]) -> int:
    from congeal.transfer.instance_choice import instance_at, places_of_annotation

    return instance_at(places_of_annotation(annotation), maps) if len(maps) > 1 else 0


def each_annotation(
    published: Published,
    cluster: str,
    things: Sequence[Thing],
    targets: Sequence[MemberRow],
    *,
    everything: bool,
    instances: bool,
    unseen: MutableMapping[str, str] | None = None,
) -> Iterator[tuple[Annotation, bool]]:
    """Each annotation, and whether it was marked there by hand.

    everything: the targets were not named; those that do not fit get only what is marked on them.
    instances: whether images have it on the instances that each annotation asks for, not on the first alone.
    unseen: see `congeal.results.transfer.individuals.Individuals`.
    """
    from congeal.transfer.annotation_propagation import carry_marks

    misfits = published.misfits(cluster) if everything else {}
    stored, held = published.stored(cluster), published.instances(cluster)
    individuals = {at: one.lies for at, one in enumerate(things) if one.instances == OWN and one.lies}
    who = Individuals(published, cluster, individuals, unseen)
    positions = [stored.position[row["image_id"]] for row in targets]
    # Masks are as large as their images: few are held at once.
    masks = any(one.annotation.mask is not None for thing in things for one in thing.marks)
    done = 0
    for some, maps in stored.slabs(positions, MASKS if masks else None):
        here = targets[done : done + len(some)]
        done += len(some)
        whole = functools.partial(_maps_of, stored, some)
        names = [str(row["uri"]) for row in here]
        found = [
            carry_marks(thing.marks, names, maps, whole) if thing.marks else [None] * len(here)
            for thing in things
        ]
        for number, row in enumerate(here):
            fits = row["image_id"] not in misfits
            known = [thing.on(row) for thing in things]
            lies = who.instances_in(row) if fits and instances else {}
            for at, (thing, mine, carried) in enumerate(zip(things, known, found, strict=True)):
                by_maps = carried[number]
                if mine is not None:
                    yield mine, names[number] in thing.known
                elif fits and by_maps is not None and (lies[at] == 0 if at in lies else thing.serves(0)):
                    yield replace(by_maps, deformation=stored.deformation), False
            if fits and instances:
                # A person who has marked an image has looked at it: it gets no more of the kind.
                looked = {thing.kind for thing, mine in zip(things, known, strict=True) if mine is not None}
                free = {at: thing for at, thing in enumerate(things) if thing.kind not in looked}
                for one in _on_further(held, row, free, lies):
                    yield replace(one, deformation=stored.deformation), False


def _on_further(
    held: StoredInstances,
    row: MemberRow,
    things: Mapping[int, Thing],
    lies: Mapping[int, int | None],
) -> Iterator[Annotation]:
    """What is carried to the instances of an image besides its first.

    things: by number. lies: which instance those are that images have once. Each other is in the next place
    of its kind.
    """
    from congeal.transfer.annotation_propagation import carry_marks
    from congeal.transfer.points import ForwardMaps

    places: dict[tuple[object, ...], int] = {}
    for number in held.numbers(row["image_id"])[1:]:
        maps = held.maps(row["image_id"], number)

        def whole(_: int, maps: Maps = maps) -> Maps:
            return maps

        for at, thing in things.items():
            meant = lies[at] == number if at in lies else thing.serves(number)
            if not thing.marks or not meant:
                continue
            (carried,) = carry_marks(thing.marks, [str(row["uri"])], ForwardMaps.of(maps), whole)
            if carried is None:
                continue
            if at not in lies:
                place = places.get(thing.kind, thing.count)
                places[thing.kind] = place + 1
                carried = replace(carried, place=place)
            yield carried


def _maps_of(stored: StoredMaps, positions: Sequence[int], row: int) -> Maps:
    return stored.maps(positions[row])
