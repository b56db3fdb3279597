from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.catalog.path_patterns import PathFilter

PATHS = ["a.jpg", "birds/a.jpg", "birds/raw/b.png", "raw/c.jpg", "fish/raw.jpg", "fish/d.JPG"]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ((), (), PATHS),
        (("birds",), (), ["birds/a.jpg", "birds/raw/b.png"]),
        (("birds/**",), (), ["birds/a.jpg", "birds/raw/b.png"]),
        (("birds/*",), (), ["birds/a.jpg", "birds/raw/b.png"]),  # the folder raw, and all in it
        (("birds/*.jpg",), (), ["birds/a.jpg"]),
        (("*.jpg",), (), ["a.jpg", "birds/a.jpg", "raw/c.jpg", "fish/raw.jpg"]),
        (("/*.jpg",), (), ["a.jpg"]),
        (("**/raw/*",), (), ["birds/raw/b.png", "raw/c.jpg"]),
        ((), ("raw",), ["a.jpg", "birds/a.jpg", "fish/raw.jpg", "fish/d.JPG"]),
        (("birds", "fish"), ("*.JPG", "birds/raw/"), ["birds/a.jpg", "fish/raw.jpg"]),
        (("**",), (), PATHS),
    ],
)
def test_patterns_choose_paths(include: tuple[str, ...], exclude: tuple[str, ...], left: list[str]) -> None:
    wanted = PathFilter(include, exclude)
    assert [path for path in PATHS if wanted(path)] == left
    assert bool(wanted) == bool(include or exclude)


@pytest.mark.parametrize("pattern", ["", "  ", "/", "./"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match=r"source\.exclude holds"):
        PathFilter((), [pattern])


names = st.text(st.sampled_from("ab*?[].-"), min_size=1, max_size=6).filter(lambda name: name != "..")


@given(st.lists(names, min_size=1, max_size=4), names)
def test_a_pattern_without_a_slash_is_compared_with_every_name(path: list[str], pattern: str) -> None:
    if set(pattern) == {"*"} or pattern == ".":
        return
    expected = any(fnmatch.fnmatchcase(name, pattern) for name in path)
    assert PathFilter([pattern])("/".join(path)) == expected


def test_many_stars_take_no_time() -> None:
    assert not PathFilter(["*a" * 50 + "b"])("a" * 500)
    assert not PathFilter(["/".join(["**", "a"] * 40 + ["b"])])("/".join("a" * 200))
