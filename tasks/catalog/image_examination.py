"""What an object of the source is: a sound image, or why not."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from congeal.settings import CatalogSettings, LimitsSettings
from infra.errors import UserError
from infra.storage import near_copies
from infra.storage.location import Location
from tasks.catalog.image_reading import content_id, copy_of
from tasks.catalog.listing_entries import ListingEntry
from tasks.execution.division import RAISE

BYTES_PER_PIXEL = 8  # the most that an uncompressed image needs: four channels of 16 bits
HEADER_ALLOWANCE = 16_777_216


class Finding(NamedTuple):
    """One row of the catalog, its columns in order, and the bits of a sample.

    unread: the object could not be read this time. limited: it takes more than may be taken to decode one.
    """

    image_id: str | None
    uri: str
    bytes: int
    etag: str | None
    width: int | None
    height: int | None
    format: str | None
    status: str
    error: str | None
    unread: bool
    depth: int = 8
    limited: bool = False


def refused(entry: ListingEntry, reason: str) -> Finding:
    """The row of an object that is not looked at."""
    return Finding(
        None, entry.path, entry.bytes, entry.etag, None, None, None, "failed", reason, unread=False
    )


def examine(
    source: Location,
    entry: ListingEntry,
    settings: CatalogSettings,
    limits: LimitsSettings = LimitsSettings(),  # noqa: B008 - frozen
) -> Finding:
    """One object: identity and size if it is a sound image, else the reason why not. Never raises for it."""
    from congeal.errors import ImageError, ImageLimitError, ReaderMissingError
    from congeal.imaging.decoding import inspect

    def failed(
        reason: str, *, image_id: str | None = None, etag: str | None = entry.etag, unread: bool = False
    ) -> Finding:
        return Finding(image_id, entry.path, entry.bytes, etag, None, None, None, "failed", reason, unread)

    if entry.fault is not None:
        return failed(entry.fault)
    limit = settings.max_pixels * BYTES_PER_PIXEL + HEADER_ALLOWANCE
    if entry.bytes > limit:
        return failed(
            f"{entry.bytes} bytes, more than an image of the allowed {settings.max_pixels} pixels needs"
        )
    if entry.bytes > limits.image_memory:
        reason = f"{entry.bytes:,} bytes, more than decoding may take (limits.image_memory): {RAISE}"
        return failed(reason)._replace(limited=True)
    try:
        data = (source / entry.path).read_bytes()
    except UserError as error:
        return failed(str(error), unread=True)
    image_id = content_id(data)
    near_copies.keep(copy_of(image_id), data, source.protocol)
    etag = entry.etag or hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        info = inspect(data, settings.max_pixels, settings.min_side, limits.image)
    except ImageError as error:
        # Where a package is missing here, another run may have it.
        missing = isinstance(error, ReaderMissingError)
        limited = isinstance(error, ImageLimitError)
        reason = f"{error.reason}: {RAISE}" if limited else error.reason
        return failed(reason, image_id=image_id, etag=etag, unread=missing)._replace(
            bytes=len(data), limited=limited
        )
    return Finding(
        image_id, entry.path, len(data), etag, info.width, info.height, info.format, "ok", None, unread=False,
        depth=info.depth,
    )  # fmt: skip
