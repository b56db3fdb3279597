from __future__ import annotations

import sys
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.catalog.listing_entries import ending_of, name_of


@given(st.text(st.sampled_from("a.J/_ é\\"), max_size=12))
@example("a/./")
@example("./.")
@example("..")
@example("x.jpg/.")
def test_names_and_endings_are_those_of_pathlib(path: str) -> None:
    assert name_of(path) == PurePosixPath(path).name
    if sys.version_info < (3, 14) or not name_of(path).endswith("."):  # to later ones "a." has an ending
        assert ending_of(path) == PurePosixPath(path).suffix.lower()


@pytest.mark.parametrize(
    ("path", "ending"), [("a/b.JPG", ".jpg"), ("a.b/c", ""), (".hidden", ""), ("a.", ""), ("a.tar.gz", ".gz")]
)
def test_endings(path: str, ending: str) -> None:
    assert ending_of(path) == ending
