"""No sentence says "1 images": what is counted in a sentence goes through "
"`congeal_floors.plurals.counted`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from congeal_floors.plurals import counted

ROOT = Path(__file__).resolve().parents[1]
NOUNS = (
    "annotations|bytes|cells|channels|clusters|columns|cores|faults|files|folders|frames|images|"
    "instances|layers|masks|members|objects|pages|pictures|pieces|points|processes|reasons|rows|runs|"
    "sets|shards|threads|tokens|units|versions|workers"
)
COUNTED = re.compile(rf" (?:\w+ ){{0,2}}(?:{NOUNS})\b")
# Sentences whose number is never 1, or is not of what follows it.
NEVER_ONE = {
    "entry.bytes bytes", "len(data) bytes", "grid cells", "len(names) clusters",
    "len(names) images", "catalog.failed images", "self.left_out images", "len(images) or more images",
    "width cells", "', '.join(map(str, lengths)) points",
    "self.name takes uint8 images", "annotated.name has files", "number of the annotations",
    "given[0] names its images", "address has no workers", "name has no frames", "place has the columns",
    "free in images", "facts['unit_seconds'] s of units",
    # SQL
    "columns FROM images", "count FROM images", "', '.join(_QUALITY) FROM clusters", "cells FROM members",
    "joined.columns FROM images", "table ANTI JOIN images",
    "', '.join((f'i.{name}' for name in _IMAGES)) FROM images",
}  # fmt: skip


def sentences() -> Iterator[tuple[str, int, str]]:
    for floor in ("congeal", "congeal_floors", "flows", "infra", "tasks"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    for value, after in zip(node.values, node.values[1:], strict=False):
                        if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                            found = COUNTED.match(str(after.value))
                            if found and not _constant(value.value):
                                yield (
                                    str(path.relative_to(ROOT)),
                                    node.lineno,
                                    ast.unparse(value.value) + found[0],
                                )


def _constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id.isupper()


def test_sentences_count_in_words() -> None:
    assert [one for one in sentences() if one[2] not in NEVER_ONE] == []


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (2000, "2,000 images")]
)
def test_counted(count: int, words: str) -> None:
    assert counted(count, "image") == words
    assert counted(1, "axis", "axes") + counted(2, "axis", "axes") == "1 axis2 axes"
