"""Images out of the source, squared, read ahead of whoever works on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.errors import ImageError, ImageLimitError, ReaderMissingError
from congeal.settings import Settings
from infra.errors import UserError
from infra.storage import near_copies
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution.division import RAISE

LOCAL_READERS = 2
REMOTE_READERS = 16

Pixels = npt.NDArray[np.uint8]
Named = tuple[str, str | None]  # image id, uri (None: no longer in the source)


class Unreadable(NamedTuple):
    """Why an image has no features. unread: it could not be read this time; another time may do.

    limited: it takes more memory or time to decode than it may.
    """

    reason: str
    unread: bool
    limited: bool = False

    @classmethod
    def of(cls, error: ImageError) -> Unreadable:
        """From what decoding says."""
        if isinstance(error, ImageLimitError):
            return cls(f"{error.reason}: {RAISE}", unread=False, limited=True)
        return cls(error.reason, unread=isinstance(error, ReaderMissingError))


class Squares(NamedTuple):
    """An image as uint8 [size, size, 3], for the backbone and, where it was asked for, for the pictures."""

    pixels: Pixels
    preview: Pixels | None


def decoded(
    source: Location,
    members: Sequence[Named],
    size: int,
    preview: int | None,
    settings: Settings,
    failed: dict[str, Unreadable],
) -> Iterator[tuple[int, Squares]]:
    """Position and squares of every readable member, in order, read ahead by a bounded number."""
    readers = readers_of(source)
    ahead = 2 * settings.features.batch_size + readers + 1
    images = in_threads(
        lambda member: read_squares(source, member, size, preview, settings),
        members,
        ahead=ahead,
        threads=readers,
    )
    for position, image in enumerate(images):
        if isinstance(image, Unreadable):
            failed[members[position][0]] = image
        else:
            yield position, image


def read_square(source: Location, member: Named, size: int, settings: Settings) -> Pixels | Unreadable:
    """One image as uint8 [size, size, 3], or why there is none; never raises for the image's sake."""
    found = read_squares(source, member, size, None, settings)
    return found if isinstance(found, Unreadable) else found.pixels


def read_squares(
    source: Location, member: Named, size: int, preview: int | None, settings: Settings
) -> Squares | Unreadable:
    """One image at both sizes, from one reading of its bytes; preview None: at the first alone.

    An image that can be squared at the first size alone has no preview.
    """
    from congeal.imaging.decoding import squares

    data = read_same(source, member)
    if isinstance(data, Unreadable):
        return data
    limits = settings.catalog
    sizes = [size] if preview is None else [size, preview]
    made = squares(data, sizes, limits.max_pixels, limits.min_side, limits.range, settings.limits.image)
    try:
        pixels = next(made)
    except ImageError as error:
        return Unreadable.of(error)
    try:
        return Squares(pixels, next(made, None))
    except ImageError:
        return Squares(pixels, None)


def read_window(
    source: Location, member: Named, centre: Sequence[float], half: float, size: int, settings: Settings
) -> Pixels | Unreadable:
    """A window of an image as uint8 [size, size, 3], or why there is none; never raises for the image's sake.

    centre, half: of the window, in frame units, see `congeal.imaging.decoding.window_pixels`.
    """
    from congeal.imaging.decoding import decode_window

    data = read_same(source, member)
    if isinstance(data, Unreadable):
        return data
    limits = settings.catalog
    try:
        return decode_window(
            data, centre, half, size,
            limits.max_pixels, limits.min_side, limits.range, settings.limits.image,
        )  # fmt: skip
    except ImageError as error:
        return Unreadable.of(error)


def content_id(data: bytes) -> str:
    """The id of an image: what its file's bytes are, 32 hex."""
    return hashlib.sha256(data).hexdigest()[:32]


def read_same(source: Location, member: Named) -> bytes | Unreadable:
    """The bytes of an image as it was catalogued, or why they are not to be had; what has changed is not."""
    image_id, uri = member
    if uri is None:
        return Unreadable("no longer in the source", unread=True)
    near = near_copies.read(copy_of(image_id))
    if near is not None and content_id(near) == image_id:
        return near
    try:
        data = (source / uri).read_bytes()
    except UserError as error:
        return Unreadable(str(error), unread=True)
    if content_id(data) != image_id:
        return Unreadable("changed since it was catalogued", unread=True)
    return data


def copy_of(image_id: str) -> str:
    """What a near copy of an original is called."""
    return f"original-{image_id}"


def readers_of(source: Location) -> int:
    """How many threads read a source: decoding is what takes time here, waiting for the store elsewhere."""
    return LOCAL_READERS if source.local_path() is not None else REMOTE_READERS
