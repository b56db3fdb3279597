"""Settings that a version was made with, as far as there still are such settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.setting_types import SYNCHRONIZE
from congeal.settings import Settings


def still_there(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A publication's settings without what an earlier version knew and this one does not.

    Those are whole sections, settings of a section, constants of the solver, and blank text, which meant what
    is absent now.
    """
    from congeal.alignment.config import SolverConfig

    found: dict[str, Any] = {}
    for section, values in settings.items():
        if section not in Settings.model_fields:
            continue
        names = getattr(Settings.model_fields[section].annotation, "model_fields", None)
        if names is not None and isinstance(values, Mapping):
            found[section] = {
                name: value for name, value in values.items() if name in names and not _blank(value)
            }
        else:
            found[section] = values
    solver = found.get("atlases", {}).get("solver")
    if isinstance(solver, Mapping):
        found["atlases"]["solver"] = SolverConfig.recorded(solver).differences() or SYNCHRONIZE
    return found


def _blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
