"""Clips opened with PyAV: untrusted bytes, one kind of container, nothing that leads elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from infra.errors import StorageError, UserError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that hold their own frames. A playlist or a description of other files would lead elsewhere.
_FORMATS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,ogg"
ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv")
MOST_PIXELS = 178_956_970


def pyav() -> Any:
    """The package av; UserError with the cure where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError(
            "Clips are read with PyAV, which is not installed: pip install 'congeal[video]'."
        ) from error
    return av


@contextmanager
def opened(file: IO[bytes], name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A clip and its first video stream, until the end of the block.

    name: for sentences. Raises StorageError for what is no clip, has no video, or a codec that is not known.
    """
    container, stream = open_clip(file, name)
    try:
        yield container, stream
    finally:
        container.close()


def open_clip(file: IO[bytes], name: str) -> tuple[InputContainer, VideoStream]:
    """As `opened`; the caller closes the container."""
    av = pyav()
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
    try:
        container = av.open(file, mode="r", options=options)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise StorageError(f"The clip {name} cannot be read ({_why(error)}): convert it to MP4.") from error
    try:
        stream = next((one for one in container.streams.video if not _is_cover(one)), None)
        if stream is None:
            raise StorageError(f"The clip {name} has no video: name a file with frames.")
        codec = stream.codec_context
        if codec is None:
            raise StorageError(
                f"The clip {name} is in a codec that this PyAV does not know: convert it to H.264."
            )
        if codec.width * codec.height > MOST_PIXELS:
            raise StorageError(
                f"The frames of {name} are {codec.width} x {codec.height} pixels, more than {MOST_PIXELS:,}: "
                "make them smaller."
            )
        codec.options = {"max_pixels": str(MOST_PIXELS)}  # sizes may change on the way
        stream.thread_type = "NONE"  # threads belong to the run
    except BaseException:
        container.close()
        raise
    return container, stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(int(getattr(stream, "disposition", 0)) & 0x400)  # an attached picture, as of music


def _why(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower().rstrip(".")
