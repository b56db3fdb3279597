"""Pictures of clusters for a page that may not reach the destination: by address, or small in the text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from congeal.results.collection import Collection

PICTURES = ("average_before", "average_after", "aligned")
WIDTH = 256  # pixels: of a contact sheet; averages are smaller anyway
QUALITY = 75  # of the JPEGs: about 5 KB an average, 12 KB a contact sheet

Address = Callable[[str], str]


def linked(address: str, collection: Collection) -> Address:
    """Path or URL of a picture to its web address, where the destination is served."""
    place = collection.place.url.removeprefix("file://").rstrip("/")
    return lambda where: f"{address}/{quote(where.removeprefix(place).lstrip('/'))}"


def shown_within(pictures: Mapping[str, str], where: Address | None) -> list[tuple[str, str]]:
    """Name and address of a cluster's pictures, as a page shows them; as data where there is no address."""
    return [
        (name, where(pictures[name]) if where is not None else _as_data(pictures[name]))
        for name in PICTURES
        if name in pictures
    ]


def _as_data(place: str) -> str:
    from PIL import Image

    from infra.storage.location import Location

    with Image.open(io.BytesIO(Location.parse(place).read_bytes())) as image:
        small = image.convert("RGB")
    small.thumbnail((WIDTH, 4 * WIDTH))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
