from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.results.image_name_matching import match

PATHS = ["a/0.png", "a/1.png", "b/0.png", "x.png", "deep/down/Wing 01.JPG", "fl\u00fcgel.png"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/0.png", "a/0.png"),
        ("x.png", "x.png"),
        ("images/x.png", "x.png"),
        ("./x.png", "x.png"),
        ("/home/me/data/x.png", "x.png"),
        ("..\\..\\media\\upload\\4\\x.png", "x.png"),
        ("C:\\data\\b\\0.png", "b/0.png"),
        ("/data/a/0.png", "a/0.png"),
        ("X.PNG", "x.png"),
        ("images/wing 01.jpg", "deep/down/Wing 01.JPG"),
        ("down/Wing%2001.JPG", "deep/down/Wing 01.JPG"),
        (" x.png ", "x.png"),
        ("flu\u0308gel.png", "fl\u00fcgel.png"),
        ("1.png", "a/1.png"),
        ("c/1.png", "a/1.png"),
    ],
)
def test_names_as_programs_write_them(name: str, path: str) -> None:
    assert match([name], PATHS).found == {name: path}


def test_nothing_is_guessed() -> None:
    found = match(["0.png", "c/0.png", "y.png", "", "/"], PATHS)
    assert not found.found
    assert found.unknown["0.png"] == found.unknown["c/0.png"] == "2 images are called"
    assert found.unknown["y.png"] == found.unknown[""] == "There is no image"


def test_two_names_of_one_file_name_are_two_images() -> None:
    found = match(["s1/x.png", "s2/x.png"], PATHS)
    assert not found.found
    assert "2 names end like 'x.png'" in found.unknown["s1/x.png"]
    # Unless one of them is the very path, or both are the same name.
    assert match(["x.png", "s2/x.png"], PATHS).found == {"x.png": "x.png"}
    assert match(["x.png", "./x.png"], PATHS).found == {"x.png": "x.png", "./x.png": "x.png"}
    assert match(["d/a/0.png", "e/b/0.png"], PATHS).found == {"d/a/0.png": "a/0.png", "e/b/0.png": "b/0.png"}


part = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=4)
paths = st.lists(part, min_size=1, max_size=3).map("/".join)


@settings(max_examples=50)
@given(all_paths=st.lists(paths, min_size=1, max_size=6, unique=True))
def test_a_path_means_itself(all_paths: list[str]) -> None:
    assert match(all_paths, all_paths).found == {path: path for path in all_paths}
