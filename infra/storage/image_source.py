"""Where the photographs of a collection lie: a folder, a clip, several of them, or what a list names.

A name is relative to the first place, as it always was; what lies elsewhere is named by its whole URL. Either
is taken only if it lies in one of the `roots`, so that no list and no table leads anywhere else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.errors import StorageError, UserError
from infra.storage.clip_source import Clip, clip_or_place
from infra.storage.location import Location

if TYPE_CHECKING:
    from infra.settings import StorageSettings

LISTS = (".csv", ".tsv", ".parquet")  # how the names of lists end


@dataclass(frozen=True)
class ImageSource(Location):
    """Several places as one source; the url is that of the first.

    places: folders and lists, as they were named. roots: what names may lead into, the first of them what
    relative names are relative to. Picklable.
    """

    places: tuple[Location, ...] = ()
    roots: tuple[Location, ...] = ()

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, part: str) -> Location:
        """The place of an image; ``StorageError`` if it lies in none of the roots."""
        if "://" not in part:
            return self.roots[0] / part
        for root in self.roots:
            if part == root.url:
                return root
            if part.startswith(f"{root.url}/"):
                return root / part[len(root.url) + 1 :]
        raise StorageError(f"{part} lies outside the source {self.url}: name its place in source.roots.")

    def name_of(self, url: str) -> str | None:
        """What an image is called in this source, by its URL; None if it lies in none of the roots."""
        for root in self.roots:
            if url.startswith(f"{root.url}/"):
                return url[len(root.url) + 1 :] if root == self.roots[0] else url
        return None

    @property
    def shared(self) -> bool:
        """False if only this process can see one of the places."""
        return all(root.shared for root in self.roots)

    def contains(self, other: Location) -> bool:
        """True if ``other`` is one of the places or lies below one that is a folder."""
        return any(place.contains(other) for place in self.places)

    def local_path(self) -> Path | None:
        """The path of the first root, where all roots are folders of this machine."""
        paths = [root.local_path() for root in self.roots]
        return paths[0] if all(path is not None for path in paths) else None

    def exists(self) -> bool:
        """True if there is one of the places."""
        return any(place.exists() for place in self.places)

    def is_prefix(self) -> bool:
        """True if something lies in one of the folders."""
        return any(place.is_prefix() for place in self.places if not is_list(place))


def image_source(
    first: str,
    also: Sequence[str] = (),
    roots: Sequence[str] = (),
    storage: StorageSettings | None = None,
) -> Location:
    """The source that a run is given: plain for one folder, else an ``ImageSource``.

    first, also: folders, clips and lists. roots: places beside these, and beside the folders in which the
    lists lie, that a list may name. Raises ``UserError`` for folders of which one lies in another.
    """
    places = [clip_or_place(text, storage) for text in (first, *also)]
    if len(places) == 1 and not is_list(places[0]):
        return places[0]
    folders = [place for place in places if not is_list(place)]
    for at, one in enumerate(folders):
        for other in folders[at + 1 :]:
            if one.contains(other) or other.contains(one):
                raise UserError(f"The sources {one} and {other} overlap: name the outer one alone.")
    allowed = [folder_of(place, storage) if is_list(place) else place for place in places]
    allowed += [clip_or_place(text, storage) for text in roots]
    return ImageSource(places[0].url, places[0].options, places=tuple(places), roots=tuple(allowed))


def places_of(source: Location) -> tuple[Location, ...]:
    """The folders, clips and lists that a source consists of."""
    return source.places if isinstance(source, ImageSource) else (source,)


def is_video(source: Location) -> bool:
    """True for a source of nothing but clips."""
    return all(isinstance(one, Clip) for one in places_of(source))


def is_list(place: Location) -> bool:
    """True for a list of images, by the ending of its name."""
    return place.url.lower().endswith(LISTS)


def folder_of(place: Location, storage: StorageSettings | None = None) -> Location:
    """The folder in which an object lies."""
    return Location.parse(place.url.rpartition("/")[0] or place.url, storage)


def resolved(text: str, folder: Location) -> str:
    """The URL that a name in a list means: a URL, an absolute path, or a path relative to the list's folder.

    Steps up are taken out of it, so that what it starts with says where it lies. Raises ``ValueError`` with
    the reason for a name that means nothing.
    """
    if not text.strip():
        raise ValueError("the row has no uri")
    if "\\" in text or "\0" in text:
        raise ValueError("its name holds a backslash or a null: write paths with /")
    protocol, mark, path = text.partition("://")
    if not mark:
        absolute = folder.protocol == "file" and text.startswith("/")
        protocol, _, base = folder.url.partition("://")
        path = text if absolute else f"{base}/{text}"
    protocol = {"local": "file", "s3a": "s3"}.get(protocol.lower(), protocol.lower())
    if protocol == "file":
        path = "/" + path.removeprefix("localhost").lstrip("/")
    # Every name is part of the path for a store, but ".." would say something else than it seems to.
    clean = posixpath.normpath(path) if path else ""
    if clean.startswith("//"):
        clean = clean[1:]
    if clean in ("", ".", "/") or clean.startswith(".."):
        raise ValueError("it is no path of an image")
    return f"{protocol}://{clean}"


def as_path(name: str) -> str:
    """An image's name as a path under which something of it can be written."""
    protocol, mark, path = name.partition("://")
    return f"{protocol}/{path.lstrip('/')}" if mark else name


def without_credentials(url: str) -> str:
    """A URL without user, password, query and fragment, which may be secrets; a plain path as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://…"
    if parts.scheme.lower() not in ("http", "https"):
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
