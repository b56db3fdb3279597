"""Where a machine keeps what it has measured or compiled of backbones; all of it can be made anew."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CONGEAL_CACHE"  # the folder; empty: none


def cache_folder() -> Path | None:
    """CONGEAL_CACHE, else congeal in XDG_CACHE_HOME or ~/.cache; None if there is none."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification has relative paths ignored.
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "congeal"
    except RuntimeError:
        # A user without a home.
        return None
