"""Opening and loading untrusted image files with Pillow; every fault comes out as an `ImageError`.

Only the formats named here are ever opened, by their own magic numbers; the size is taken from the header and
checked before a pixel is decoded.
"""

from __future__ import annotations

import io
import math
import re
import struct
import threading
import warnings
import zlib

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from congeal.errors import ImageError, ImageLimitError, ReaderMissingError
from congeal.imaging.float_tiff import open_wide
from congeal.imaging.formats import HEIF, HEIF_EXTRA, format_of, jpeg_frame, unread_format, webp_canvas
from congeal.imaging.high_bit_depth import DEEP_GREY

# The plugin classes are called directly: Image.open(formats=...) checks the size against a variable of its
# module, and refused a PNG of 20000 x 20000 pixels that `max_pixels` allows.
_OPENERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
_READABLE = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", *DEEP_GREY)
# What Pillow's parsers let through when the bytes are hostile.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_CUT_SHORT = (EOFError, IndexError, struct.error)
_SEPARATE = 2  # planar configuration
_NATIVE = {
    "I;16BS": "I;16NS",
    "I;32BS": "I;32NS",
    "F;32BF": "F;32NF",
    "I;16S": "I;16NS",
    "I;32S": "I;32NS",
    "F;32F": "F;32NF",
}
_gif_lock = threading.Lock()
_BAND = 1024  # rows


def open_image(data: bytes, max_pixels: int, min_side: int) -> tuple[str, ImageFile.ImageFile]:
    """Read the header only, and refuse what must not be decoded."""
    if not data:
        raise ImageError("empty file")
    name = format_of(data)
    if name is None:
        known = unread_format(data)
        raise ImageError(f"a {known} file, which is not read" if known else "not an image")
    if name == "JPEG" and (bits := jpeg_frame(data)[1]) > 8:
        raise ImageError(
            f"a JPEG of {bits} bits a sample, which is not read: save it as TIFF or PNG of 16 bits"
        )
    if name == "WEBP" and (canvas := webp_canvas(data)) is not None:
        # Pillow's WebP reader allocates the canvas when it opens a file.
        _check_size(*canvas, max_pixels, min_side)
    _hush(UserWarning)
    try:
        image = _open(name, data)
    except ImageError:
        raise  # a reason of our own
    except Image.DecompressionBombError as error:
        raise ImageError(f"its first frame has more pixels than the {_most(max_pixels)} allowed") from error
    except PILLOW_ERRORS as error:
        raise ImageError(_header_fault(name, error)) from error
    _check_size(*image.size, max_pixels, min_side)
    if image.width * image.height > _pillow_limit():
        # Within our limit, above the size that Pillow warns of when it makes room for a TIFF.
        _hush(Image.DecompressionBombWarning)
    if image.mode not in _READABLE:
        raise ImageError(f"unreadable colour mode {image.mode}")
    return name, image


def _check_size(width: int, height: int, max_pixels: int, min_side: int) -> None:
    if width * height > max_pixels:
        pixels = width * height
        raise ImageError(f"{width} x {height} = {pixels} pixels, more than the {max_pixels} allowed")
    if min(width, height) < max(min_side, 1):
        raise ImageError(f"{width} x {height} pixels, smaller than {max(min_side, 1)}")


def _pillow_limit() -> float:
    """Pixels above which Pillow warns; at twice as many it refuses."""
    return math.inf if Image.MAX_IMAGE_PIXELS is None else Image.MAX_IMAGE_PIXELS


def _most(max_pixels: float = math.inf) -> float:
    return min(max_pixels, 2 * _pillow_limit())


def _open(name: str, data: bytes) -> ImageFile.ImageFile:
    if name == "GIF":
        return _open_gif(data)
    if name == "TIFF":
        return _open_tiff(data)
    if name == HEIF:
        return heif_opener()(io.BytesIO(data))
    return _OPENERS[name](io.BytesIO(data))


def heif_opener() -> type[ImageFile.ImageFile]:
    """What opens HEIC and HEIF photographs. Raises ReaderMissingError where the extra is not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ReaderMissingError(HEIF_EXTRA) from None
    opener: type[ImageFile.ImageFile] = HeifImageFile
    return opener


def _open_tiff(data: bytes) -> ImageFile.ImageFile:
    try:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    except SyntaxError:
        wide = open_wide(data)
        if wide is None:
            raise
        return wide
    # libtiff hands over numbers in the machine's order; Pillow takes these for the file's.
    image.tile = [
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]
    if image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == _SEPARATE and _deep_planes(image):
        # Pillow takes separate planes of 16 bits for planes of 8 if they are not compressed, without a word.
        wide = open_wide(data)
        if wide is None:
            raise ImageError("separate planes of deep samples cannot be read: save it with interleaved ones")
        return wide
    return image


def _deep_planes(image: TiffImagePlugin.TiffImageFile) -> bool:
    bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    return image.mode not in DEEP_GREY and max(bits, default=1) > 8


def _open_gif(data: bytes) -> ImageFile.ImageFile:
    # A first frame that reaches beyond the file's own canvas enlarges it while the header is read, and Pillow
    # may warn of that size. catch_warnings is not safe in threads, hence the lock.
    with _gif_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return GifImagePlugin.GifImageFile(io.BytesIO(data))


def _hush(category: type[Warning]) -> None:
    """Silence what Pillow warns of: what matters comes out as an `ImageError`.

    A standing filter, and none but Pillow's own modules under it: entering and leaving catch_warnings in
    reader threads would lose other threads' filters.
    """
    entry = ("ignore", None, category, re.compile(r"PIL\."), 0)
    if entry not in warnings.filters[:2]:
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


def load(name: str, image: ImageFile.ImageFile) -> None:
    """Decode the pixels of an opened image of format `name`, or raise `ImageError`."""
    try:
        image.load()
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{image.width} x {image.height} pixels, more than the {_most()} that can be read"
        ) from error
    except MemoryError as error:
        raise ImageLimitError("there is not enough memory to decode it") from error
    except PILLOW_ERRORS as error:
        if isinstance(error, _CUT_SHORT) or _says_cut_short(str(error)):
            raise ImageError(f"truncated: {shortened(error)}") from error
        raise ImageError(f"damaged {name} file: {shortened(error)}") from error


def _header_fault(name: str, error: BaseException) -> str:
    text = shortened(error)
    if "mode" in text or "pixel depth" in text:
        return f"unreadable colour mode: {text}"
    # Pillow wraps what its parsers run into when the bytes end in a SyntaxError.
    ended = isinstance(error, _CUT_SHORT) or isinstance(error.__cause__, _CUT_SHORT)
    if ended or _says_cut_short(text) or "not identified by this driver" in text:
        return f"truncated: the {name} header is not complete"
    return f"damaged {name} file: {text}"


def _says_cut_short(text: str) -> bool:
    return any(words in text.lower() for words in ("truncated", "unexpected end of file"))


def shortened(error: BaseException) -> str:
    """What an error says, on one line of at most 160 characters."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, KeyError):
        text = f"{type(error).__name__} {text}".strip()
    return text if len(text) <= 160 else text[:157] + "..."


def orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation 1-8 of a loaded image (Pillow itself turns a TIFF when it is loaded)."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        # Pixels are not lost to a damaged metadata block.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def rgb_of(image: ImageFile.ImageFile) -> Image.Image:
    """A loaded image in Pillow's mode RGB, transparency laid over white."""
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
