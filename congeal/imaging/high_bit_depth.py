"""The samples of image files deeper than 8 bits, whole, with what the file says of their range.

Pillow has modes for deep greys, but keeps the high byte of deep colours. It reads a file by a raw mode, and
the raw mode of the other byte order gives the low byte: a second reading completes the first.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile, TiffImagePlugin

from congeal.imaging.float_tiff import WideTiff
from congeal.imaging.formats import jpeg2000_depth, png_depth, png_significant_bits
from congeal.imaging.intensity_scaling import Mask, Range, Samples, Values

DEEP_GREY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_GDAL_NODATA = 42113
_ASSOCIATED = 1  # an alpha channel that the colours are multiplied by
_MINIMUM, _MAXIMUM = (340, 280), (341, 281)  # SMinSampleValue before MinSampleValue, and so on
_IMAGEJ_LIMIT = re.compile(r"^(min|max)=([-+.0-9eE]{1,40})\s*$", re.MULTILINE)
_OME_BITS = re.compile(r'SignificantBits\s*=\s*"(\d{1,2})"')
_PIXEL = 4  # bytes of two samples

Tags = Callable[[int], Any]


def depth(name: str, data: bytes, image: ImageFile.ImageFile) -> int:
    """Bits a sample of an image that is opened but not yet loaded; 8 for all that Pillow reads whole."""
    if isinstance(image, WideTiff):
        return image.bits
    if name == "PNG":
        return max(png_depth(data), 8)
    if name == "JPEG2000":
        return max(jpeg2000_depth(data)[0], 8)
    if name == "TIFF":
        if image.mode in DEEP_GREY:
            return int(_first(_tags_of(image)(TiffImagePlugin.BITSPERSAMPLE), 16))
        return 16 if _swapped(image) is not None else 8
    return 16 if image.mode in DEEP_GREY else 8


@np.errstate(all="ignore")
def deep_samples(name: str, data: bytes, image: ImageFile.ImageFile, bits: int) -> Samples:
    """The samples of a loaded image of more than 8 bits.

    Raises what Pillow raises.
    """
    if name == "PNG":
        return _of_png(data, image)
    if name == "JPEG2000":
        return _of_jpeg2000(data, image)
    if name == "TIFF":
        return _of_tiff(data, image, bits)
    return Samples(np.asarray(image), bits)


def _of_png(data: bytes, image: ImageFile.ImageFile) -> Samples:
    alpha = None
    if image.mode in DEEP_GREY:
        values: Values = np.asarray(image)
    elif data[25] == 4:  # grey and alpha
        values = _grey_and_alpha(data, image)
        values, alpha = values[..., 0], _share(values[..., 1])
    else:
        values = _whole(data, image)
        values, alpha = values[..., :3], (_share(values[..., 3]) if values.shape[2] == 4 else None)
    clear = image.info.get("transparency")
    if alpha is None and clear is not None:
        same = values == np.asarray(clear)
        alpha = 1 - (same if same.ndim == 2 else same.all(axis=2)).astype(np.float32)
    told = max(png_significant_bits(data)[: 3 if values.ndim == 3 else 1], default=16)
    declared: tuple[Range, ...] = ()
    if 0 < told < 16:
        # The standard wants values shifted to the full 16 bits; many writers leave them where they were.
        declared = ((0.0, float(2**told - 1 if values.max() < 2**told else 65535)),)
    return Samples(values, 16, alpha=alpha, declared=declared)


def _of_jpeg2000(data: bytes, image: ImageFile.ImageFile) -> Samples:
    bits, signed = jpeg2000_depth(data)
    values: Values = np.asarray(image)
    alpha = None
    if image.mode in DEEP_GREY:
        values = values.astype(np.int32) >> max(16 - bits, 0)  # Pillow shifts them to 16 bits
    else:
        if image.mode in ("RGBA", "LA"):
            alpha = (values[..., -1] / np.float32(255)).astype(np.float32)
            values = values[..., :-1]
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[..., 0]
        # Its colours come as the high byte alone.
        values = values.astype(np.int32) << max(bits - 8, 0)
    if signed:
        values = values - 2 ** (bits - 1)
    low = -(2.0 ** (bits - 1)) if signed else 0.0
    full = (low, low + 2.0**bits - 1)
    stated = bits < 16 or image.mode not in DEEP_GREY
    return Samples(values, bits, alpha=alpha, declared=(full,) if stated else ())


def _of_tiff(data: bytes, image: ImageFile.ImageFile, bits: int) -> Samples:
    tags = _tags_of(image)
    alpha = None
    if isinstance(image, WideTiff):
        assert image.values is not None  # noqa: S101 - loaded
        values: Values = image.values
        kinds = image.alpha
        colours = image.colours
    else:
        kinds = tuple(_all(tags(TiffImagePlugin.EXTRASAMPLES)))
        if image.mode in DEEP_GREY:
            values, colours = np.asarray(image), 1
            if image.mode == "I" and _first(tags(TiffImagePlugin.SAMPLEFORMAT), 1) == 1:
                values = values.view(np.uint32)
        else:
            values, colours = _whole(data, image), 3
    if values.ndim == 3 and values.shape[2] > colours:
        if not kinds or kinds[-1] != 0:
            alpha = _share(values[..., colours])
        values = values[..., :colours] if colours > 1 else values[..., 0]
        if alpha is not None and kinds[-1:] == (_ASSOCIATED,):
            values = values / np.where(alpha > 0, alpha, 1)[(..., None) if values.ndim == 3 else ...]
    return Samples(
        values,
        bits,
        missing=_missing(values, tags(_GDAL_NODATA)),
        alpha=alpha,
        declared=_declared(tags, values, bits),
        inverted=tags(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0,
    )


def _declared(tags: Tags, values: Values, bits: int) -> tuple[Range, ...]:
    """Ranges that a TIFF file states, without those that are only what its sample type can hold."""
    whole: set[Range] = set()
    if values.dtype.kind == "u":
        whole = {(0.0, 2.0**bits - 1)}
    elif values.dtype.kind == "i":
        whole = {(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1), (0.0, 2.0**bits - 1)}
    stated: list[Range] = []
    for lowest, highest in zip(_MINIMUM, _MAXIMUM, strict=True):
        lows, highs = _numbers(tags(lowest)), _numbers(tags(highest))
        if highs:
            stated.append((min(lows, default=0.0), max(highs)))
    text = tags(TiffImagePlugin.IMAGEDESCRIPTION)
    text = text[:1_000_000] if isinstance(text, str) else ""
    if text.startswith("ImageJ="):
        limits = {key: _numbers(number) for key, number in _IMAGEJ_LIMIT.findall(text)}
        if limits.get("min") and limits.get("max"):
            stated.append((limits["min"][0], limits["max"][0]))
    if found := _OME_BITS.search(text):
        stated.append((0.0, 2.0 ** int(found[1]) - 1))
    if bits not in (8, 16, 32, 64):
        return (*(pair for pair in stated if pair not in whole), (0.0, 2.0**bits - 1))
    return tuple(pair for pair in stated if pair not in whole)


def _missing(values: Values, told: Any) -> Mask | None:
    """Where GDAL's tag says that nothing was measured, bool [h, w]."""
    numbers = _numbers(told)
    if not numbers or numbers[0] != numbers[0]:
        return None
    with np.errstate(over="ignore"):
        value = np.asarray(numbers[0]).astype(values.dtype) if values.dtype.kind == "f" else numbers[0]
    same = values == value
    return same if same.ndim == 2 else np.asarray(same.all(axis=2))


