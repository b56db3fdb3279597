"""MP4 files from frames: H.264, each frame shown when it is said to be."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import UserError
from infra.video.containers import pyav

if TYPE_CHECKING:
    import numpy.typing as npt

UNIT = Fraction(1, 90_000)
QUALITY = "18"  # of x264, as good as the original to the eye
BT709 = 1


def write_mp4(path: Path, frames: Iterable[tuple[float, npt.NDArray[Any]]]) -> int:
    """Write a clip; how many frames it has.

    frames: seconds, rising, and pixels uint8 [h, w, 3]. All are shown as large as the first: others are
    fitted into it, with black beside them. Where a side is odd, its last pixels are there twice.
    """
    av = pyav()
    if "libx264" not in av.codecs_available:
        raise UserError("This PyAV cannot write H.264: install that of the package index.")
    count, size, before = 0, (0, 0), -1
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        for seconds, pixels in frames:
            if stream is None:
                size = pixels.shape[1], pixels.shape[0]
                stream = container.add_stream("libx264", rate=25, options={"crf": QUALITY})
                stream.width, stream.height = size[0] + size[0] % 2, size[1] + size[1] % 2
                stream.pix_fmt = "yuv420p"
                context = stream.codec_context
                context.time_base, context.thread_count = UNIT, 1
                context.colorspace = context.color_primaries = context.color_trc = BT709
            frame = av.VideoFrame.from_ndarray(_fitted(pixels, size), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts = before = max(before + 1, round(Fraction(seconds) / UNIT))
            frame.time_base = UNIT
            container.mux(stream.encode(frame))
            count += 1
        if stream is not None:
            container.mux(stream.encode(None))
    return count


def _fitted(pixels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Pixels as large as a frame of the clip, both sides even."""
    import numpy as np
    from PIL import Image

    width, height = size
    if pixels.shape[:2] != (height, width):
        share = min(width / pixels.shape[1], height / pixels.shape[0])
        small = max(1, round(pixels.shape[1] * share)), max(1, round(pixels.shape[0] * share))
        whole = Image.new("RGB", size)
        whole.paste(
            Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS),
            ((width - small[0]) // 2, (height - small[1]) // 2),
        )
        pixels = np.asarray(whole)
    if width % 2 or height % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)
