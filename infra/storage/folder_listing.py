"""Listing a folder of a file system: every file below, through links too, and what is left out and why."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from infra.storage.storage_errors import TRANSIENT, attempt, translated


@dataclass(frozen=True)
class ObjectInfo:
    """One stored object.

    path: relative to the place that was listed, POSIX. bytes: its size. token: changes when the object does.
    etag: the store's, unquoted; None where the store has none.
    """

    path: str
    bytes: int
    token: str
    etag: str | None


@dataclass(frozen=True)
class Skipped:
    """Something that a listing met and left out. path: as in ObjectInfo. reason: a few plain words."""

    path: str
    reason: str


OnSkip = Callable[[Skipped], None]
PARTIAL = re.compile(r"^\.[0-9a-f]{16}\.partial$")

NOT_FOLLOWED = "a link, and links are not followed (catalog.follow_links)"
_KINDS = (
    (stat.S_ISFIFO, "a named pipe, not a file"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISCHR, "a device, not a file"),
    (stat.S_ISBLK, "a device, not a file"),
)


def walk(root: str, on_skip: OnSkip | None = None, follow_links: bool = True) -> Iterator[ObjectInfo]:
    """Every file below ``root``, streamed; a root that is not there yields nothing.

    Links to files and folders are followed wherever they lead, each real folder once: under its own path if
    it has one below ``root``, else under the first link in order of name. What is left out (a folder that may
    not be listed, a link that leads nowhere or to what is listed already, a pipe) goes to ``on_skip``.
    Raises ``OSError`` if ``root`` itself cannot be listed, and ``StorageError`` for a fault of the store
    below it that should pass by itself and does not.
    """
    yield from _Walk(os.path.realpath(root), on_skip or (lambda _: None), follow_links).files()


class _Walk:
    def __init__(self, root: str, on_skip: OnSkip, follow_links: bool) -> None:
        self._root = root
        self._skip = on_skip
        self._follow = follow_links
        self._linked: list[str] = []  # paths of links to folders, kept until the real folders are done
        self._outside: set[str] = set()  # real paths, outside the root, of folders that were listed

    def files(self) -> Iterator[ObjectInfo]:
        yield from self._tree("", self._root)
        while self._linked:
            self._linked.sort(reverse=True)
            path = self._linked.pop()
            real = os.path.realpath(self._full(path))
            if self._is_listed(real):
                self._skip(Skipped(_shown(path), "a link to a folder that is listed already"))
            else:
                yield from self._tree(path, real)

    def _is_listed(self, real: str) -> bool:
        return real in self._outside or os.path.commonpath((real, self._root)) == self._root

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _tree(self, top: str, real_top: str) -> Iterator[ObjectInfo]:
        """The files of one real folder and its real subfolders; the links among them are put aside."""
        folders = [top]
        inside = real_top == self._root
        while folders:
            folder = folders.pop()
            if not inside:
                real = os.path.normpath(f"{real_top}/{os.path.relpath(folder, top)}")
                if self._is_listed(real):
                    # A link led above what another link, or the root itself, has brought already.
                    self._skip(Skipped(_shown(folder), "a folder that is listed already under another path"))
                    continue
                self._outside.add(real)
            entries = self._entries(folder)
            if entries is None:
                continue
            with entries as found:
                for entry in found:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif info := self._entry(entry, path):
                        yield info

    def _entries(self, folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]] | None:
        full = self._full(folder)
        try:
            return attempt(lambda: os.scandir(full))
        except FileNotFoundError:
            return None  # it has just gone, or there is nothing at the place
        except OSError as fault:
            if not folder:
                raise
            if fault.errno in TRANSIENT:
                # A share that went away: without its folders a whole part of the source would seem removed.
                with translated("list", f"file://{full}"):
                    raise
            self._skip(Skipped(_shown(folder), f"a folder that cannot be listed: {_why(fault)}"))
            return None

    def _entry(self, entry: os.DirEntry[str], path: str) -> ObjectInfo | None:
        if PARTIAL.match(entry.name):
            return None
        if entry.is_symlink() and not self._follow:
            self._skip(Skipped(_shown(path), NOT_FOLLOWED))
            return None
        try:
            facts = entry.stat()
        except OSError as fault:
            reason = _why_no_facts(entry, fault)
            if reason is not None:
                self._skip(Skipped(_shown(path), reason))
            return None
        if stat.S_ISDIR(facts.st_mode):
            self._linked.append(path)
            return None
        if not stat.S_ISREG(facts.st_mode):
            reason = next((text for test, text in _KINDS if test(facts.st_mode)), "not a file")
            self._skip(Skipped(_shown(path), reason))
            return None
        return ObjectInfo(_shown(path), facts.st_size, f"{facts.st_mtime_ns}-{facts.st_size}", None)


def _why_no_facts(entry: os.DirEntry[str], fault: OSError) -> str | None:
    if fault.errno == errno.ENOENT:
        # Without a link it is a file that has just gone.
        return "a link that leads nowhere" if entry.is_symlink() else None
    if fault.errno == errno.ELOOP:
        return "a link that leads round in a circle"
    return f"cannot be looked at: {_why(fault)}"


def _why(fault: OSError) -> str:
    if fault.errno in (errno.EACCES, errno.EPERM):
        return "no permission"
    return (fault.strerror or type(fault).__name__).lower()


def _shown(path: str) -> str:
    # A name that is no UTF-8 fits in no table; escaped, it is listed and then refused by name.
    return os.fsencode(path).decode("utf-8", "backslashreplace")
