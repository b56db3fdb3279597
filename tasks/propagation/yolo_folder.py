"""The label files of a YOLO data set, and which images of a collection they are of."""

from __future__ import annotations

from congeal.results.collection import Collection
from congeal.results.image_name_matching import match
from infra.storage.location import Location


def labels_in(folder: Location, collection: Collection) -> tuple[dict[str, bytes], dict[str, str]]:
    """Label files below a folder by name; the name of each to the path of its image, if that is known.

    A label file is called as its image but for the ending; images that differ in the ending alone have none.
    """
    from congeal.transfer.formats import yolo

    names = sorted(item.path for item in folder.objects() if yolo.is_labels(item.path))
    by_stem: dict[str, list[str]] = {}
    for uri in collection.table("images", columns=["uri"], as_="arrow")["uri"].to_pylist():
        by_stem.setdefault(yolo.stem(uri), []).append(uri)
    alone = {stem: uris[0] for stem, uris in by_stem.items() if len(uris) == 1}
    stems = {name: yolo.image_stem(name) for name in names}
    found = match(list(stems.values()), alone).found
    texts = {name: (folder / name).read_bytes() for name in names}
    return texts, {name: alone[found[stem]] for name, stem in stems.items() if stem in found}
