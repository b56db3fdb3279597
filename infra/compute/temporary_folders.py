"""Temporary folders of this machine that say whose they are, so that those of killed processes can go.

A folder's name holds the number of its process, when that began, and where such numbers count: two processes
may have one number one after the other, or at the same time in two containers that share the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from infra.errors import UserError

PREFIX = "congeal-"
SOCKETS = "sockets"
SHORT = "/tmp"  # noqa: S108 - where a socket's path is short enough; its folder is this user's alone
LONGEST = 103  # bytes that the path of a socket may have on every system; Linux allows four more
_SOCKET = "/listener-12345678"  # as multiprocessing names one in the folder it is given
AGE = 86_400.0  # seconds for which the folder of a process is let be of which it is not sure that it is gone
_OURS = re.compile(r"^congeal-(?:[a-z]+-)?(\d+)-(?:(\d+)-([0-9a-f]{8})-)?[^.-]+$")
_CURE = "free some space there, or set TMPDIR to a larger place."
_BEGAN = 19  # of the fields of /proc/PID/stat after the name: when it began, in ticks since the machine did


@contextmanager
def temporary_folder(kind: str = "") -> Iterator[Path]:
    """A new folder, removed at the end of the block. A kill leaves it to the next process that makes one: the
    first clears what is left of others, see `clear_temporary_folders`. UserError if none can be made."""
    try:
        _clear_once()
        made = tempfile.TemporaryDirectory(prefix=_prefix(kind), ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(f"No temporary folder can be made ({error}): {_CURE}") from error
    with made as folder:
        yield Path(folder)


@contextmanager
def said_of_full(folder: Path | str, *faults: type[Exception]) -> Iterator[None]:
    """UserError in place of such faults of what is written into a temporary folder."""
    try:
        yield
    except faults as error:
        raise UserError(f"The temporary tables in {folder} cannot be kept ({error}): {_CURE}") from error


def socket_folder() -> Path:
    """A new folder for sockets of this process and those that it starts, removed when it ends.

    It is a temporary one like others, or in SHORT if the path of a socket would be too long there. Raises
    UserError if neither will do.
    """
    prefix = _prefix(SOCKETS)
    for place in (tempfile.gettempdir(), SHORT):
        longest = len(os.fsencode(f"{place}/{prefix}12345678{_SOCKET}"))
        if longest > LONGEST:
            continue
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
            # After the processes of the pool have gone.
            Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-100)
            return folder
    raise UserError(
        f"The sockets of workers have no place: in {tempfile.gettempdir()} their paths would have more than "
        f"{LONGEST} bytes, or it cannot be written to, nor can {SHORT}: set TMPDIR to a folder with a short "
        "path."
    )


def _prefix(kind: str) -> str:
    """How the name of a folder of this process begins."""
    began = _began(os.getpid())
    whose = "" if began is None else f"{began}-{_numbers_count_in()}-"
    return f"{PREFIX}{kind + '-' if kind else ''}{os.getpid()}-{whose}"


@cache
def _clear_once() -> None:
    clear_temporary_folders()


def clear_temporary_folders(age: float = AGE) -> int:
    """Remove this user's folders whose processes are gone, and say how many.

    Where a process was of another container or host, or does not say when it began, its folder goes if there
    is no process of its number and nobody has changed the folder for ``age`` seconds.
    """
    removed, here = 0, _numbers_count_in()
    usual = Path(tempfile.gettempdir())
    folders = set(usual.glob(f"{PREFIX}*")) | set(Path(SHORT).glob(f"{PREFIX}{SOCKETS}-*"))
    for folder in folders:
        found = _OURS.match(folder.name)
        try:
            facts = folder.lstat()
        except OSError:
            continue
        mine = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
        if found is None or not mine or folder.is_symlink():
            continue
        process, began, place = int(found[1]), found[2], found[3]
        if began is not None and place == here:
            gone = _began(process) != int(began)
        else:
            gone = time.time() - facts.st_mtime >= age and not _alive(process)
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _began(process: int) -> int | None:
    """When a process began; None where there is none, it has ended, or the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        facts = Path(f"/proc/{process}/stat").read_bytes()
        # The name of a program may hold anything, brackets among it.
        fields = facts[facts.rindex(b")") + 1 :].split()
        # One that is dead stays in the table until its parent asks for it.
        return None if fields[0] in (b"Z", b"X") else int(fields[_BEGAN])
    return None


def _numbers_count_in() -> str:
    """8 hex digits for this host, since it was started, and this namespace of process numbers."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
