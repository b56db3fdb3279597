"""Images as a Python user has them (paths, bytes, Pillow images, arrays), read as a run reads its files."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from congeal.errors import CongealError, ImageError
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import DEFAULT_MIN_SIDE, Pixels, decode, inspect, square
from congeal.imaging.formats import MAGIC_BYTES, format_of
from congeal.imaging.intensity_scaling import Range

ImageInput = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]

_AS_PNG = {"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"}  # the modes that PNG files keep as they are


@dataclass(frozen=True)
class SquaredImage:
    """An image as a backbone takes it.

    Attributes:
        square: uint8 [s, s, 3], the square frame of the image, see `congeal.imaging.decoding.square`.
        frame: of the image at its full size, after EXIF orientation.
        content: SHA-256 of the file's bytes; of an array or a Pillow image, of its pixels.
    """

    square: Pixels
    frame: Frame
    content: str


def listed(images: Any) -> tuple[list[str], list[Any]]:
    """Names and images of what a user gives as a set.

    images: a sequence of images; or a mapping of names to images; or the path of a folder, which stands for
    the image files directly in it, by name. Paths are called by their file names, or as they were given where
    two file names are the same; everything else is called "image 0", "image 1", … by its position.
    Raises `CongealError` for anything else, and for nothing.
    """
    if isinstance(images, (str, os.PathLike)):
        images = _files_of(Path(images))
    if isinstance(images, Mapping):
        names, given = [str(name) for name in images], list(images.values())
    else:
        if isinstance(images, (bytes, Image.Image)) or not isinstance(images, (Sequence, np.ndarray)):
            raise CongealError(
                "images are a list of paths, bytes, Pillow images or arrays, a dictionary of names to them, "
                f"or the path of a folder, not {_kind(images)}"
            )
        given = list(images)
        names = _names(given)
    if not given:
        raise CongealError("there are no images: give one at least")
    return names, given


def read_image(image: Any) -> Pixels:
    """The pixels of an image at its full size, uint8 [h, w, 3], upright. Raises `ImageError`."""
    if isinstance(image, np.ndarray):
        return _of_array(image)
    return decode(_bytes_of(image))


def read_square(image: Any, size: int, value_range: Range | None = None) -> SquaredImage:
    """An image at `size` x `size` pixels, decoded and squared as the stages of a run do it.

    value_range: low and high value of images with more than 8 bits a sample, see
    `congeal.imaging.decoding.decode`. Raises `ImageError`, whose reason is that of a run's table of images.
    """
    if isinstance(image, np.ndarray):
        pixels = _of_array(image)
        height, width = pixels.shape[:2]
        content = hashlib.sha256(f"{height} {width} ".encode() + pixels.tobytes()).hexdigest()
        return SquaredImage(square(pixels, size), Frame(width, height), content)
    data = _bytes_of(image)
    about = inspect(data)
    pixels = decode(data, target=size, value_range=value_range)
    return SquaredImage(
        square(pixels, size), Frame(about.width, about.height), hashlib.sha256(data).hexdigest()
    )


def _of_array(image: npt.NDArray[Any]) -> Pixels:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ImageError(f"an array is uint8 [h, w, 3] or [h, w], not {image.dtype} {list(image.shape)}")
    if min(image.shape[:2]) < DEFAULT_MIN_SIDE:
        raise ImageError(f"{min(image.shape[:2])} pixels, smaller than {DEFAULT_MIN_SIDE}")
    colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(colours)


def _bytes_of(image: Any) -> bytes:
    """A file's bytes."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, os.PathLike)):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from error
    if isinstance(image, Image.Image):
        # By way of a file, so that transparency and deep samples are treated as everywhere.
        buffer = io.BytesIO()
        try:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":
                upright.save(buffer, "TIFF")
            else:
                plain = upright if upright.mode in _AS_PNG else upright.convert("RGB")
                plain.save(buffer, "PNG", compress_level=1)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot be read: {error}") from error
        return buffer.getvalue()
    raise ImageError(f"{_kind(image)} is no image: give a path, bytes, a Pillow image or an array")


def _files_of(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; what is one is told by the files' first bytes."""
    if not folder.is_dir():
        what = "is one file: give a list of images" if folder.exists() else "is not there"
        raise CongealError(f"the folder {str(folder)!r} {what}")
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                if format_of(file.read(MAGIC_BYTES)) is not None:
                    found.append(path)
    if not found:
        raise CongealError(f"there is no image file in the folder {str(folder)!r}")
    return found


def _names(images: Sequence[Any]) -> list[str]:
    paths = [os.fspath(image) if isinstance(image, (str, os.PathLike)) else None for image in images]
    short = [None if path is None else Path(path).name for path in paths]
    told = short if len({*filter(None, short)}) == sum(name is not None for name in short) else paths
    names = [f"image {number}" if name is None else name for number, name in enumerate(told)]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise CongealError(f"two images are called {name!r}: give a dictionary of names to images")
    return names


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
