"""TIFF files that Pillow does not read: half and double precision, float colours, separate planes.

By tifffile, as a Pillow image file like any other: the header is read when it is opened, the samples when it
is loaded.
"""

from __future__ import annotations

import io
import logging
import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from congeal.errors import ImageError
from congeal_floors.plurals import counted

# What tifffile decodes by itself, and what it decodes where imagecodecs is installed.
_PLAIN, _DEFLATE, _LZW = 1, (8, 32946), 5
_KINDS = {"u": "unsigned", "i": "signed", "f": "float"}
MOST_CHANNELS = 4


class WideTiff(ImageFile.ImageFile):
    """The first page of a TIFF file with samples of 16 to 64 bits; grey or colours, with or without alpha.

    Once loaded, `values` holds [h, w] or [h, w, c] in the file's own type; the Pillow image is a copy of it
    in "F", or black, which is all that Pillow has for such colours.
    """

    format = "TIFF"
    format_description = "TIFF by tifffile"
    values: npt.NDArray[Any] | None = None

    def _open(self) -> None:
        import tifffile

        try:
            file: Any = self.fp
            page: Any = tifffile.TiffFile(file).pages.first
            self.page = page
            self._size = (int(page.imagewidth), int(page.imagelength))
            dtype, channels = np.dtype(page.dtype), int(page.samplesperpixel)
        except (MemoryError, ImageError):
            raise
        except Exception as error:  # it raises whatever comes up in a damaged file
            raise SyntaxError(f"{type(error).__name__}: {error}") from error
        if dtype.kind not in _KINDS or dtype.itemsize < 2 or int(page.photometric) not in (0, 1, 2):
            raise SyntaxError("unknown pixel mode")
        colours = 3 if int(page.photometric) == 2 else 1
        self.alpha = tuple(int(extra) for extra in page.extrasamples)
        if not colours <= channels <= MOST_CHANNELS or channels - colours > 1 or page.imagedepth > 1:
            raise ImageError(
                f"{counted(channels, 'channel')} of {8 * dtype.itemsize} bits, which is no picture: "
                "save one of them, or three as RGB"
            )
        self.bits = int(page.bitspersample)
        self.colours = colours
        self._mode = "F" if colours == 1 else "RGB"
        if (orientation := self.tag(ExifTags.Base.Orientation)) is not None:
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            self.info["exif"] = exif.tobytes()

    def tag(self, code: int) -> Any:
        """The value of a tag, None where there is none."""
        found = self.page.tags.get(code)
        return None if found is None else found.value

    def load(self) -> Any:
        """Read the samples."""
        if self.values is None:
            self._check_segments()
            try:
                values = self.page.asarray(maxworkers=1)
            except MemoryError:
                raise
            except Exception as error:
                raise OSError(f"{type(error).__name__}: {error}") from error
            if values.ndim == 3 and self.page.axes.startswith("S"):
                values = np.moveaxis(values, 0, -1)
            if values.ndim == 3 and values.shape[2] == 1:
                values = values[..., 0]
            if values.shape[:2] != self._size[::-1]:
                raise OSError(f"its samples are {values.shape}, not what its header says")
            self.values = values
            grey = values if values.ndim == 2 else values[..., 0]
            with np.errstate(all="ignore"):
                picture = Image.fromarray(grey.astype(np.float32))
            self.im = picture.im if self._mode == "F" else Image.new("RGB", self._size).im
        return Image.Image.load(self)

    def _check_segments(self) -> None:
        """Strips and tiles lie in the file, and hold no more than their share of the image."""
        page = self.page
        compression, predictor = int(page.compression), int(page.predictor)
        if compression == _LZW or (predictor == 3 and compression != _PLAIN):
            if not _imagecodecs():
                raise OSError("its compression needs the Python package imagecodecs")
        elif compression not in (_PLAIN, *_DEFLATE):
            raise OSError(f"compression {compression} of {self.bits}-bit samples is not read")
        assert self.fp is not None  # noqa: S101 - open
        data: bytes = self.fp.getbuffer() if isinstance(self.fp, io.BytesIO) else b""  # type: ignore[assignment]
        most = math.prod(page.chunks) * np.dtype(page.dtype).itemsize
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if offset + count > len(data):
                raise OSError("image file is truncated")
            if compression in _DEFLATE:
                decoder = zlib.decompressobj()
                if len(decoder.decompress(data[offset : offset + count], most + 1)) > most:
                    raise OSError("a strip holds more than its share of the image")


def _imagecodecs() -> bool:
    from importlib.util import find_spec

    return find_spec("imagecodecs") is not None


def open_wide(data: bytes) -> WideTiff | None:
    """The file opened by tifffile; None if it is not one of 16 bits and more.

    Raises ImageError if it has too many channels, or if tifffile is not there.
    """
    try:
        import tifffile  # noqa: F401 - is it there?
    except ImportError:
        raise ImageError("TIFF samples of this kind need the Python package tifffile") from None
    log = logging.getLogger("tifffile")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)  # what is wrong with a file comes out as an ImageError
    try:
        return WideTiff(io.BytesIO(data))
    except ImageError:
        raise
    except (SyntaxError, OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError):
        return None
