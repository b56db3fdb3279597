"""Labels that are many files in a folder: which files those are, and of which images of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from congeal.errors import CongealError
from congeal.results.collection import Collection
from congeal.results.image_name_matching import match
from infra.errors import UserError
from infra.storage.location import Location
from infra.threads import in_threads

if TYPE_CHECKING:
    from congeal.transfer.formats.labelme import LabelmeImage


def apart(out: Location, folder: Location) -> None:
    """Raise UserError where what is written would lie among the labels that are read."""
    if folder.contains(out) or out.contains(folder):
        raise UserError(f"The folder {out} holds the labels in {folder} or lies there: write elsewhere.")


@dataclass(frozen=True)
class YoloLabels:
    """texts: label files by name. images_of: name to the path of its image, of those whose image is known.

    A label file is called as its image but for the ending. images_in_doubt: path to why it has none, of
    images that differ in the ending alone.
    """

    texts: dict[str, bytes]
    images_of: dict[str, str]
    images_in_doubt: dict[str, str]


def yolo_labels(folder: Location, collection: Collection) -> YoloLabels:
    """YOLO's label files below a folder, and what is known of their images."""
    from congeal.transfer.formats import yolo

    names = sorted(item.path for item in folder.objects() if yolo.is_labels(item.path))
    by_stem: dict[str, list[str]] = {}
    table = collection.table("images", columns=["uri", "status"], as_="arrow")
    for uri, status in zip(table["uri"].to_pylist(), table["status"].to_pylist(), strict=True):
        if status != "failed":
            by_stem.setdefault(yolo.stem(uri), []).append(uri)
    alone = {stem: uris[0] for stem, uris in by_stem.items() if len(uris) == 1}
    stems = {name: yolo.image_stem(name) for name in names}
    found = match(list(stems.values()), alone).found
    texts = dict(zip(names, in_threads(lambda name: (folder / name).read_bytes(), names), strict=True))
    doubt = {
        uri: f"{' and '.join(uris[:2])} would have one label file"
        for uris in by_stem.values()
        if len(uris) > 1
        for uri in uris
    }
    known = {name: alone[found[stem]] for name, stem in stems.items() if stem in found}
    return YoloLabels(texts, known, doubt)


def labelme_files(folder: Location) -> Iterator[LabelmeImage]:
    """labelme's files below a folder, one after the other: they may hold their whole image.

    Raises CongealError where there is none.
    """
    from congeal.transfer.formats import labelme

    names = sorted(item.path for item in folder.objects() if item.path.lower().endswith(labelme.ENDING))
    read = 0
    for name in names:
        file = labelme.read(name, (folder / name).read_bytes())
        if file is not None:
            read += 1
            yield file
    if not read:
        raise CongealError("no file of labelme lies in it: give the folder that its .json files lie in")
