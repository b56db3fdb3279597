"""The folder that results are written to, and what must not be overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from congeal.results.collection import Collection
from congeal.results.transfer.point_transfer import TargetImages
from infra.errors import UserError
from infra.storage.image_source import as_path, places_of
from infra.storage.location import Location


@dataclass(frozen=True)
class Order:
    """Where to, and how.

    to: image names or "all". fade: alpha by confidence. composite: the edit laid over the image, instead of
    alone. with_images: copies of the images beside COCO's file. overwrite: files of the same names in `out`
    may be replaced. inputs: files that are read, which never are.
    """

    out: Location
    to: TargetImages = "all"
    fade: bool = False
    composite: bool = False
    with_images: bool = False
    overwrite: bool = False
    inputs: Sequence[Location] = ()


def outside(collection: Collection, out: Location) -> Location:
    """The folder to write to, which must not touch the photographs or the destination."""
    source = collection.source
    sources = [(place, "the source") for place in places_of(source)]
    for place, what in (*sources, (collection.place, "the destination")):
        if place.contains(out) or out.contains(place):
            raise UserError(f"The folder {out} holds {what} {place} or lies in it: write somewhere else.")
    return out


def nothing_lost(order: Order, names: Iterable[str]) -> None:
    """Raise UserError if writing these names into the folder would replace what is not to be replaced."""
    names = list(names)
    for name in names:
        for given in order.inputs:
            if (order.out / name).contains(given):
                raise UserError(f"The file {given} is an input: write somewhere else.")
    if order.overwrite:
        return
    if len(names) == 1:
        taken = [name for name in names if (order.out / name).exists()]
    else:
        there = {item.path for item in order.out.objects()}
        taken = [name for name in names if name in there]
    if taken:
        more = f" and {len(taken) - 1} more of these names" if len(taken) > 1 else ""
        raise UserError(
            f"The folder {order.out} holds {taken[0]}{more} already: name another folder, or say --overwrite."
        )


class FileNames:
    """A file name for every image, none twice."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def beside(self, uri: str, ending: str) -> str:
        """The image's path with another ending; where two images differ only in that, after the old one."""
        uri = as_path(uri)
        path = PurePosixPath(uri)
        name = str(path.with_suffix(ending))
        if name in self._taken:
            name = f"{uri}{ending}"
        self._taken.add(name)
        return name


@dataclass(frozen=True)
class LeftOut:
    """What nothing is carried to or from, and why, image to reason.

    misfits: images that do not fit their atlas. copies: other names of images that something is carried to.
    """

    misfits: dict[str, str]
    copies: dict[str, str]

    def facts(self) -> dict[str, object]:
        """For the answer of a command."""
        misfits = [{"image": image, "reason": reason} for image, reason in sorted(self.misfits.items())]
        copies = [{"image": image, "same_as": other} for image, other in sorted(self.copies.items())]
        return {"left_out": len(misfits), "left_out_images": misfits, "left_out_duplicates": copies}


def left_out(
    collection: Collection, clusters: Iterable[str], order: Order, marked: Iterable[str] = ()
) -> LeftOut:
    """What is left out of clusters. marked: paths of images that know themselves what is on them."""
    misfits: dict[str, str] = {}
    copies: dict[str, str] = {}
    if order.to != "all":
        return LeftOut(misfits, copies)
    known = set(marked)
    for cluster in clusters:
        reasons = collection.misfits(cluster)
        members = {row["image_id"]: str(row["uri"]) for row in collection.members(cluster)}
        misfits |= {
            members[image]: reason
            for image, reason in reasons.items()
            if image in members and members[image] not in known
        }
        copies |= {
            str(uri): members[image]
            for uri, image in collection.duplicates(cluster).items()
            if image in members and uri not in known
        }
    return LeftOut(misfits, copies)
