"""Individuals that are marked on images of a cluster, each told in its other images by how it looks."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from congeal.results.published_version import Published
from congeal.results.schema.rows import ImageRow, MemberRow
from congeal.transfer.individual_choice import (
    Individual,
    Look,
    assigned,
    compared_cells,
    likeness,
    look_of,
    rivals,
)
from infra.errors import MissingError, StorageError, UserError

if TYPE_CHECKING:
    from congeal.transfer.points import Maps

MARKS = 8  # marked instances of an individual that others are compared with
SIDE = 224  # pixels of the frames that are compared


class Individuals:
    """Which instance of an image each of several individuals is.

    Where nobody looked for further instances, or found any, everybody is the first, and no image is read.
    """

    def __init__(
        self,
        published: Published,
        cluster: str,
        marked: Mapping[int, Mapping[str, int]],
        unseen: MutableMapping[str, str] | None = None,
    ) -> None:
        """marked: by the number of an individual, image id to the instance that it was marked on.

        unseen: gets the images, by path, that could not be looked at, and why; None: that is an error.
        """
        self._published, self._cluster, self._unseen = published, cluster, unseen
        self._individuals = [Individual(*one) for one in marked.items()]
        self._apart = rivals(self._individuals)
        self._looks: dict[tuple[str, int], Look | None] = {}

    def instances_in(self, row: MemberRow) -> dict[int, int | None]:
        """By the number of an individual, which instance of an image it is; None: none of them.

        Those who are marked on the image are what they are marked on. Others are told by their look; where
        individuals are known to be different things, each has an instance of its own, or none. Who has no
        look, or where the image cannot be looked at, is none of them.

        Raises UserError if an image that this needs is not in the source any more, unless those are noted.
        """
        numbers = self._published.instances(self._cluster).numbers(row["image_id"])
        here = {one.number: one.marked.get(row["image_id"]) for one in self._individuals}
        others = [one for one in self._individuals if here[one.number] is None]
        if not others or (len(numbers) == 1 and not self._apart):
            return here | {one.number: 0 for one in others}
        free = [number for number in numbers if not self._apart or number not in here.values()]
        # Those who were always marked on the same instances are one body, as an animal and its harness are.
        bodies: dict[frozenset[tuple[str, int]], list[Individual]] = {}
        for one in others:
            bodies.setdefault(frozenset(one.marked.items()), []).append(one)
        known = [(body, looks) for body in bodies.values() if (looks := self._known(body[0]))]
        there = self._seen(row, free) if known else None
        if there is None:
            return here
        alike = [[np.mean([likeness(one, look) for one in looks]) for look in there] for _, looks in known]
        chosen = assigned(np.reshape(alike, (len(known), len(free))), self._apart)
        for (body, _), place in zip(known, chosen, strict=True):
            here |= {one.number: None if place is None else free[place] for one in body}
        return here

    def _known(self, one: Individual) -> list[Look]:
        """What it looks like on some of the images that it was marked on."""
        marked = sorted(one.marked.items())
        found = (self._marked(*place) for place in marked[:: -(-len(marked) // MARKS)])
        return [look for look in found if look is not None]

    def _marked(self, image_id: str, number: int) -> Look | None:
        if (image_id, number) not in self._looks:
            found = self._seen(self._rows[image_id], [number])
            self._looks[image_id, number] = found[0] if found else None
        return self._looks[image_id, number]

    @cached_property
    def _rows(self) -> dict[str, ImageRow]:
        """Of the images that somebody is marked on, by id."""
        ids = sorted({image for one in self._individuals for image in one.marked})
        return dict(zip(ids, self._published.find_all(ids), strict=True))

    @cached_property
    def _cells(self) -> npt.NDArray[np.bool_]:
        return compared_cells(self._published.stored(self._cluster).atlas_shares[0])

    def _seen(self, row: MemberRow | ImageRow, numbers: Sequence[int]) -> list[Look] | None:
        """The looks of some instances of an image; None: it cannot be looked at."""
        if not numbers:
            return []
        # What paints images is loaded only where looks are asked for.
        from congeal.imaging.decoding import square

        try:
            shown = square(self._published.pixels(row, SIDE), SIDE)
        except UserError as error:
            # A store that does not answer is no matter of one image.
            of_all = isinstance(error, StorageError) and not isinstance(error, MissingError)
            if self._unseen is None or of_all:
                raise
            self._unseen[str(row["uri"])] = str(error)
            return None
        image = str(row["image_id"])
        return [look_of(shown, self._maps(image, number), self._cells) for number in numbers]

    def _maps(self, image_id: str, number: int) -> Maps:
        if number:
            return self._published.instances(self._cluster).maps(image_id, number)
        stored = self._published.stored(self._cluster)
        return stored.maps(stored.position[image_id])
