"""Reading images (bytes in, 8-bit RGB out, or an `ImageError` fit for a table) and framing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, Jpeg2KImagePlugin, TiffImagePlugin

from congeal.errors import ImageError, ImageLimitError
from congeal.imaging import decoding_process, jpeg2000_reduction, tiff_reduction
from congeal.imaging.decoding_cost import Heavy, Limits, check_canvas, check_cost, cost, room, too_much_memory
from congeal.imaging.formats import jpeg_frame
from congeal.imaging.high_bit_depth import deep_samples, depth
from congeal.imaging.intensity_scaling import Range, eight_bits
from congeal.imaging.jpeg2000_reduction import in_place, may_not_fit
from congeal.imaging.pillow_io import PILLOW_ERRORS, load, open_image, orientation, rgb_of, shortened
from congeal.imaging.square_frames import Pixels, square, square_of, window_of, window_pixels

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "DEFAULT_MIN_SIDE",
    "ImageInfo",
    "Pixels",
    "decode",
    "decode_window",
    "inspect",
    "square",
    "squares",
    "window_pixels",
]

T = TypeVar("T")

DEFAULT_MAX_PIXELS = 178_956_970
DEFAULT_MIN_SIDE = 8
_LIMITS = Limits()
LOSSLESS = 3  # a JPEG's process

# Not by ImageOps.exif_transpose, which writes the metadata anew: of 20,000 JPEGs with damaged EXIF it raised
# for 1,050 whose orientation could be read. Nor is there EXIF beside samples that were read past Pillow.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageInfo:
    """What a sound image is: `width` and `height` in pixels after EXIF orientation, Pillow's names else.

    depth: bits a sample, where the file holds more than 8; else 8.
    """

    width: int
    height: int
    format: str
    mode: str
    depth: int = 8


def inspect(
    data: bytes,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    min_side: int = DEFAULT_MIN_SIDE,
    limits: Limits | None = _LIMITS,
    reduced: bool = False,
) -> ImageInfo:
    """Check that a file can be decoded to its last byte, without keeping its pixels.

    limits: of memory and time; what may take much is decoded in a process of its own, as by all functions
    here. None: there are none, and it is decoded in this process. reduced: less of it is decoded, where that
    can be (JPEG 2000); all functions here do so where the limits do not suffice for the whole.

    Raises `ImageError` with one of the reasons: "empty file", "not an image", "truncated: ...",
    "damaged ... file: ...", "... pixels, smaller than <min_side>" (shorter side), "... pixels, more than the
    <max_pixels> allowed" (from the header, before any decoding), "unreadable colour mode ..."; and
    `ImageLimitError` where the limits do not suffice.
    """
    return _within(
        limits, data, 1, reduced, lambda less: _inspected(data, max_pixels, min_side, limits, less)
    )


def _within(
    limits: Limits | None, data: bytes, target: int | None, reduced: bool, act: Callable[[bool], T]
) -> T:
    """What comes of the whole file or, if the limits do not suffice for that and it can be, of less of it."""
    try:
        return act(reduced)
    except ImageError as error:
        if reduced or limits is None:
            raise
        hidden = may_not_fit(data, limits.memory)
        if (hidden or isinstance(error, ImageLimitError)) and halvings_of(data, target):
            return act(True)
        if hidden and not isinstance(error, ImageLimitError):
            raise too_much_memory(limits) from error
        raise


def _inspected(
    data: bytes, max_pixels: int, min_side: int, limits: Limits | None, reduced: bool
) -> ImageInfo:
    try:
        name, image, bits = _opened(data, max_pixels, min_side, limits)
        width, height = image.size
        if name == "JPEG" and not lossless(data):
            # One eighth of the scale skips most of the arithmetic, yet every byte is still entropy-decoded.
            image.draft(None, (1, 1))
        halvings = _halve(image, data, 1, reduced)
        banded = bool(halvings) and name == "TIFF"
        with _room(name, data, image, width, bits, limits, halvings):
            if banded:
                tiff_reduction.check(data)
            else:
                load(name, image)
    except Heavy:
        asked = decoding_process.Asked("inspect", max_pixels, min_side, reduced=reduced)
        facts, _ = decoding_process.ask(data, asked, limits or _LIMITS)
        return ImageInfo(*facts["info"])
    # Pillow turns a TIFF when it is loaded, and says so beforehand.
    turned = banded and isinstance(image, TiffImagePlugin.TiffImageFile)
    if orientation(image) >= 5 and not turned:
        width, height = height, width
    return ImageInfo(width, height, name, image.mode, bits)


def decode(
    data: bytes,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    min_side: int = DEFAULT_MIN_SIDE,
    target: int | None = None,
    value_range: Range | None = None,
    limits: Limits | None = _LIMITS,
    reduced: bool = False,
) -> Pixels:
    """Decode a file to 8-bit RGB, uint8 [h, w, 3], after EXIF orientation; the first frame of several.

    Transparency is laid over white. Samples of more than 8 bits are scaled, low to black and high to white:
    between the values of `value_range`, else those that the file states, else robust percentiles of the image
    (see congeal.imaging.intensity_scaling). With `target`, a JPEG may come at 1/2, 1/4 or 1/8 of its
    scale: its longer side is then at least `target` pixels, and both sides are exact fractions of the
    original's, so that frame coordinates are those of the original; so may a JPEG 2000 that is `reduced`.
    Raises `ImageError` as `inspect` does.
    """

    def decoded(less: bool) -> Pixels:
        try:
            return np.array(_picture(data, max_pixels, min_side, target, value_range, limits, less))
        except Heavy:
            asked = decoding_process.Asked(
                "decode", max_pixels, min_side, value_range, target=target, reduced=less
            )
            return decoding_process.ask(data, asked, limits or _LIMITS)[1][0]

    return _within(limits, data, target, reduced, decoded)


def _picture(
    data: bytes,
    max_pixels: int,
    min_side: int,
    target: int | None,
    value_range: Range | None,
    limits: Limits | None,
    reduced: bool,
) -> Image.Image:
    """The image upright, in Pillow's mode RGB. Raises `Heavy` for what is to be decoded elsewhere."""
    name, image, bits = _opened(data, max_pixels, min_side, limits)
    width = image.width
    if name == "JPEG" and target is not None:
        _draft(image, data, target)
    halvings = _halve(image, data, target, reduced)
    with _room(name, data, image, width, bits, limits, halvings):
        try:
            if halvings and name == "TIFF":
                return _upright(*tiff_reduction.picture(data, halvings, bits, value_range))
            load(name, image)
            if bits > 8:
                # The samples come out of the file a second time, loaded as this image was.
                greys = eight_bits(deep_samples(name, data, image, bits), value_range)
                rgb = Image.fromarray(greys).convert("RGB")
            else:
                rgb = rgb_of(image)
            return _upright(in_place(rgb, halvings), orientation(image))
        except ImageError:
            raise  # a reason of our own
        except MemoryError as error:
            raise ImageLimitError("there is not enough memory to decode it") from error
        except PILLOW_ERRORS as error:
            raise ImageError(f"unreadable colour mode {image.mode}: {shortened(error)}") from error


