"""Reading images (bytes in, 8-bit RGB out, or an `ImageError` fit for a table) and framing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, Jpeg2KImagePlugin

from congeal.errors import CongealError, ImageError, ImageLimitError
from congeal.geometry.frames import Frame
from congeal.imaging import decoding_process
from congeal.imaging.decoding_cost import Heavy, Limits, check_canvas, check_cost, cost, room, too_much_memory
from congeal.imaging.high_bit_depth import deep_samples, depth
from congeal.imaging.intensity_scaling import Range, eight_bits
from congeal.imaging.jpeg2000_reduction import halvings_of, in_place, may_not_fit
from congeal.imaging.pillow_io import PILLOW_ERRORS, load, open_image, orientation, shortened

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")

DEFAULT_MAX_PIXELS = 178_956_970
DEFAULT_MIN_SIDE = 8
_LIMITS = Limits()
_BAND = 1024  # rows

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
        if halvings_of(data, target) and (hidden or isinstance(error, ImageLimitError)):
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
        if name == "JPEG":
            # One eighth of the scale skips most of the arithmetic, yet every byte is still entropy-decoded.
            image.draft(None, (1, 1))
        halvings = _halve(image, data, 1, reduced)
        with _room(name, data, image, width, bits, limits, halvings):
            load(name, image)
    except Heavy:
        asked = decoding_process.Asked("inspect", max_pixels, min_side, reduced=reduced)
        facts, _ = decoding_process.ask(data, asked, limits or _LIMITS)
        return ImageInfo(*facts["info"])
    if orientation(image) >= 5:
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
        _draft(image, target)
    halvings = _halve(image, data, target, reduced)
    with _room(name, data, image, width, bits, limits, halvings):
        load(name, image)
        transposition = _TRANSPOSITIONS.get(orientation(image))
        try:
            if bits > 8:
                # The samples come out of the file a second time, loaded as this image was.
                greys = eight_bits(deep_samples(name, data, image, bits), value_range)
                rgb = Image.fromarray(greys).convert("RGB")
            else:
                rgb = _rgb(image)
            rgb = in_place(rgb, halvings)
            return rgb if transposition is None else rgb.transpose(transposition)
        except MemoryError as error:
            raise ImageLimitError("there is not enough memory to decode it") from error
        except PILLOW_ERRORS as error:
            raise ImageError(f"unreadable colour mode {image.mode}: {shortened(error)}") from error


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


def square(image: Pixels, size: int) -> Pixels:
    """The image's square frame at `size` x `size` pixels, uint8 [size, size, 3], edges repeated outwards.

    Pixel (column c, row r) shows the frame around `cell_centres(size)[r, c]` of `Frame(w, h)`, antialiased.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise CongealError(f"square needs uint8 pixels [h, w, 3], not {image.dtype} {list(image.shape)}")
    if size < 1:
        raise CongealError(f"a square of {size} pixels a side cannot be made")
    return square_of(Image.fromarray(image), size)


def square_of(image: Image.Image, size: int) -> Pixels:
    """The same of an image in Pillow's mode RGB."""
    width, height = image.size
    frame = Frame(width, height)
    left, right, x0, x1 = _span(frame.pad[0], width, frame.side, size)
    top, bottom, y0, y1 = _span(frame.pad[1], height, frame.side, size)
    # Cells that lie only partly on the image are left to the padding: what remains is an exact sub-pixel
    # box, so that the frame's coordinates hold whatever the aspect ratio.
    picture = image.resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1), reducing_gap=3.0
    )
    return np.pad(np.asarray(picture), ((top, size - bottom), (left, size - right), (0, 0)), mode="edge")


def window_pixels(image: Pixels, centre: npt.ArrayLike, half: float, size: int) -> Pixels:
    """One window of an image at `size` x `size` pixels, uint8 [size, size, 3], edges repeated outwards.

    Pixel (column c, row r) shows the image around `cell_centres(size)[r, c]` of the window, antialiased,
    whatever the scale at which the image was decoded.

    Args:
        image: uint8 [h, w, 3].
        centre: [2], of the window, frame units.
        half: half the window's side, frame units.
        size: pixels a side.
    """
    return _window_of(Image.fromarray(image), centre, half, size)


