"""The documentation holds: its links, its pictures, the functions it names, its tables and its examples."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from documented import PAGES, ROOT

import congeal
from congeal.results.landmark_shapes import MeasuredShapes

PICTURES = ROOT / "docs" / "pictures" / "method"
MOST_BYTES = 100_000
LINK = re.compile(r"\]\(([^)\s]+)\)")
FUNCTION = re.compile(r"`((?:congeal|tasks|infra|flows)(?:\.\w+)+):(\w+)`")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Where links into a page may lead, as GitHub makes them of headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), flags=re.M)
    plain = (re.sub(r"[`*]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for link in LINK.findall(prose(page)):
            if not re.match(r"[a-z]+:", link):
                yield page, link


@pytest.mark.parametrize(
    ("page", "link"), [pytest.param(page, link, id=f"{page.name}: {link}") for page, link in links()]
)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists()
    if anchor and target.suffix == ".md":
        assert anchor in anchors(target)


def test_every_page_has_its_place_in_the_site() -> None:
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text())
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages | {"index.md"} == set(listed)


def test_the_pictures_of_the_method_are_small_and_all_used() -> None:
    used = set(re.findall(r"pictures/method/([\w-]+)\.png", (ROOT / "docs" / "method.md").read_text()))
    assert {path.stem for path in PICTURES.glob("*.png")} == used
    assert all(path.stat().st_size < MOST_BYTES for path in PICTURES.glob("*.png"))


def test_every_picture_of_the_method_is_one_that_the_script_draws() -> None:
    scripts = (ROOT / "scripts").glob("method_*_figures.py")
    drawn = [
        name
        for script in scripts
        for name in re.findall(r"^@figure\ndef (\w+)", script.read_text(), flags=re.M)
    ]
    assert {name.replace("_", "-") for name in drawn} == {path.stem for path in PICTURES.glob("*.png")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_functions_that_a_page_names_are_there(page: Path) -> None:
    for module, name in FUNCTION.findall(page.read_text()):
        assert hasattr(importlib.import_module(module), name), f"{module}:{name}"


OBJECTS: dict[str, object] = {
    "congeal": congeal,
    "c": congeal.Collection,
    "aligned": congeal.ImageAlignment,
    "measured": MeasuredShapes,
    "grouped": MeasuredShapes,
}


def blocks_of_python() -> Iterator[tuple[str, ast.Module]]:
    """Those that are shown and not run; what is run is in test_doctests.py."""
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S):
            if ">>>" not in block:
                yield page.name, ast.parse(block, page.name)


def test_the_python_of_the_pages_asks_for_what_there_is() -> None:
    calls = 0
    for page, tree in blocks_of_python():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=of), attr=name)) if of in OBJECTS:
                    given = {one.arg: None for one in node.keywords if one.arg}
                    asked = inspect.signature(getattr(OBJECTS[of], name))
                    own = (
                        [None]
                        if inspect.isfunction(OBJECTS[of].__dict__.get(name)) and of != "congeal"
                        else []
                    )
                    asked.bind_partial(*own, *node.args, **given)
                    calls += 1
                case ast.Attribute(value=ast.Name(id=of), attr=name) if of in OBJECTS:
                    fields = getattr(OBJECTS[of], "__dataclass_fields__", ())
                    assert hasattr(OBJECTS[of], name) or name in fields, f"{page}: {of}.{name}"
    assert calls > 20


def test_everything_that_a_collection_can_be_asked_is_on_its_page() -> None:
    page = (ROOT / "docs" / "reading.md").read_text()
    asked = [name for name in dir(congeal.Collection) if not name.startswith("_")]
    assert [name for name in asked if f"c.{name}" not in page] == []


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    names = [name for name in congeal.__all__ if not name.startswith("_")]
    assert [name for name in names if f"::: congeal.{name}\n" not in pages] == []


def test_the_script_of_the_pictures_finds_what_it_draws_with(scripts: None) -> None:
    assert len(importlib.import_module("method_figures").FIGURES) >= 10


@pytest.mark.parametrize("page", ["architecture.md", "contribute.md", "method.md", "release.md"])
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`([\w.]+(?:/[\w.]+)+/?)[` ]", prose(ROOT / "docs" / page))
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


def test_the_drawing_of_the_packages_is_that_of_the_contracts(scripts: None) -> None:
    drawn = ROOT / "docs" / "pictures" / "architecture" / "packages.svg"
    made = importlib.import_module("architecture_drawings").packages()
    assert drawn.read_text() == made, "run python scripts/architecture_drawings.py"


def test_the_drawing_of_the_data_shows_the_sizes_that_are_kept(scripts: None) -> None:
    folder = ROOT / "docs" / "pictures" / "architecture"
    made = importlib.import_module("architecture_drawings").data(
        json.loads((folder / "sizes.json").read_text())
    )
    assert (folder / "data.svg").read_text() == made, "run python scripts/architecture_drawings.py"


def test_the_method_names_a_function_in_each_step() -> None:
    steps = re.split(r"^## \d+\. ", (ROOT / "docs" / "method.md").read_text(), flags=re.M)[1:]
    assert len(steps) >= 10
    for step in steps:
        assert FUNCTION.search(step), step.partition("\n")[0]
        assert "```math" in step
        assert "pictures/method/" in step


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of scripts/ can be imported."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield
    for name in (
        "architecture_drawings",
        "method_drawing",
        "method_figures",
        "method_map_figures",
        "method_pose_figures",
        "method_steps",
        "settings_tables",
    ):
        sys.modules.pop(name, None)


@dataclass(frozen=True)
class Kernel:
    """How far off counts.

    More is said here.
    """

    width: float = field(
        default=0.08, metadata={"about": "scale | of the kernel", "unit": "frame units", "held_out": False}
    )


@dataclass(frozen=True)
class Constants:
    """A configuration."""

    tokens: int = field(
        default=400, metadata={"about": "tokens of an image", "set_on": "ducks", "held_out": True}
    )
    kernel: Kernel = field(default_factory=Kernel)


def test_a_configuration_as_a_page(scripts: None) -> None:
    made = importlib.import_module("settings_tables").page(Constants(), {"few": {"tokens": 9}})
    assert "| `tokens` | 400 | – | tokens of an image | ducks | yes |" in made
    assert "## `kernel`: How far off counts\n" in made
    assert "| `few` | `tokens` = 9 |" in made
    assert "| `width` | 0.08 | frame units | scale \\| of the kernel | – | **no** |" in made


def test_the_page_of_constants_is_the_configuration(scripts: None) -> None:
    config = importlib.import_module("congeal.alignment.config")
    made = importlib.import_module("settings_tables").page(config.SolverConfig(), config.PRESETS)
    assert (ROOT / "docs" / "constants.md").read_text() == made, "run python scripts/settings_tables.py"


def sections() -> Iterator[tuple[str, str]]:
    """Every section of a docstring that lists names, and where it stands."""
    for package in ("congeal", "flows", "infra", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    told = ast.get_docstring(node) or ""
                    for section in re.findall(r"^(?:Args|Attributes):\n((?:    .*\n?)+)", told, flags=re.M):
                        yield f"{path.relative_to(ROOT)}: {node.name}", section


def test_each_line_of_a_section_is_a_name_or_goes_on() -> None:
    # What reads docstrings takes any other line for a name.
    faults = [
        f"{where}: {line.strip()}"
        for where, section in sections()
        for line in section.splitlines()
        if not re.match(r"    (    |[\w*, ]+: )", line)
    ]
    assert not faults
