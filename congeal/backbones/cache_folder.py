"""Where a machine keeps what it has measured or compiled of backbones; all of it can be made anew.

A folder that cannot be read or written costs time and nothing else. What others than this user could have
written is not looked at.
"""

from __future__ import annotations

import mmap
import os
import stat
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

VARIABLE = "CONGEAL_CACHE"  # the folder, or NONE; blank: it is not set
NONE = "none"


def cache_folder() -> Path | None:
    """CONGEAL_CACHE, else congeal in XDG_CACHE_HOME or ~/.cache; None if there is none."""
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen:
        return None if chosen.lower() == NONE else Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification has relative paths ignored.
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "congeal"
    except RuntimeError:
        # A user without a home.
        return None


def kept(kind: str, name: str, most: int) -> bytes | None:
    """What was kept, None if there is nothing, more than ``most`` bytes, or somebody else's."""
    folder = cache_folder()
    if folder is None:
        return None
    place = folder / kind / name
    try:
        return place.read_bytes() if _sound(place, most) else None
    except OSError:
        return None


def mapped(kind: str, name: str, most: int) -> npt.NDArray[np.uint8] | None:
    """The same as bytes of the file itself, which processes share; what is written there is not kept."""
    folder = cache_folder()
    if folder is None:
        return None
    place = folder / kind / name
    try:
        return np.memmap(place, np.uint8, "c") if _sound(place, most) and place.stat().st_size else None
    except OSError:
        return None


def unread(content: npt.NDArray[np.uint8]) -> None:
    """Give back the memory of what `mapped` has found, uint8 [b], as long as nothing was written there."""
    base: object = content
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def keep(kind: str, name: str, content: bytes) -> None:
    """Let later processes of this user find it; whole, or not at all."""
    folder = cache_folder()
    if folder is None:
        return
    place = folder / kind / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as file:
            try:
                file.write(content)
                file.close()
                Path(file.name).replace(place)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError:
        return


def _sound(place: Path, most: int) -> bool:
    return _own(place.parent) and _own(place) and place.stat().st_size <= most


def _own(place: Path) -> bool:
    """Whether nobody but this user could have written to a file or into a folder."""
    user = getattr(os, "getuid", None)
    about = place.stat()
    return user is None or (about.st_uid == user() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
