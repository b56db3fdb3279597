"""COCO JSON: boxes, outlines, masks and keypoints of things on images (https://cocodataset.org/#format-data).

A file that was read comes back as its own text, with what is added in it: ids, unknown keys and the way that
numbers are written stay.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.coco_entries import Category, decoded, encoded, extent
from congeal.transfer.formats.json_text import Additions, elements, loaded, members
from congeal.transfer.formats.labels import Entry, Size

__all__ = ["Category", "CocoFile", "read", "write"]

DIGITS = re.compile(r"-?[0-9]{1,300}")


@dataclass(frozen=True)
class CocoFile:
    """What a file holds.

    Attributes:
        marks: its annotations in their order, with what of them cannot be read.
        sizes: its images by name: (width, height), or None where the file does not say it.
        categories: its categories.
        text: the file itself.
        about: what is said of a file without an `info`.
    """

    marks: list[Entry]
    sizes: dict[str, Size | None]
    categories: list[Category] = field(default_factory=list)
    text: str = ""
    about: str = "Carried by congeal"

    @property
    def annotations(self) -> list[Annotation]:
        """The annotations that mark something."""
        marked = [entry.annotation for entry in self.marks]
        return [one for one in marked if one is not None and not one.empty]

    @property
    def images(self) -> Mapping[str, Size | None]:
        """Every image that the file names, and its size there."""
        return self.sizes

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """What it marks; true sizes are not needed."""
        return self.marks

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """The file with carried annotations: see `congeal.transfer.formats.labels.LabelFile`.

        New images and annotations get ids beyond the highest. A hand-made annotation gets what it lacks of
        `bbox`, `area` and `score` (1); all else of it stays. Carried ones have `origin`, `score` and, if they
        have keypoints, `keypoint_scores`.
        """
        content = json.loads(self.text)
        spans = members(self.text)
        added = Additions(self.text)
        ids: dict[str, Any] = {}
        for image in content["images"]:
            ids.setdefault(found.get(str(image["file_name"]), ""), image["id"])
        new_image, new_entry = _Ids(content["images"]), _Ids(content["annotations"])
        category_ids = [(category.name, category.id) for category in self.categories]
        texts: list[str] = []
        new_images: list[str] = []
        for annotation in carried:
            uri = annotation.image
            if uri not in ids:
                ids[uri] = new_image()
                width, height = sizes[uri]
                facts = {"id": ids[uri], "file_name": uri, "width": width, "height": height}
                new_images.append(json.dumps(facts))
            category = annotation.category_id
            if category is None:
                category = next(number for name, number in category_ids if name == annotation.category)
            head = {"id": new_entry(), "image_id": ids[uri], "category_id": category}
            texts.append(json.dumps(head | encoded(annotation)))
        for entry, span in zip(
            content["annotations"], elements(self.text, spans["annotations"][0]), strict=True
        ):
            if isinstance(entry, dict):
                lacking = extent(entry) | ({} if "score" in entry else {"score": 1.0})
                added.add(span, lacking)
        added.append(spans["annotations"], texts)
        added.append(spans["images"], new_images)
        if "info" not in content:
            start = len(self.text) - len(self.text.lstrip())
            added.add((start, len(self.text.rstrip())), {"info": {"description": self.about}})
        return added.text().encode("utf-8", "surrogatepass")


def read(data: bytes) -> CocoFile:
    """Read COCO JSON.

    An annotation that cannot be read, or not whole, refuses no file: it is among `marks`, which say why.
    Raises CongealError, naming the entry, for anything that is no COCO file, or if no annotation can be read.
    """
    text, content = _parsed(data)
    images = _entries(content, "images", ("id", "file_name"))
    entries = _entries(content, "categories", ("id", "name"))
    categories = [_category(entry) for entry in entries]
    files, kinds = _ById(images), _ById(entries)
    names = [category.name for category in categories]
    marks: list[Entry] = []
    listed = content.get("annotations")
    if not isinstance(listed, list):
        raise CongealError("it is no COCO file: it has no list of annotations")
    for number, entry in enumerate(listed):
        marks.append(_mark(number, entry, files, kinds, categories, names))
    sizes = {str(entry["file_name"]): _size(entry) for entry in images}
    file = CocoFile(marks, sizes, categories, text)
    broken = next((mark for mark in marks if mark.problems), None)
    if broken is not None and not file.annotations:
        raise CongealError(f"{broken.name}: {broken.problems[0]}")
    return file


def write(
    annotations: Iterable[Annotation],
    sizes: Mapping[str, Size],
    categories: Sequence[Category] = (),
    about: str = "",
) -> bytes:
    """COCO JSON with the images in ``sizes`` (name to width and height) and annotations on them.

    Every annotation carries a `bbox` and an `area`, `score` (its confidence), `origin` (the images it comes
    from, joined by commas) and, if it has keypoints, `keypoint_scores`. Categories that are not given are
    numbered on from the highest id, in order of appearance. Ids of images and annotations count from 1.
    """
    known = {category.name: category for category in categories}
    number = _Ids([{"id": category.id} for category in categories])
    ids = {name: number for number, name in enumerate(sizes, 1)}
    entries: list[dict[str, Any]] = []
    for annotation in annotations:
        if annotation.category not in known:
            known[annotation.category] = Category(
                number(), annotation.category, tuple(annotation.keypoint_names)
            )
        facts = {
            "id": len(entries) + 1,
            "image_id": ids[annotation.image],
            "category_id": known[annotation.category].id,
        }
        entries.append(facts | encoded(annotation))
    content = {
        "info": {"description": about},
        "images": [
            {"id": ids[name], "file_name": name, "width": width, "height": height}
            for name, (width, height) in sizes.items()
        ],
        "categories": [_category_entry(category) for category in known.values()],
        "annotations": entries,
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _parsed(data: bytes) -> tuple[str, dict[str, Any]]:
    text, content = loaded(data)
    if not isinstance(content, dict):
        raise CongealError("it is no COCO file: images, annotations and categories are missing")
    return text, content


def _mark(
    number: int,
    entry: Any,
    files: _ById,
    kinds: _ById,
    categories: Sequence[Category],
    names: Sequence[str],
) -> Entry:
    if not isinstance(entry, dict):
        return Entry(f"annotations[{number}]", "", None, ["it is no object"])
    label = f"annotation {entry['id']}" if "id" in entry else f"annotations[{number}]"
    for key in ("image_id", "category_id"):
        if key not in entry:
            return Entry(label, "", None, [f"it has no {key}"])
    image = files.find(entry["image_id"])
    if image is None:
        problem = f"it is of the image {entry['image_id']}, which is not among the images"
        return Entry(label, "", None, [problem])
    name = str(files.entries[image]["file_name"])
    kind = kinds.find(entry["category_id"])
    if kind is None:
        problem = f"it is of the category {entry['category_id']}, which is not named"
        return Entry(label, name, None, [problem])
    annotation, problems = decoded(entry, name, categories[kind])
    alike = names.count(categories[kind].name) > 1
    annotation = replace(annotation, category_id=categories[kind].id if alike else None)
    return Entry(label, name, annotation, problems)


class _ById:
    """Entries by their id. A number and its digits as text mean the same if nothing else does."""

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self.entries = entries
        self._exact: dict[str, list[int]] = {}
        self._loose: dict[str, list[int]] = {}
        for number, entry in enumerate(entries):
            self._exact.setdefault(json.dumps(entry["id"]), []).append(number)
            self._loose.setdefault(str(entry["id"]), []).append(number)

    def find(self, id_: Any) -> int | None:
        """The place of the entry, or None if there is none or several different ones."""
        found = self._exact.get(json.dumps(id_)) or self._loose.get(str(id_)) or []
        called = {str(self.entries[number].get("file_name", number)) for number in found}
        return found[0] if len(called) == 1 else None


class _Ids:
    """New ids beyond the highest of some entries: numbers, or numbers as text where ids are text."""

    def __init__(self, entries: Iterable[Any]) -> None:
        taken = [entry.get("id") for entry in entries if isinstance(entry, dict)]
        self._text = any(isinstance(value, str) for value in taken)
        numbers = [int(value) for value in taken if isinstance(value, str) and DIGITS.fullmatch(value)]
        numbers += [int(value) for value in taken if _number(value)]
        self._last = max([0, *numbers])

    def __call__(self) -> int | str:
        self._last += 1
        return str(self._last) if self._text else self._last


def _number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _entries(content: dict[str, Any], name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise CongealError(f"it is no COCO file: it has no list of {name}")
    for number, entry in enumerate(entries):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise CongealError(f"{name}[{number}] has no {missing[0]}")
        if not isinstance(entry["id"], (int, float, str)):
            raise CongealError(f"{name}[{number}] has the id {entry['id']}: it must be a number or text")
    return entries


def _size(entry: dict[str, Any]) -> Size | None:
    sides = []
    for value in (entry.get("width"), entry.get("height")):
        side = int(value) if isinstance(value, str) and DIGITS.fullmatch(value) else value
        if not _number(side) or side < 1:
            return None
        sides.append(int(side))
    return sides[0], sides[1]


def _category(entry: dict[str, Any]) -> Category:
    keypoints, skeleton = entry.get("keypoints"), entry.get("skeleton")
    names = tuple(str(name) for name in keypoints) if isinstance(keypoints, list) else ()
    joined = [
        (pair[0], pair[1])
        for pair in (skeleton if isinstance(skeleton, list) else ())
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, int) for end in pair)
    ]
    return Category(entry["id"], str(entry["name"]), names, tuple(joined))


def _category_entry(category: Category) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": category.id, "name": category.name}
    if category.keypoints:
        entry |= {
            "keypoints": list(category.keypoints),
            "skeleton": [list(pair) for pair in category.skeleton],
        }
    return entry
