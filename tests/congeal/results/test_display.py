from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from known_collection import known

import congeal
from congeal.results import display

__all__ = ["known"]


@pytest.fixture(scope="module")
def opened(known: Path) -> Any:
    return congeal.open(known)


def test_a_notebook_shows_what_there_is_and_how_to_ask(opened: Any) -> None:
    page = opened._repr_html_()
    ElementTree.fromstring(page)
    assert "8 images, 2 clusters, 2 outliers" in page
    for method in ("transfer", "landmarks", "propagate", "nearest", "sql"):
        assert f".{method}(" in page
        assert hasattr(opened, method)
        assert f".{method}" in repr(opened)


def test_names_from_a_bucket_are_only_text() -> None:
    about = SimpleNamespace(
        source="s3://b/<script>alert(1)</script>", number=1, created="now", backbone="x&y", counts={}
    )
    page = display.page("memory://<b>", cast(Any, about))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    ElementTree.fromstring(page)
