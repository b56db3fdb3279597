"""Pictures of a cluster: average before and after, the atlas in colours, members as they are and aligned."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.results.schema.atlas_arrays import FORWARD
from congeal.settings import Settings
from infra.storage.location import Location
from tasks.atlases.stored_atlas import Stored
from tasks.catalog.image_reading import Named, Unreadable, read_square

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """PNG files by path, the average image after alignment, and the images that could not be read again."""

    files: Mapping[str, bytes]
    average: Pixels | None
    not_shown: dict[str, str]


def draw(
    source: Location,
    shown: Sequence[tuple[str, str | None]],
    stored: Stored,
    settings: Settings,
) -> Pictures:
    """The previews of one cluster, from at most `previews.members` of its images, read again at a small size.

    An image that cannot be read any more is left out of the pictures, and the atlas is there all the same.
    """
    from congeal.geometry.frames import Frame
    from congeal.imaging.visualization import average_image, contact_sheet, feature_colours, warped

    position = {member.image_id: index for index, member in enumerate(stored.members)}
    squares: list[Pixels] = []
    rows: list[int] = []
    names: list[str] = []
    not_shown: dict[str, str] = {}
    for image_id, uri in shown:
        image = square_of(source, (image_id, uri), settings)
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
        return Pictures(files, None, not_shown)
    images = np.stack(squares)
    maps = stored.images[FORWARD]
    frames = [Frame(stored.members[row].width, stored.members[row].height) for row in rows]
    forward = np.stack([frame.to_frame(maps[row]) for frame, row in zip(frames, rows, strict=True)])
    fits = stored.good[rows]
    weights = (fits if fits.any() else np.ones_like(fits)).astype(np.float32)
    average = average_image(images, forward, weights)
    columns = columns_for(len(squares))
    files |= {
        "previews/average_before.png": png(images.mean(axis=0).round().astype(np.uint8)),
        "previews/average_after.png": png(average),
        "previews/members.png": png(contact_sheet(squares, columns, names)),
        "previews/aligned.png": png(
            contact_sheet(
                [warped(image, field) for image, field in zip(squares, forward, strict=True)], columns, names
            )
        ),
    }
    return Pictures(files, average, not_shown)


def square_of(source: Location, image: Named, settings: Settings) -> Pixels | Unreadable:
    """An image as the previews show it, or why they cannot."""
    return read_square(source, image, settings.previews.size, settings)


def columns_for(count: int) -> int:
    """Columns of a contact sheet: a little wider than high."""
    return max(1, int(np.ceil(np.sqrt(count * 1.5))))


def png(pixels: npt.NDArray[Any]) -> bytes:
    """uint8 [h, w, 3] as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
