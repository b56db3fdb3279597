"""One setting of the solver: its default, what it is, its unit and limits, and how it was set."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from congeal.errors import CongealError

NOT_RECORDED = "not recorded"
FRAME = "frame units"
ATLAS = "atlas units"


def setting(
    default: Any,
    about: str,
    *,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
    set_on: str = NOT_RECORDED,
    held_out: bool | None = None,
) -> Any:
    """A field of a `Group`.

    Args:
        default: a bool, a whole number, a number, a word, or a tuple of numbers; it also says the type.
        about: one phrase.
        unit: of the number; empty: none, or a share.
        at_least, at_most: limits, both included; of every number of a tuple.
        choices: the words that are allowed.
        set_on: how the default was chosen, and on which sets.
        held_out: whether the figures that are reported come from sets that played no part in choosing it;
            None: not recorded, or nothing was measured for it.
    """
    return field(
        default=default,
        metadata={
            "about": about,
            "unit": unit,
            "at_least": at_least,
            "at_most": at_most,
            "choices": choices,
            "set_on": set_on,
            "held_out": held_out,
        },
    )


@dataclass(frozen=True)
class Setting:
    """What is known of one field, for tables and sentences. name: dotted, as ``flow.finest_cells``."""

    name: str
    default: Any
    about: str
    unit: str
    at_least: float | None
    at_most: float | None
    choices: tuple[str, ...]
    set_on: str
    held_out: bool | None


@dataclass(frozen=True)
class Group:
    """Settings of one step. Raises CongealError, naming the field, for a value that is not allowed."""

    title: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(
                self, one.name, _checked(f"{self.title}.{one.name}", one, getattr(self, one.name))
            )


def settings_of(group: type[Group]) -> list[Setting]:
    """The settings of a group, in order."""
    return [Setting(f"{group.title}.{one.name}", one.default, **one.metadata) for one in fields(group)]


def _checked(name: str, one: Field[Any], value: Any) -> Any:
    """The value in the type of the field's default."""
    facts = one.metadata
    if isinstance(one.default, tuple):
        if not isinstance(value, tuple | list) or not value:
            raise CongealError(f"{name} is a list of numbers, not {value!r}")
        return tuple(_number(name, one.default[0], facts, each) for each in value)
    if isinstance(one.default, bool):
        if not isinstance(value, bool):
            raise CongealError(f"{name} is true or false, not {value!r}")
        return value
    if isinstance(one.default, str):
        if value not in facts["choices"]:
            raise CongealError(f"{name} is one of {', '.join(facts['choices'])}, not {value!r}")
        return value
    return _number(name, one.default, facts, value)


def _number(name: str, like: Any, facts: Mapping[str, Any], value: Any) -> Any:
    whole = isinstance(like, int)
    low, high = facts["at_least"], facts["at_most"]
    fits = isinstance(value, int) if whole else isinstance(value, int | float)
    inside = (
        fits
        and not isinstance(value, bool)
        and (whole or abs(value) <= sys.float_info.max)
        and (low is None or value >= low)
        and (high is None or value <= high)
    )
    if not inside:
        limits = [
            f"{word} {limit:g}" for word, limit in (("at least", low), ("at most", high)) if limit is not None
        ]
        kind = "a whole number" if whole else "a number"
        raise CongealError(f"{', '.join([f'{name} is {kind}', *limits])}, not {value!r}")
    return value if whole else float(value)


def rising(group: str, name: str, values: tuple[float, ...]) -> None:
    """Raises CongealError unless ``values`` are two numbers, the first below the second."""
    if len(values) != 2 or not values[0] < values[1]:
        raise CongealError(f"{group}.{name} is two numbers, the first below the second, not {list(values)}")
