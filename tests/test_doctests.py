"""The examples in the pages and in public docstrings (`>>>`) give what they say, on the samples."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from documented import PAGES, ROOT
from sample_runs import run

from congeal.settings import load_settings

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PACKAGES = ("congeal", "infra", "tasks", "flows")
KIND, COUNT = "mug", 6
# Enough for examples: the grid has 16 x 16 tokens.
SETTINGS = (
    "features.backbone=embedded",
    "features.image_size=224",
    "features.device=cpu",
    "features.precision=float32",
    "clusters.method=single",
    "engine.kind=loop",
    "engine.threads=1",
)


def of_pages() -> Iterator[doctest.DocTest]:
    """Those of each page, one after the other."""
    parser = doctest.DocTestParser()
    for page in PAGES:
        blocks = re.findall(r"^```(?:pycon|python)\n(.*?)^```", page.read_text(), flags=re.M | re.S)
        text = "\n".join(block for block in blocks if ">>>" in block)
        if text:
            yield parser.get_doctest(text, {}, page.name, str(page), None)


def of_docstrings() -> Iterator[doctest.DocTest]:
    """Those of the modules whose source has any."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>>" in path.read_text():
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                yield from (test for test in finder.find(importlib.import_module(name)) if test.examples)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mugs/, photographs as it were, and congealed/, a finished run over them."""
    place = tmp_path_factory.mktemp("examples")
    (place / "mugs").mkdir()
    for path in sorted((ROOT / "samples" / KIND / "images").iterdir())[:COUNT]:
        shutil.copy(path, place / "mugs")
    run(place / "mugs", place / "congealed", load_settings(None, list(SETTINGS), environ={}))
    return place


@pytest.mark.parametrize("example", [*of_pages(), *of_docstrings()], ids=lambda example: example.name)
def test_examples(example: doctest.DocTest, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    said: list[str] = []
    found = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert not found.failed, "".join(said)


def test_there_are_examples() -> None:
    assert any(example.examples for example in of_pages())
