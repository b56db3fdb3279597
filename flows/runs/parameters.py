"""What a run, or another of the deployments' jobs, is started with, checked. Needs no Prefect."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from congeal.settings import Settings, load_settings
from infra.errors import UserError

# What each flow takes: the places that must be given, and what may be.
FLOWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "collection": (("source", "destination"), ("settings",)),
    "new-images": (("source", "destination"), ("settings",)),
    "resolve": (("source", "destination"), ("clusters", "settings")),
    "verification": (("destination",), ("shallow", "version", "settings")),
    "report": (("destination",), ("out", "annotations", "settings")),
}
_PLACEHOLDER = re.compile(r"\{\{\s*\$(\w+)\s*\}\}")  # of a variable, as a deployment file has it
_EXAMPLE = '{"features": {"image_size": 448}}'


class Parameters(NamedTuple):
    """The parameters of a run that are known to be sound. source: empty for a flow that takes none."""

    source: str
    destination: str
    settings: Settings


def checked(parameters: Mapping[str, Any], flow: str = "collection") -> Parameters:
    """The parameters of a run, of which any program may have sent anything.

    Raises UserError for a name that the flow does not take, for a source or destination that is missing, no
    text or a placeholder that nobody filled in, for settings that are no mapping, unknown or have a wrong
    value, and for other parameters of the wrong kind.
    """
    places, more = FLOWS[flow]
    names = (*places, *more)
    for name in parameters:
        if name not in names:
            raise UserError(f"{name} is no parameter of {_called(flow)}{_suggestion(str(name), flow)}")
    for name in names:
        _require_filled_in(parameters.get(name), name)
    given = {name: _place(parameters, name) for name in places}
    for name in more:
        _require_kind(name, parameters.get(name))
    settings = parameters.get("settings")
    if settings is not None and not isinstance(settings, Mapping):
        raise UserError(
            f"settings cannot be {_shown(settings)}: write a mapping of sections or dotted names, "
            f"such as {_EXAMPLE}."
        )
    loaded = load_settings(None, list(overrides(settings)), where="The name")
    return Parameters(given.get("source", ""), given["destination"], loaded)


def clusters_of(value: object) -> tuple[str, ...]:
    """The clusters to be solved anew, as a flow's parameter names them. Raises UserError if none is named."""
    names = (
        value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    )
    clean = tuple(name.strip() for name in names if isinstance(name, str) and name.strip())
    if not clean or len(clean) != len(names):
        raise UserError(
            "The parameter clusters names no clusters: give a list of ids or names, or drifted, or all."
        )
    return clean


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


def _require_kind(name: str, value: object) -> None:
    """Refuse values of the further parameters that are of no use; None is as if it were not given."""
    if name == "clusters":
        clusters_of(value)
        return
    kinds: dict[str, tuple[type, ...]] = {
        "shallow": (bool,), "version": (int, str), "out": (str,), "annotations": (str,)
    }  # fmt: skip
    if value is not None and name in kinds and not isinstance(value, kinds[name]):
        wanted = {"shallow": "true or false", "version": "a number"}.get(name, "a path or URL")
        raise UserError(f"{name} cannot be {_shown(value)}: give {wanted}.")


def _called(flow: str) -> str:
    return "a run" if flow == "collection" else f"the flow {flow}"


def _suggestion(name: str, flow: str) -> str:
    places, more = FLOWS[flow]
    names = (*places, *more)
    if near := difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6):
        return f": did you mean {near[0]}?"
    if name.partition(".")[0] in Settings.model_fields:
        return f": settings go into the parameter settings, such as {_EXAMPLE}."
    return f": {_called(flow)} takes {', '.join(names[:-1])} and {names[-1]}."


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
