"""How values of settings are written, where they are no plain numbers, words or switches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt
from pydantic_settings import NoDecode

from congeal.alignment.config import SolverConfig
from congeal.geometry.grid_limits import MOST_CELLS


def _names(value: Any) -> Any:
    """Names with commas between them, where a list is asked for; JSON is taken, too."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return tuple(name for part in value.split(",") if (name := part.strip()))


# A side of a grid.
Cells = Annotated[PositiveInt, Field(le=MOST_CELLS)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]


def _limits(value: Any) -> Any:
    """Two numbers with a comma between them, where a pair is asked for; JSON is taken, too."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    if value.lstrip().startswith("["):
        return json.loads(value)
    numbers = tuple(part.strip() for part in value.split(","))
    if len(numbers) != 2:
        raise ValueError("give two numbers, low,high")
    return numbers


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not low < high:
        raise ValueError("the first number must be below the second")
    return value


_Rising = Annotated[tuple[float, float], AfterValidator(_rising)]
ValueRange = Annotated[_Rising | None, NoDecode, BeforeValidator(_limits)]


# The default configuration of the solver; under this name it is recorded, and is part of the atlases' keys.
SYNCHRONIZE = "synchronize"


def _solver(value: Any) -> Any:
    """What differs from the solver's default, by dotted name; SYNCHRONIZE if nothing does.

    value: the name of a preset, or a table of fields, nested or dotted, with a ``preset`` to begin with.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str) and value in ("direct", "neural"):
        raise ValueError(f"how sets are aligned is alignment.method now: set alignment.method={value}")
    if isinstance(value, str):
        value = {"preset": value}
    if not isinstance(value, Mapping):
        raise ValueError("give the name of a preset or a table of fields")
    fields = dict(value)
    preset = fields.pop("preset", SYNCHRONIZE)
    config = SolverConfig() if preset == SYNCHRONIZE else SolverConfig.preset(preset)
    return config.replace(fields).differences() or SYNCHRONIZE


SolverChanges = Annotated[str | dict[str, Any], NoDecode, BeforeValidator(_solver)]


def _method(value: str) -> str:
    kind, mark, name = value.partition(":")
    if value not in ("auto", "single", "folder", "shots") and not (
        kind == "column" and mark and name.strip()
    ):
        raise ValueError(
            "it should be 'auto', 'single', 'folder', 'shots' or 'column:' and the name of a column"
        )
    return value


Method = Annotated[str, AfterValidator(_method)]


def _web_address(value: str) -> str:
    if not value.lower().startswith(("http://", "https://")):
        raise ValueError("it should begin with http:// or https://")
    return value.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]