def _upright(image: Image.Image, turned: int) -> Image.Image:
    """turned: EXIF orientation, 1 to 8."""
    transposition = _TRANSPOSITIONS.get(turned)
    return image if transposition is None else image.transpose(transposition)


def _opened(
    data: bytes, max_pixels: int, min_side: int, limits: Limits | None
) -> tuple[str, ImageFile.ImageFile, int]:
    check_canvas(data, limits)
    name, image = open_image(data, max_pixels, min_side)
    return name, image, _depth(name, data, image)


def _room(
    name: str,
    data: bytes,
    image: ImageFile.ImageFile,
    width: int,
    bits: int,
    limits: Limits | None,
    halvings: int,
) -> AbstractContextManager[None]:
    """Room to decode an image, whose full width is given, in this process."""
    if limits is None:
        return nullcontext()
    found = cost(name, data, image, max(round(width / image.width), 1), bits, halvings)
    check_cost(found, limits)
    return room.held(found.memory)


def squares(
    data: bytes,
    sizes: Sequence[int],
    max_pixels: int = DEFAULT_MAX_PIXELS,
    min_side: int = DEFAULT_MIN_SIDE,
    value_range: Range | None = None,
    limits: Limits | None = _LIMITS,
    reduced: bool = False,
) -> Iterator[Pixels]:
    """A file's square frame at several sizes, one after the other, each uint8 [size, size, 3].

    Each is `square(decode(data, target=size), size)` to the bit; the file is decoded once for all sizes that
    need it at the same scale. Raises `ImageError` as `decode` does.
    """
    at_scale: dict[int, Image.Image] = {}
    left = list(sizes)
    try:
        check_canvas(data, limits)
        name, image = open_image(data, max_pixels, min_side)
        while left:
            halvings = halvings_of(data, left[0]) if reduced else 0
            scale = _reduction(image, data, left[0]) if name == "JPEG" else 2**halvings
            if scale not in at_scale:
                at_scale[scale] = _picture(data, max_pixels, min_side, left[0], value_range, limits, reduced)
            yield square_of(at_scale[scale], left.pop(0))
    except Heavy:

        def asked(less: bool) -> list[Pixels]:
            what = decoding_process.Asked(
                "squares", max_pixels, min_side, value_range, sizes=tuple(left), reduced=less
            )
            return decoding_process.ask(data, what, limits or _LIMITS)[1]

        yield from _within(limits, data, max(left), reduced, asked)
    except ImageLimitError:
        if reduced or limits is None or not halvings_of(data, max(left)):
            raise
        yield from squares(data, left, max_pixels, min_side, value_range, limits, reduced=True)


