"""Storage: one ``Location`` for local paths, S3 and every other fsspec URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from congeal_floors.plurals import counted
from infra.errors import MissingError, StorageError
from infra.storage import near_copies
from infra.storage.file_systems import check_protocol, options_for, reached, way_to
from infra.storage.local_files import FileStore, ObjectInfo, Skipped
from infra.storage.object_store import FsspecStore, S3Store, Store
from infra.storage.retrying_reads import arrow_filesystem, asynchronous, retrying_file
from infra.storage.seals import (
    Seal,
    SealedRanges,
    Seals,
    below,
    is_sound,
    missing,
    require_sound,
    sealed_file,
)
from infra.storage.storage_errors import attempt, translated
from infra.threads import in_threads

if TYPE_CHECKING:
    import zarr.abc.store

    from infra.settings import StorageSettings

__all__ = ["Location", "ObjectInfo", "Skipped"]

# Bytes of the most that is written only if absent. Beyond 100 MiB the S3 client sends parts, and stores that
# keep the condition for a whole object (Ceph, for one) ignore it when parts are put together.
LARGEST_CONDITIONAL = 64 * 2**20
_ALIASES = {"local": "file", "s3a": "s3"}


@dataclass(frozen=True)
class Location:
    """A place in a store: an object, or a prefix under which objects lie. Picklable.

    url: protocol and path, without trailing slash. options: how to reach the store, secrets included; they
    take no part in equality and never show in ``repr``. seals: of what was written at and below the place, by
    path; what is read there is checked, and raises ``DamagedError`` if it is something else. copy: of an
    object that is read unchecked, the name of a near copy (see ``near_copies``).
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    seals: Seals = field(default_factory=dict, repr=False, compare=False)
    copy: str = field(default="", repr=False, compare=False)

    @classmethod
    def parse(cls, text: str | os.PathLike[str], settings: StorageSettings | None = None) -> Location:
        """Read a plain path or an fsspec URL.

        Raises ``StorageError`` for an unknown protocol or a URL without a bucket. Credentials that are not in
        ``settings`` are found by the store's own client (AWS_ACCESS_KEY_ID, AWS_PROFILE, instance roles, …).
        """
        text = os.fspath(text)
        protocol, mark, path = text.partition("://")
        protocol = _ALIASES.get(protocol.lower(), protocol.lower())
        if not text.strip() or "\0" in text:
            raise StorageError(f"{text!r} is no place: give a path or a URL such as s3://bucket/prefix.")
        if not mark:
            return cls("file://" + os.path.normpath(Path(text).expanduser().absolute()))
        if protocol == "file":
            return cls("file://" + os.path.normpath("/" + path.removeprefix("localhost").lstrip("/")))
        with translated("read", text):
            check_protocol(protocol)
        path = path.strip("/") if protocol == "memory" else path.rstrip("/")
        if not path or (protocol == "s3" and path.startswith("/")):
            raise StorageError(f"{text} names no place: write it as {protocol}://name/prefix.")
        return cls(f"{protocol}://{path}", options_for(protocol, settings))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, part: str) -> Location:
        """The place ``part`` (one or more names) below this one; ``StorageError`` if that leads outside."""
        if "\\" in part or "\0" in part or any(name in ("", ".", "..") for name in part.split("/")):
            raise StorageError(f"The name {part!r} cannot be used below {self.url}: rename it.")
        return Location(f"{self.url}/{part}", self.options, below(self.seals, part) if self.seals else {})

    def sealed(self, seals: Seals) -> Location:
        """The same place with what is known of the objects there; none: nothing is checked."""
        return Location(self.url, self.options, seals)

    def unchecked(self) -> Location:
        """The object as it is, for who checks what is read there; a near copy of it will do."""
        return Location(self.url, self.options, copy=self.seal.sha256 if self.seal else "")

    @property
    def seal(self) -> Seal | None:
        """What is known of the object here; None: nothing."""
        return self.seals.get("")

    @property
    def way(self) -> str:
        """How the store is reached, as a digest: for caches, since equality leaves it out."""
        return way_to(self.protocol, self.options)

    @property
    def protocol(self) -> str:
        """``file``, ``s3``, ``memory``, …"""
        return self.url.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.url.rstrip("/").rsplit("/", 1)[-1]

    @property
    def above(self) -> list[Location]:
        """The places that this one lies in, from the next to the outermost; links are followed, too."""
        local = self.local_path()
        if local is not None:
            folders = [*local.parents, *local.resolve().parents]
            return [Location(f"file://{folder}") for folder in dict.fromkeys(folders)]
        *outer, _ = self._path.split("/")
        names = ["/".join(outer[:count]) for count in range(len(outer), 0, -1)]
        return [Location(f"{self.protocol}://{name}", self.options) for name in names]

    @property
    def shared(self) -> bool:
        """False if only this process can see the place (``memory://``)."""
        return self.protocol != "memory"

    def contains(self, other: Location) -> bool:
        """True if ``other`` is this place or lies below it, by its name or where symbolic links lead."""
        mine, its = self.local_path(), other.local_path()
        if mine is not None and its is not None and its.resolve().is_relative_to(mine.resolve()):
            return True
        return f"{other.url}/".startswith(f"{self.url}/")

    def local_path(self) -> Path | None:
        """The path of a ``file://`` location, else None."""
        return Path(self._path) if self.protocol == "file" else None

    def exists(self) -> bool:
        """True if there is an object or a folder here."""
        return self._kind() is not None

    def is_object(self) -> bool:
        """True if there is an object here, and not a folder."""
        return self._kind() == "object"

    def is_prefix(self) -> bool:
        """True if something lies under this place."""
        return next(self.objects(), None) is not None

    def size(self) -> int:
        """The object's size in bytes."""
        with translated("read", self.url):
            return attempt(lambda: self._store.size(self._path))

    def modified(self) -> datetime | None:
        """When the object was last changed, UTC, by the store's clock; None where it does not say."""
        with translated("read", self.url):
            return attempt(lambda: self._store.modified(self._path))

    def info(self) -> ObjectInfo | None:
        """Size, token and tag of the object as a listing of its folder has them; None for a folder.

        One request. Raises ``MissingError`` if there is nothing here.
        """
        with translated("read", self.url):
            return attempt(lambda: self._store.info(self._path))

    def read_bytes(self) -> bytes:
        """The whole object."""
        seal, near = self.seal, near_copies.read(self.seal.sha256 if self.seal else self.copy)
        if near is not None and (seal is None or is_sound(seal, near)):
            return near
        try:
            with translated("read", self.url):
                data = attempt(lambda: self._store.read(self._path))
        except MissingError as fault:
            raise (fault if seal is None else missing(self.url)) from fault
        if seal is not None:
            require_sound(self.url, seal, data)
            near_copies.keep(seal.sha256, data, self.protocol)
        return data

    def read_ranges(self, ranges: Sequence[tuple[int, int | None]]) -> list[bytes]:
        """Parts of the object, each from a start to a stop in bytes, read at the same time.

        (-n, None): its last n bytes. What reaches beyond the end is cut off there.
        """
        sealed = self._sealed_ranges()

        def read(part: tuple[int, int | None]) -> bytes:
            start, stop = part
            if stop is not None and stop <= start:
                return b""  # HTTP knows no empty range: a store would send everything
            return self._range(start, stop) if sealed is None else sealed.range(start, stop)

        return list(in_threads(read, ranges)) if len(ranges) > 1 else [read(part) for part in ranges]

    def open(self, mode: str = "rb") -> IO[bytes]:
        """A seekable file for reading; writing goes through ``write_bytes``, which is atomic."""
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: a location opens for reading only ('rb')")
        sealed = self._sealed_ranges()
        if self.seal is not None and sealed is not None:
            return sealed_file(sealed, self.seal.bytes)
        with translated("read", self.url):
            file = attempt(lambda: self._store.open(self._path))
        return file if self.protocol in ("file", "memory") else retrying_file(file)

    def write_bytes(self, data: bytes) -> None:
        """Write or replace the object; a reader sees the old or the new bytes, never a part."""
        with translated("write", self.url):
            attempt(lambda: self._store.write(self._path, data))

    def put_if_absent(self, data: bytes) -> bool:
        """Write the object unless there is one; True if this call wrote it.

        Atomic, also among hosts, where the store keeps conditional puts (see
        ``infra.storage.conditional_writes``). For what is small: raises ``StorageError`` above
        ``LARGEST_CONDITIONAL`` bytes.
        """
        if len(data) > LARGEST_CONDITIONAL:
            raise StorageError(
                f"{self.url} is too large ({counted(len(data), 'byte')}) to be written only if it is absent: "
                f"at most {LARGEST_CONDITIONAL:,} can be; divide the collection over several destinations."
            )
        with translated("write", self.url):
            return self._store.create(self._path, data)

    def objects(
        self, on_skip: Callable[[Skipped], None] | None = None, follow_links: bool = True
    ) -> Iterator[ObjectInfo]:
        """Every object below, in no order, streamed: memory does not grow with their number.

        Nothing there yields nothing. What is left out goes to ``on_skip`` with the reason: a folder below
        this place that may not be listed, a link that leads nowhere, a pipe. follow_links: whether links to
        files and folders on a disk are followed, each real folder once; else they are left out, too.
        """
        with translated("list", self.url):
            yield from self._store.objects(self._path, on_skip, follow_links)

    def children(self) -> list[str]:
        """The names one level down, sorted; empty if nothing is there."""
        with translated("list", self.url):
            return sorted(self._store.children(self._path))

    def delete(self) -> None:
        """Remove the object, or everything below; nothing there is no error."""
        with translated("delete", self.url):
            self._store.delete(self._path)

    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        """A Zarr store rooted here."""
        import zarr.storage

        if self.protocol == "file":
            store: zarr.abc.store.Store = zarr.storage.LocalStore(self._path, read_only=read_only)
        else:
            with translated("read", self.url):
                filesystem = reached(self.protocol, self.options)
            store = zarr.storage.FsspecStore(
                asynchronous(filesystem),
                read_only=read_only,
                path=filesystem._strip_protocol(self.url),
            )
        if not self.seals:
            return store
        from infra.storage.sealed_store import SealedStore

        return SealedStore(store, self.url, self.seals)

    def arrow_filesystem(self) -> tuple[Any, str]:
        """A ``pyarrow.fs.FileSystem`` and the path of this place in it."""
        filesystem, (path,) = arrow_files([self])
        return filesystem, path

    def _range(self, start: int, stop: int | None) -> bytes:
        near = near_copies.read(self.seal.sha256 if self.seal else self.copy, start, stop)
        if near is not None:
            return near
        with translated("read", self.url):
            return attempt(lambda: self._store.read_range(self._path, start, stop))

    def _sealed_ranges(self) -> SealedRanges | None:
        return None if self.seal is None else SealedRanges(self.url, self.seal, self._range)

    def _kind(self) -> str | None:
        with translated("read", self.url):
            return attempt(lambda: self._store.kind(self._path))

    @property
    def _path(self) -> str:
        if self.protocol in ("http", "https"):
            return self.url
        return self.url.partition("://")[2]

    @property
    def _store(self) -> Store:
        if self.protocol == "file":
            return FileStore()
        filesystem = reached(self.protocol, self.options)
        return S3Store(filesystem) if self.protocol == "s3" else FsspecStore(filesystem)


def arrow_files(locations: Sequence[Location]) -> tuple[Any, list[str]]:
    """A ``pyarrow.fs.FileSystem`` and the paths in it of objects of one store; what is sealed is checked."""
    first, paths = locations[0], [location._path for location in locations]
    sealed = {location._path.strip("/"): location.open for location in locations if location.seal is not None}
    if first.protocol == "file" and not sealed:
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem(), paths
    with translated("read", first.url):
        return arrow_filesystem(reached(first.protocol, first.options), sealed), paths
