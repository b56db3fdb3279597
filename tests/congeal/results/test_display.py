from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

from known_collection import known, opened

from congeal.results import display

__all__ = ["known", "opened"]


def test_a_notebook_shows_what_there_is_and_how_to_ask(opened: Any) -> None:
    page = opened._repr_html_()
    ElementTree.fromstring(page)
    assert "8 images, 2 clusters, 2 outliers" in page
    assert "<code>.transfer(source, points, target, as_=)</code>" in page
    assert "<code>.images</code>" in page
    assert "Carry points of one image to others of the same cluster, through their atlas." in page


def test_every_public_method_is_shown_with_a_sentence(opened: Any) -> None:
    public = {name for name in dir(opened) if not name.startswith("_")}
    shown = list(display.methods(type(opened)))
    assert {method.name for method in shown} == public
    assert len(shown) == len(public) > 20
    named = set(repr(opened).rpartition("; ")[2].rstrip(">").split())
    assert named == {f".{name}" for name in public}
    for method in shown:
        assert method.about.endswith((".", ",", ":")), method


def test_names_from_a_bucket_are_only_text() -> None:
    about = SimpleNamespace(
        source="s3://b/<script>alert(1)</script>", number=1, created="now", backbone="x&y", counts={}
    )
    page = display.page(object, "memory://<b>", cast(Any, about))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    ElementTree.fromstring(page)
