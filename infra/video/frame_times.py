"""Which frames a clip has and when each is shown, from its packets: nothing is decoded where they say so."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

from infra.errors import StorageError
from infra.video.containers import opened, pyav

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

FALLBACK_RATE = Fraction(25)
# In AVI a packet has a number and no time, and these codecs do not store frames as they are shown:
# the times that FFmpeg makes up for them are those of other frames.
_CONTAINER_WITHOUT_ORDER, _REORDERED = "avi", ("h264", "hevc")


@dataclass(frozen=True)
class FrameTimes:
    """The frames of a clip in the order in which they are shown.

    Attributes:
        stamps: presentation time of each, in units of `unit` seconds; rising.
        unit: seconds.
        keys: indices of frames from which decoding can begin; rising, the first is 0.
        rate: frames a second, on average.
        width, height: pixels, as the container states them, before rotation.
        by_order: True where packets have no times, or those of other frames: frames are found by counting
            from the first.
    """

    stamps: tuple[int, ...]
    unit: Fraction
    keys: tuple[int, ...]
    rate: Fraction
    width: int
    height: int
    by_order: bool = False

    def seconds(self, index: int) -> float:
        """When a frame is shown, from the first on, to the microsecond."""
        return round(float((self.stamps[index] - self.stamps[0]) * self.unit), 6)


def frame_times(file: IO[bytes], name: str) -> FrameTimes:
    """The frames of a clip. name: for sentences; StorageError for a clip without frames."""
    av = pyav()
    with opened(file, name) as (container, stream):
        try:
            found = _of_packets(container, stream)
            if found is None:
                container.seek(0)
                found = _of_frames(container, stream)
        except av.error.FFmpegError as error:
            raise StorageError(
                f"The clip {name} is damaged ({error.strerror}): repair or replace it."
            ) from error
    if not found.stamps:
        raise StorageError(f"The clip {name} has no frames: name one that has.")
    return found


def _of_packets(container: InputContainer, stream: VideoStream) -> FrameTimes | None:
    packets: dict[int, bool] = {}
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.pts is None or packet.pts in packets or packet.time_base is None:
            return None
        packets[packet.pts] = bool(packet.is_keyframe)
    stamps = tuple(sorted(packets))
    by_order = container.format.name == _CONTAINER_WITHOUT_ORDER and stream.codec_context.name in _REORDERED
    # The first can always be begun with, from the start: what is decoded before it may not be shown.
    keys = (0, *(at for at, stamp in enumerate(stamps) if at and packets[stamp] and not by_order))
    return _times(stream, stamps, stream.time_base or Fraction(1, 25), keys, by_order=by_order)


def _of_frames(container: InputContainer, stream: VideoStream) -> FrameTimes:
    rate = _rate(stream) or FALLBACK_RATE
    count = sum(1 for _ in container.decode(stream))
    return _times(stream, tuple(range(count)), 1 / rate, (0,), by_order=True)


def _times(
    stream: VideoStream, stamps: tuple[int, ...], unit: Fraction, keys: tuple[int, ...], **more: Any
) -> FrameTimes:
    span = (stamps[-1] - stamps[0]) * unit if len(stamps) > 1 else Fraction(0)
    rate = Fraction(len(stamps) - 1) / span if span > 0 else (_rate(stream) or FALLBACK_RATE)
    codec = stream.codec_context
    return FrameTimes(stamps, unit, keys, rate, codec.width, codec.height, **more)


def _rate(stream: VideoStream) -> Fraction | None:
    found = stream.average_rate or stream.base_rate
    return Fraction(found) if found else None
