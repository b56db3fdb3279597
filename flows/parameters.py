"""What a run is started with, checked: source, destination, settings. Needs no Prefect."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from congeal.settings import Settings, load_settings
from infra.errors import UserError

NAMES = ("source", "destination", "settings")
_PLACEHOLDER = re.compile(r"\{\{\s*\$(\w+)\s*\}\}")  # of a variable, as a deployment file has it
_EXAMPLE = '{"features": {"image_size": 448}}'


class Parameters(NamedTuple):
    """The parameters of a run that are known to be sound."""

    source: str
    destination: str
    settings: Settings


def checked(parameters: Mapping[str, Any]) -> Parameters:
    """The parameters of a run, of which any program may have sent anything.

    Raises UserError for a name that no run takes, for a source or destination that is missing, no text or a
    placeholder that nobody filled in, and for settings that are no mapping, unknown or have a wrong value.
    """
    for name in parameters:
        if name not in NAMES:
            raise UserError(f"{name} is no parameter of a run{_suggestion(str(name))}")
    for name in NAMES:
        _require_filled_in(parameters.get(name), name)
    source, destination = (_place(parameters, name) for name in ("source", "destination"))
    settings = parameters.get("settings")
    if settings is not None and not isinstance(settings, Mapping):
        raise UserError(
            f"settings cannot be {_shown(settings)}: write a mapping of sections or dotted names, "
            f"such as {_EXAMPLE}."
        )
    return Parameters(source, destination, load_settings(None, list(overrides(settings)), where="The name"))


def overrides(settings: Mapping[str, Any] | None) -> Iterator[str]:
    """Nested or dotted settings, as a deployment's parameters hold them, in the form of `--set`."""
    for name, value in (settings or {}).items():
        if isinstance(value, Mapping) and not str(name).startswith("storage.options"):
            yield from (f"{name}.{rest}" for rest in overrides(value))
        elif value is None:
            yield f"{name}=none"
        else:
            yield f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def _place(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise UserError(f"The parameter {name} is missing: give a folder or an fsspec URL as {name}.")
    if not isinstance(value, str):
        raise UserError(f"{name} cannot be {_shown(value)}: give a folder or an fsspec URL, as text.")
    return value


def _require_filled_in(value: object, name: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _require_filled_in(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for inner in value:
            _require_filled_in(inner, name)
    elif isinstance(value, str) and (found := _PLACEHOLDER.search(value)):
        raise UserError(
            f"{name} holds {found[0]}: the variable {found[1]} was not set when the deployment was made; "
            "set it and deploy again."
        )


def _suggestion(name: str) -> str:
    if near := difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.6):
        return f": did you mean {near[0]}?"
    if name.partition(".")[0] in Settings.model_fields:
        return f": settings go into the parameter settings, such as {_EXAMPLE}."
    return f": a run takes {', '.join(NAMES[:-1])} and {NAMES[-1]}."


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
