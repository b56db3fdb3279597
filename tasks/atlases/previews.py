"""Pictures of a cluster: average before and after, the atlas in colours, members as they are and aligned."""

from __future__ import annotations

import io
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.results.schema.atlas_arrays import FORWARD
from congeal.results.schema.feature_arrays import PREVIEW
from congeal.settings import Settings
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.atlases.cluster_members import Member
from tasks.atlases.stored_atlas import Stored
from tasks.catalog.image_reading import Unreadable, read_square
from tasks.features.shard_reading import opened_shard

Pixels = npt.NDArray[np.uint8]
# Of zlib. At its usual level the two sheets of 24 photographs take 0.31 s of a processor; at this one 0.12 s,
# and 2 % more bytes. What filtered rows repeat are single bytes: to look for these alone takes 0.02 s less
# and as many bytes.
LEVEL = 1


@dataclass(frozen=True)
class Pictures:
    """PNG files by path, and the images that could not be read again."""

    files: Mapping[str, bytes]
    not_shown: dict[str, str]


class Shown(NamedTuple):
    """An image of the pictures. uri: None if the catalog has it no more."""

    member: Member
    uri: str | None


def draw(
    source: Location, destination: Location, shown: Sequence[Shown], stored: Stored, settings: Settings
) -> Pictures:
    """The previews of one cluster, from at most `previews.members` of its images.

    An image that cannot be read any more is left out of the pictures, and the atlas is there all the same.
    """
    from congeal.geometry.frames import Frame
    from congeal.imaging.visualization import average_and_members, contact_sheet, feature_colours

    position = {member.image_id: index for index, member in enumerate(stored.members)}
    squares: list[Pixels] = []
    rows: list[int] = []
    names: list[str] = []
    not_shown: dict[str, str] = {}
    kept = kept_squares(destination, shown, settings)
    for at, ((image_id, *_), uri) in enumerate(shown):
        image = kept[at] if at in kept else square_of(source, shown[at], settings)
        if isinstance(image, Unreadable):
            not_shown[image_id] = image.reason
        else:
            squares.append(image)
            rows.append(position[image_id])
            names.append(uri or image_id)
    files = {
        "previews/atlas_features.png": png(feature_colours(stored.atlas.features, stored.atlas.saliency))
    }
    if not squares:
        return Pictures(files, not_shown)
    images = np.stack(squares)
    maps = stored.images[FORWARD]
    frames = [Frame(stored.members[row].width, stored.members[row].height) for row in rows]
    forward = np.stack([frame.to_frame(maps[row]) for frame, row in zip(frames, rows, strict=True)])
    fits = stored.good[rows]
    weights = (fits if fits.any() else np.ones_like(fits)).astype(np.float32)
    average, aligned = average_and_members(images, forward, weights)
    columns = columns_for(len(squares))
    files |= {
        "previews/average_before.png": png(images.mean(axis=0).round().astype(np.uint8)),
        "previews/average_after.png": png(average),
        "previews/members.png": png(contact_sheet(squares, columns, names)),
        "previews/aligned.png": png(contact_sheet(aligned, columns, names)),
    }
    return Pictures(files, not_shown)


def kept_squares(destination: Location, shown: Sequence[Shown], settings: Settings) -> dict[int, Pixels]:
    """By position, the squares that were kept when the images were read for their features.

    There is none of an image that the source has no more, of one whose features were made before squares
    were kept, or where the pictures had another size then.
    """
    by_shard: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, (member, uri) in enumerate(shown):
        if uri is not None and member.content is not None and member.preview == settings.previews.size:
            by_shard[member.features_unit, member.content].append(at)

    def read(item: tuple[tuple[str, str], list[int]]) -> Iterator[tuple[int, Pixels]]:
        (name, content), positions = item
        kept = opened_shard(destination, name, content).rows[PREVIEW.path]
        squares = kept.read([shown[at].member.features_row for at in positions])
        return zip(positions, squares, strict=True)

    found = in_threads(read, sorted(by_shard.items()))
    # Zeros are what stands where no square could be made.
    return {at: square for part in found for at, square in part if square.any()}


def square_of(source: Location, image: Shown, settings: Settings) -> Pixels | Unreadable:
    """An image as the previews show it, from the original, or why they cannot."""
    return read_square(source, (image.member.image_id, image.uri), settings.previews.size, settings)


def columns_for(count: int) -> int:
    """Columns of a contact sheet: a little wider than high."""
    return max(1, int(np.ceil(np.sqrt(count * 1.5))))


def png(pixels: npt.NDArray[Any]) -> bytes:
    """uint8 [h, w, 3] as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=LEVEL, compress_type=zlib.Z_RLE)
    return buffer.getvalue()
