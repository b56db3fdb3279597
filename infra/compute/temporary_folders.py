"""Temporary folders of this machine that say whose they are, so that those of killed processes can go."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "congeal-"
AGE = 3600.0  # seconds for which the folder of a process that is gone is let be
_OURS = re.compile(r"^congeal-(?:[a-z]+-)?(\d+)-[^.]+$")


@contextmanager
def temporary_folder(kind: str = "") -> Iterator[Path]:
    """A new folder, removed at the end of the block; a kill leaves it to `clear_temporary_folders`."""
    prefix = f"{PREFIX}{kind + '-' if kind else ''}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def clear_temporary_folders(age: float = AGE) -> int:
    """Remove this user's folders whose processes are gone and that nobody has changed for ``age`` seconds."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        found = _OURS.match(folder.name)
        try:
            facts = folder.lstat()
        except OSError:
            continue
        mine = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
        if found is None or not mine or folder.is_symlink() or time.time() - facts.st_mtime < age:
            continue
        if not _alive(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