def _whole(data: bytes, image: ImageFile.ImageFile) -> npt.NDArray[np.uint16]:
    """uint16 [h, w, c] of a PNG or TIFF file with 16-bit colours."""
    halves = []
    for swap in (False, True):
        again = type(image)(io.BytesIO(data))
        modes = _swapped(again)
        assert modes is not None  # noqa: S101 - 16-bit colours have a byte order
        mode = modes[swap]
        again.tile = [
            tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)
            for tile in again.tile
        ]
        again.load()
        halves.append(np.asarray(again).astype(np.uint16))
    high, low = halves
    return np.asarray(high << 8 | low, np.uint16)


def _grey_and_alpha(data: bytes, image: ImageFile.ImageFile) -> npt.NDArray[np.uint16]:
    """uint16 [h, w, 2]: Pillow has room for four bytes a pixel, and these are two samples of two bytes."""
    again = type(image)(io.BytesIO(data))
    again.tile = [tile._replace(args="RGBA") for tile in again.tile]
    again.load()
    pixels = np.ascontiguousarray(np.asarray(again))
    return pixels.view(">u2").astype(np.uint16)


def _swapped(image: ImageFile.ImageFile) -> tuple[str, str] | None:
    """The raw modes that give the high and the low bytes of 16-bit colours; None for other images."""
    if not image.tile:
        return None
    args = image.tile[0].args
    mode = args[0] if isinstance(args, tuple) else args
    colours, _, order = str(mode).partition(";16")
    if colours not in ("RGB", "RGBA", "RGBa", "RGBX") or order not in _OTHER_ORDER:
        return None
    # As they are in the file, not divided by their alpha.
    colours = colours.replace("a", "A")
    return f"{colours};16{order}", f"{colours};16{_OTHER_ORDER[order]}"


def _share(samples: Values) -> npt.NDArray[np.float32]:
    top = np.iinfo(samples.dtype).max if samples.dtype.kind in "iu" else 1.0
    return np.nan_to_num(np.clip(samples.astype(np.float64) / top, 0, 1)).astype(np.float32)


def _tags_of(image: ImageFile.ImageFile) -> Tags:
    if isinstance(image, WideTiff):
        return image.tag
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    return tags.get


def _all(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, tuple | list) else (value,)


def _first(value: Any, default: Any) -> Any:
    return (_all(value) or (default,))[0]


def _numbers(value: Any) -> list[float]:
    """The numbers of a tag's value; none if it holds something else."""
    found = []
    for one in _all(value):
        try:
            found.append(float(one.strip("\0 \n") if isinstance(one, str) else one))
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            return []
    return found
