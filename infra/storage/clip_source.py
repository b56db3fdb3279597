"""A clip as a folder of its frames, and a frame as an image in it."""

from __future__ import annotations

import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from infra.errors import MissingError, StorageError
from infra.storage.location import Location, ObjectInfo, Skipped
from infra.video.containers import ENDINGS, pyav

if TYPE_CHECKING:
    from infra.settings import StorageSettings
    from infra.video.frame_reader import FrameReader
    from infra.video.frame_times import FrameTimes

FRAME = re.compile(r"([0-9]{6,9})\.bmp")
OPEN_READERS = 4


@dataclass(frozen=True)
class Clip(Location):
    """A clip; below it lie its frames, 000000.bmp, 000001.bmp, … in the order in which they are shown.

    Bytes of a frame are made when they are read: those of a BMP file, so that equal pixels are one image,
    whatever decodes them.
    """

    def __str__(self) -> str:
        return self.url

    @property
    def file(self) -> Location:
        """The clip as an object."""
        return Location(self.url, self.options)

    @property
    def token(self) -> str:
        """Changes when the clip does, or what decodes it."""
        found = self.file.info()
        if found is None:
            raise StorageError(f"{self.url} is a folder, not a clip: name it with a slash at its end.")
        versions = pyav().library_versions
        decoder = ".".join(str(versions[name][0]) for name in ("libavcodec", "libswscale"))
        return f"{found.token}-{decoder}"

    def times(self) -> FrameTimes:
        """Which frames there are, and when. Raises StorageError, with the cure, for what is no clip."""
        return _times(self, self.token)

    def __truediv__(self, part: str) -> Location:
        """A frame by its name."""
        named = FRAME.fullmatch(part)
        if named is None:
            raise StorageError(f"{part!r} is no frame of {self.url}: frames are called 000012.bmp.")
        return ClipFrame(f"{self.url}/{part}", self.options, clip=self, index=int(named[1]))

    def exists(self) -> bool:
        """True if there is such a clip."""
        return self.file.exists()

    def is_prefix(self) -> bool:
        """True: a clip that can be read has frames."""
        return self.exists()

    def objects(
        self, on_skip: Callable[[Skipped], None] | None = None, follow_links: bool = True
    ) -> Iterator[ObjectInfo]:
        """Every frame, in order. Sizes are those of frames as large as the clip says."""
        from infra.video.frame_reader import bmp_bytes

        token, times = self.token, self.times()
        size = bmp_bytes(times.width, times.height)
        for index in range(len(times.stamps)):
            yield ObjectInfo(frame_name(index), size, f"{token}-{index}", None)


@dataclass(frozen=True)
class ClipFrame(Location):
    """A frame of a clip. index: its place in the order in which they are shown, from 0."""

    clip: Clip = field(default_factory=lambda: Clip(""), compare=False)
    index: int = 0

    def local_path(self) -> Path | None:
        """None: it is no file."""
        return None

    def read_bytes(self) -> bytes:
        """The frame as the bytes of an image file."""
        if self.index >= len(self.clip.times().stamps):
            raise MissingError(f"{self.clip.url} has no frame {self.index}.")
        return _reader(self.clip).image(self.index)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """The same, as a file."""
        return io.BytesIO(self.read_bytes())

    def exists(self) -> bool:
        """True if the clip has such a frame."""
        return self.index < len(self.clip.times().stamps)

    def is_object(self) -> bool:
        """As `exists`."""
        return self.exists()

    def info(self) -> ObjectInfo | None:
        """As the clip lists it."""
        from infra.video.frame_reader import bmp_bytes

        times = self.clip.times()
        if self.index >= len(times.stamps):
            raise MissingError(f"{self.clip.url} has no frame {self.index}.")
        size = bmp_bytes(times.width, times.height)
        return ObjectInfo(frame_name(self.index), size, f"{self.clip.token}-{self.index}", None)


def frame_name(index: int) -> str:
    """What a frame is called within its clip."""
    return f"{index:06d}.bmp"


def clip_or_place(text: str, storage: StorageSettings | None = None) -> Location:
    """A clip, if it is called like one and is no folder; else a plain place."""
    found = Location.parse(text, storage)
    if not found.url.lower().endswith(ENDINGS):
        return found
    local = found.local_path()
    if (local is not None and local.is_dir()) or (local is None and not found.is_object()):
        return found
    return Clip(found.url, found.options)


@lru_cache(maxsize=64)
def _times(clip: Clip, token: str) -> FrameTimes:
    from infra.video.frame_times import frame_times

    del token  # only a part of the key
    with clip.file.open() as file:
        return frame_times(file, clip.url)


_readers: OrderedDict[tuple[int, str, str, str], FrameReader] = OrderedDict()
_readers_lock = threading.Lock()


def _reader(clip: Clip) -> FrameReader:
    """One reader a process for each clip; the longest unused is given back."""
    from infra.video.frame_reader import FrameReader

    key = (os.getpid(), clip.url, clip.token, clip.way)
    with _readers_lock:
        if key in _readers:
            _readers.move_to_end(key)
            return _readers[key]
        _readers[key] = FrameReader(clip.file.open(), clip.times(), clip.url)
        while len(_readers) > OPEN_READERS:
            _readers.popitem(last=False)
        return _readers[key]
