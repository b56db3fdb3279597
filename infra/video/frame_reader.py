"""Any frame of a clip as the bytes of an image file; in order, each is decoded once."""

from __future__ import annotations

import io
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from infra.errors import StorageError
from infra.video.containers import open_clip, pyav
from infra.video.frame_times import FrameTimes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

KEPT_BYTES = 64 * 2**20  # of decoded frames that another thread may ask for next


class FrameReader:
    """The frames of an open clip, for several threads.

    file: seekable; kept open, and closed with the reader. times: of the clip. name: for sentences.
    """

    def __init__(self, file: IO[bytes], times: FrameTimes, name: str) -> None:
        self._file, self._times, self._name = file, times, name
        self._lock = threading.Lock()
        try:
            self._container, self._stream = open_clip(file, name)
        except BaseException:
            file.close()
            raise
        self._place = {stamp: at for at, stamp in enumerate(times.stamps)}
        self._frames: Iterator[VideoFrame] | None = None
        self._next = 0  # the index that the decoder is expected to give next
        self._kept: OrderedDict[int, VideoFrame] = OrderedDict()
        size = max(1, times.width * times.height * 3 // 2)
        self._room = max(2, min(32, KEPT_BYTES // size))

    def image(self, index: int) -> bytes:
        """A frame as it is to be seen, as the bytes of a BMP file; StorageError if it cannot be decoded."""
        av = pyav()
        with self._lock:
            try:
                frame = self._frame(index)
            except (av.error.FFmpegError, ValueError) as error:
                self._frames = None
                raise StorageError(
                    f"The frame {index} of {self._name} cannot be decoded: {error}."
                ) from error
        if frame is None:
            raise StorageError(f"The frame {index} of {self._name} cannot be decoded: the clip is damaged.")
        return as_bmp(upright(frame))

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._frames = None
            self._kept.clear()
            self._container.close()
            self._file.close()

    def __del__(self) -> None:
        """A reader that nobody holds any more, another thread least of all, gives its file back."""
        if hasattr(self, "_room"):
            self.close()

    def _frame(self, index: int) -> VideoFrame | None:
        if index in self._kept:
            return self._kept[index]
        keys = self._times.keys
        at = max(bisect_right(keys, index) - 1, 0)
        if self._frames is None or index < self._next or keys[at] > self._next:
            self._begin(keys[at])
        found = self._decode_to(index)
        back = 1
        while found is None and at:  # a seek that led too far: containers look for when frames are decoded
            at, back = max(at - back, 0), 2 * back
            self._begin(keys[at])
            found = self._decode_to(index)
        return found

    def _begin(self, key: int) -> None:
        if key and not self._times.by_order:
            self._next = key
            self._container.seek(self._times.stamps[key], stream=self._stream, backward=True)
        else:
            # Opened anew: what is decoded before it is shown may have a negative time, and some containers
            # (MPEG-TS) find nothing before the second key frame when they are asked for the first one's time.
            self._next = 0
            self._container.close()
            self._file.seek(0)
            self._container, self._stream = open_clip(self._file, self._name)
        self._frames = iter(self._container.decode(self._stream))

    def _decode_to(self, index: int) -> VideoFrame | None:
        assert self._frames is not None  # noqa: S101 - it was begun
        for frame in self._frames:
            at = self._next if self._times.by_order else self._place.get(frame.pts or 0)
            if at is None:
                continue  # before the first that is shown
            self._next = at + 1
            self._kept[at] = frame
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
            if at == index:
                return frame
            if at > index:
                return None
        self._frames = None
        return None


def upright(frame: VideoFrame) -> Any:
    """The pixels of a frame as it is to be seen, uint8 [h, w, 3]: turned as its metadata say."""
    import numpy as np

    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def as_bmp(pixels: Any) -> bytes:
    """Bytes of a BMP file, uncompressed, of uint8 [h, w, 3]: equal pixels, equal bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def bmp_bytes(width: int, height: int) -> int:
    """The size of such a file."""
    return 54 + (width * 3 + 3) // 4 * 4 * height
