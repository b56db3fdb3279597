"""The label files of a YOLO data set, and which images of a collection they are of."""

from __future__ import annotations

from dataclasses import dataclass

from congeal.results.collection import Collection
from congeal.results.image_name_matching import match
from infra.storage.location import Location


@dataclass(frozen=True)
class Labels:
    """texts: label files by name. images_of: name to the path of its image, of those whose image is known.

    A label file is called as its image but for the ending. images_in_doubt: path to why it has none, of
    images that differ in the ending alone.
    """

    texts: dict[str, bytes]
    images_of: dict[str, str]
    images_in_doubt: dict[str, str]


def labels_in(folder: Location, collection: Collection) -> Labels:
    """The label files below a folder, and what is known of their images."""
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
    texts = {name: (folder / name).read_bytes() for name in names}
    doubt = {
        uri: f"{' and '.join(uris[:2])} would have one label file"
        for uris in by_stem.values()
        if len(uris) > 1
        for uri in uris
    }
    return Labels(texts, {name: alone[found[stem]] for name, stem in stems.items() if stem in found}, doubt)
