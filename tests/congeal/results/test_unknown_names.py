"""A name that no image has: what it may mean is asked, and none is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from known_collection import known

import congeal
from infra.errors import UserError

__all__ = ["known"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("misfit.png", "a/misfit.png"), ("./images/b/1.png", "b/1.png"), ("A/0.PNG", "a/0.png")],
)
def test_the_one_path_that_a_name_may_mean_is_asked_about(known: Path, name: str, meant: str) -> None:
    opened = congeal.open(str(known))
    for ask in (opened.image, opened.maps, opened.find):
        with pytest.raises(UserError, match=f"There is no image .*: did you mean '{meant}'\\?"):
            ask(name)


def test_of_several_none_is_guessed(known: Path) -> None:
    for name in ("1.png", "nothing.png", ""):
        with pytest.raises(UserError, match="give an image id or a path relative to"):
            congeal.open(str(known)).find(name)