def decode_window(
    data: bytes,
    centre: Sequence[float],
    half: float,
    size: int,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    min_side: int = DEFAULT_MIN_SIDE,
    value_range: Range | None = None,
    limits: Limits | None = _LIMITS,
    reduced: bool = False,
) -> Pixels:
    """One window of a file's image (see `window_pixels`), decoded so large that it has the pixels asked for.

    Raises `ImageError` as `decode` does.
    """
    target = math.ceil(size / half)

    def windowed(less: bool) -> Pixels:
        try:
            picture = _picture(data, max_pixels, min_side, target, value_range, limits, less)
            return window_of(picture, centre, half, size)
        except Heavy:
            window = (float(centre[0]), float(centre[1]), float(half), size)
            asked = decoding_process.Asked(
                "window", max_pixels, min_side, value_range, window=window, reduced=less
            )
            return decoding_process.ask(data, asked, limits or _LIMITS)[1][0]

    return _within(limits, data, target, reduced, windowed)


def _depth(name: str, data: bytes, image: ImageFile.ImageFile) -> int:
    try:
        return depth(name, data, image)
    except PILLOW_ERRORS as error:
        raise ImageError(f"damaged {name} file: {shortened(error)}") from error


def halvings_of(data: bytes, target: int | None) -> int:
    """How often the sides of a file may be halved while it is decoded; 0: it comes whole, or is a JPEG."""
    of_tiff = tiff_reduction.halvings_of(data, target)
    return of_tiff or jpeg2000_reduction.halvings_of(data, target)


def _halve(image: ImageFile.ImageFile, data: bytes, target: int | None, reduced: bool) -> int:
    """How often the sides of an opened file will be halved when it is loaded."""
    halvings = halvings_of(data, target) if reduced else 0
    if isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
        image.reduce = halvings
    return halvings


def _draft(image: ImageFile.ImageFile, data: bytes, target: int) -> None:
    scale = _reduction(image, data, target)
    if scale > 1:
        width, height = image.size
        image.draft(None, (width // scale, height // scale))


def _reduction(image: ImageFile.ImageFile, data: bytes, target: int) -> int:
    """By what a JPEG's sides are divided while it is decoded, so that the longer one has `target` pixels."""
    if lossless(data):
        return 1
    width, height = image.size
    for scale in (8, 4, 2):
        if width % scale == 0 and height % scale == 0 and max(width, height) // scale >= target:
            return scale
    return 1


def lossless(data: bytes) -> bool:
    """Whether a JPEG keeps samples instead of frequencies: then it comes at its own scale or not at all."""
    process, _ = jpeg_frame(data)
    return process == LOSSLESS
