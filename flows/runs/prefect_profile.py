"""Whether Prefect's settings name a server, found out without importing Prefect where none can.

Importing Prefect takes seconds, and most runs have no server. So its sources are looked through for an API
URL; if one of them may hold one, Prefect is imported and its own resolution decides.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.errors import UserError

_URL = "PREFECT_API_URL"
# Variables with which another profile or another file of profiles is taken.
_PROFILES = "PREFECT_PROFILES_PATH"
_PROFILE = "PREFECT_PROFILE"
_HOME = "PREFECT_HOME"


def server_named() -> bool:
    """Whether a run from here belongs to a Prefect server: by variable, settings file or active profile.

    Raises UserError for a settings file of Prefect's that is no TOML.
    """
    if "prefect" not in sys.modules and not _may_be_named(os.environ):
        return False
    from prefect.settings import get_current_settings

    return bool(get_current_settings().api.url)


def _may_be_named(environ: Mapping[str, str]) -> bool:
    upper = {name.upper(): value for name, value in environ.items()}
    return _URL in upper or any(_in_working_directory()) or _in_profiles(upper)


def _in_working_directory() -> Iterator[bool]:
    """For each settings file that Prefect reads there: whether it may name a URL or other profiles."""
    yield any(name in _text(Path(".env")).upper() for name in (_URL, _PROFILES, _PROFILE, _HOME))
    yield _says(_table(Path("prefect.toml")))
    project = Path("pyproject.toml")
    if "prefect" in _text(project):
        try:
            yield _says(_inside(_table(project), "tool", "prefect"))
        except UserError:
            # Another project's file, and whatever is wrong with it, is none of our business.
            yield False


def _says(settings: Mapping[str, Any]) -> bool:
    """Whether a table of settings names a URL or other profiles."""
    return "url" in _inside(settings, "api") or not settings.keys().isdisjoint({"profiles_path", "home"})


def _in_profiles(environ: Mapping[str, str]) -> bool:
    path = environ.get(_PROFILES) or f"{environ.get(_HOME) or '~/.prefect'}/profiles.toml"
    table = _table(Path(path).expanduser())
    profiles = _inside(table, "profiles")
    active = environ.get(_PROFILE) or table.get("active")
    if not isinstance(active, str):
        return False
    # Otherwise one of those that Prefect itself brings, if it is anything.
    return active not in profiles or _URL in _inside(profiles, active)


def _inside(table: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The table at the end of the keys; empty if there is none, or something else."""
    for key in keys:
        found = table.get(key)
        table = found if isinstance(found, dict) else {}
    return table


def _table(path: Path) -> dict[str, Any]:
    """A TOML file; empty if there is none. Raises UserError if it is no TOML."""
    text = _text(path)
    if not text:
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise UserError(
            f"Prefect's settings in {path} cannot be read ({fault}): correct the file or remove it."
        ) from fault


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
