from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
import pytest

from congeal.results.schema.atlas_arrays import ATLAS_GROUP, NESTED
from congeal.results.schema.dictionary import GROUPS, arrays_text
from congeal.results.schema.feature_arrays import FEATURE_GROUP, dense_arrays
from congeal.results.schema.zarr_arrays import ZarrArray, described

ROOT = Path(__file__).parents[4]
SCHEMA = ROOT / "congeal/results/schema"
PATHS = {array.path for group in GROUPS for array in group.arrays}
FILES = [
    path
    for folder in ("congeal", "tasks", "flows", "infra")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if SCHEMA not in path.parents
]


def test_the_page_describes_every_array() -> None:
    """It is what `arrays_text` gives; write it anew with
    python -c "from congeal.results.schema.dictionary import arrays_text as a; print(a(), end='')"."""
    assert (ROOT / "docs/arrays.md").read_text() == arrays_text()


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_group_is_described_completely(group: object) -> None:
    assert group in GROUPS
    (found,) = [one for one in GROUPS if one is group]
    assert len({array.path for array in found.arrays}) == len(found.arrays)
    for array in found.arrays:
        assert np.dtype(array.dtype).name == array.dtype
        assert len(set(array.dims)) == len(array.dims) > 0
        assert array.units
        assert array.about
        # Readers fetch single images; only arrays over images can be cut so.
        assert not array.by_image or array.dims[0] == "image"
    assert all(found.attributes.values())


def test_an_array_without_axes_has_no_attributes() -> None:
    plain = ZarrArray("a/b", "float32", ("image",), "1", "about")
    assert (plain.name, plain.attributes, plain.chunks((3, 2))) == ("b", {}, None)
    said = ZarrArray("a", "float32", ("image", "u"), "1", "about", "image; then u", by_image=True)
    assert said.attributes == {"units": "1", "axes": "image; then u"}
    assert said.chunks((3, 2)) == (1, 2)


def test_an_attribute_without_a_sentence_is_an_error() -> None:
    class Bare(TypedDict):
        name: str

    with pytest.raises(AttributeError):
        described(Bare)


def test_the_template_is_the_solvers_atlas() -> None:
    from congeal.alignment.model import Atlas
    from congeal.results.stored.template import Template

    assert Template.__annotations__.keys() < set(Atlas.__dataclass_fields__)
    assert {name for names in NESTED.values() for name in names} <= set(ATLAS_GROUP.attributes)


def test_every_view_of_an_image_has_arrays_of_its_own() -> None:
    pairs = [dense_arrays(turned, mirrored) for turned in (False, True) for mirrored in (False, True)]
    arrays = {array for pair in pairs for array in pair}
    assert len(arrays) == 8
    assert arrays < set(FEATURE_GROUP.arrays)


def _literals(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals, those in f-strings among them; no docstrings."""
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node


def _keys(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals that a subscript, a call of `get` or a test with `in` asks for."""
    for node in ast.walk(tree):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            if isinstance(node.value, ast.Attribute) and node.value.attr in ("units", "record"):
                continue
            asked = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            asked = node.args[:1]
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            asked = [node.left]
        yield from (one for one in asked if isinstance(one, ast.Constant) and isinstance(one.value, str))


def named(text: str) -> list[str]:
    """The lines of a module that name a Zarr array or group by a literal.

    Paths of nested arrays and names of groups count anywhere; plain words, such as "saliency", where
    something is asked for them in a module that reads or writes groups, unless they may name a stage.
    """
    tree = ast.parse(text)
    nested = tuple({f"{path.rpartition('/')[0]}/" for path in PATHS if "/" in path})
    groups = tuple(group.name for group in GROUPS)
    found = [node for node in _literals(tree) if node.value in PATHS and "/" in str(node.value)]
    found += [node for node in _literals(tree) if str(node.value).startswith((*nested, *groups))]
    imports = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "infra.storage.zarr_groups"
        for alias in node.names
    }
    if imports:
        plain = PATHS | {path.rpartition("/")[2] for path in PATHS}
        found += [node for node in _keys(tree) if node.value in plain]
    return sorted({f"{node.lineno}: {node.value!r}" for node in found})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_array_is_named_outside_the_schema(path: Path) -> None:
    assert named(path.read_text()) == []


def test_an_array_named_by_a_literal_is_found() -> None:
    zarr = "from infra.storage.zarr_groups import open_group\n"
    assert named('x = group["maps/forward"]') == ["1: 'maps/forward'"]
    assert named('x = f"atlas/{name}"') == ["1: 'atlas/'"]
    assert named('x = place / "features.zarr"') == ["1: 'features.zarr'"]
    assert named(zarr + 'x = group["embedding"][:]') == ["2: 'embedding'"]
    assert named(zarr + 'x = "basis" in arrays') == ["2: 'basis'"]
    assert named(zarr + 'x = publication.units["features"]') == []
    assert named('"""maps/forward are the maps."""\nx = row["confidence"]') == []
