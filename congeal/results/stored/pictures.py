"""The pictures that lie beside an atlas."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from infra.errors import MissingError, UserError
from infra.ledger.commits import Marker
from infra.storage.location import Location


def picture_of(folder: Location, atlas: Marker, name: str) -> npt.NDArray[np.uint8] | None:
    """One of them, uint8 [h, w, 3]; None if there is none of that name, or it cannot be read.

    folder: of the unit's outputs. name: as "average_after".
    """
    from PIL import Image

    path = f"previews/{name}.png"
    if path not in atlas.outputs:
        return None
    try:
        data = (folder / path).read_bytes()
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (MissingError, UserError, OSError):
        return None
