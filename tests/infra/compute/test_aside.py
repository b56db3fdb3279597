"""A call in a process of its own: its result, its errors, its death."""

from __future__ import annotations

import os

import pytest

from infra.compute.aside import Aside
from infra.errors import UserError

aside = Aside((), "It died: give it memory.")


class UnsendableError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def refuse(kind: str) -> None:
    raise {"user": UserError("Name another."), "strange": UnsendableError("a", "b")}[kind]


def test_a_call_is_made_in_another_process() -> None:
    assert aside(os.getpid) != os.getpid()
    assert aside(pow, 3, 4) == 81


def test_errors_come_back() -> None:
    with pytest.raises(UserError, match="Name another"):
        aside(refuse, "user")
    with pytest.raises(RuntimeError, match="UnsendableError: a"):
        aside(refuse, "strange")


def test_a_process_that_dies_is_one_sentence() -> None:
    with pytest.raises(UserError, match="It died: give it memory"):
        aside(os._exit, 3)


def test_variables_stay_as_they_are() -> None:
    before = dict(os.environ)
    assert aside(os.getppid) != os.getpid()
    assert dict(os.environ) == before