def _window_of(image: Image.Image, centre: npt.ArrayLike, half: float, size: int) -> Pixels:
    width, height = image.size
    frame = Frame(width, height)
    side = half * frame.side
    # The window's top-left corner from that of the image, in pixels.
    x, y = (np.asarray(centre, np.float64) + 1 - half) * frame.side / 2 - frame.pad
    left, right, x0, x1 = _window_span(float(x), width, side, size)
    top, bottom, y0, y1 = _window_span(float(y), height, side, size)
    picture = image.resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1), reducing_gap=3.0
    )
    return np.pad(np.asarray(picture), ((top, size - bottom), (left, size - right), (0, 0)), mode="edge")


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
            scale = _reduction(image, left[0]) if name == "JPEG" else 1
            scale = 2 ** halvings_of(data, left[0]) if reduced else scale
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
            return _window_of(picture, centre, half, size)
        except Heavy:
            window = (float(centre[0]), float(centre[1]), float(half), size)
            asked = decoding_process.Asked(
                "window", max_pixels, min_side, value_range, window=window, reduced=less
            )
            return decoding_process.ask(data, asked, limits or _LIMITS)[1][0]

    return _within(limits, data, target, reduced, windowed)


def _span(pad: float, length: int, side: int, size: int) -> tuple[int, int, float, float]:
    """The cells [first, last) wholly on the image along one axis, and the stretch of the image they show."""
    unit = side / size
    first = math.ceil(pad / unit - 1e-9)
    if size - first <= first:
        first = (size - 1) // 2
        return first, size - first, 0.0, float(length)
    begin = first * unit - pad
    return first, size - first, max(begin, 0.0), min(length - begin, float(length))


def _window_span(start: float, length: int, side: float, size: int) -> tuple[int, int, float, float]:
    """The cells [first, last) of a window that lie wholly on the image along one axis, and what they show."""
    unit = side / size
    first = min(max(math.ceil(-start / unit - 1e-9), 0), size - 1)
    last = max(min(math.floor((length - start) / unit + 1e-9), size), first + 1)
    begin, end = start + first * unit, start + last * unit
    # A window that shows less than a cell of the image shows the image's edge.
    begin = min(max(begin, 0.0), length - min(unit, length))
    return first, last, begin, max(min(end, float(length)), begin + min(unit, length) / 2)


def _depth(name: str, data: bytes, image: ImageFile.ImageFile) -> int:
    try:
        return depth(name, data, image)
    except PILLOW_ERRORS as error:
        raise ImageError(f"damaged {name} file: {shortened(error)}") from error


def _halve(image: ImageFile.ImageFile, data: bytes, target: int | None, reduced: bool) -> int:
    """How often the sides of an opened JPEG 2000 will be halved when it is loaded."""
    if not reduced or not isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
        return 0
    image.reduce = halvings = halvings_of(data, target)
    return halvings


def _draft(image: ImageFile.ImageFile, target: int) -> None:
    scale = _reduction(image, target)
    if scale > 1:
        width, height = image.size
        image.draft(None, (width // scale, height // scale))


def _reduction(image: ImageFile.ImageFile, target: int) -> int:
    """By what a JPEG's sides are divided while it is decoded, so that the longer one has `target` pixels."""
    width, height = image.size
    for scale in (8, 4, 2):
        if width % scale == 0 and height % scale == 0 and max(width, height) // scale >= target:
            return scale
    return 1


def _rgb(image: ImageFile.ImageFile) -> Image.Image:
    if image.has_transparency_data:
        picture: Image.Image = image.convert("LA") if image.mode == "La" else image
        width, height = image.size
        whole = Image.new("RGB", image.size)
        # In bands: four copies of a large image would be alive at once.
        for top in range(0, height, _BAND):
            band = picture.crop((0, top, width, min(top + _BAND, height))).convert("RGBA")
            paper = Image.new("RGBA", band.size, "white")
            paper.alpha_composite(band)
            whole.paste(paper.convert("RGB"), (0, top))
        return whole
    return image if image.mode == "RGB" else image.convert("RGB")
