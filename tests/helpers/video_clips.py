"""Small clips, made here."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sample_runs import picture

from infra.video.clip_writer import write_mp4


def coloured(colour: Sequence[int], size: tuple[int, int] = (48, 32)) -> np.ndarray:
    """A frame of one colour; size: width and height."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def clip(path: Path, colours: Sequence[Sequence[int]], times: Sequence[float] | None = None) -> Path:
    """A clip of frames of one colour each, 10 a second unless their times are given."""
    stamps = times or [number / 10 for number in range(len(colours))]
    write_mp4(path, zip(stamps, (coloured(colour) for colour in colours), strict=True))
    return path


def things(path: Path, kinds: Sequence[int]) -> Path:
    """A clip in which a thing of one of two kinds moves a little from frame to frame."""
    import io

    from PIL import Image

    def frame(number: int, kind: int) -> np.ndarray:
        pixels = np.asarray(Image.open(io.BytesIO(picture(kind, 0, (96, 64)))).convert("RGB"))
        return np.roll(pixels, number, axis=1)

    write_mp4(path, ((number / 10, frame(number, kind)) for number, kind in enumerate(kinds)))
    return path


def turned(path: Path, height: int) -> Path:
    """The same clip, its metadata saying that it is to be shown a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 16  # version 0: flags, times and ids, layer and volume
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, height << 16, 0, 1 << 30)
    out = path.with_name("turned.mp4")
    out.write_bytes(data)
    return out
