"""Which rows of the tables are of an image's first instance: what one image, one row, is said of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.dataset as pads

INSTANCE = "instance_id"
FIRST_IN_SQL = f"coalesce({INSTANCE}, 0) = 0"
# Counts of a publication; absent where every image shows one thing, as far as anybody looked.
FURTHER, OF_SEVERAL = "further_instances", "images_of_several"


def of_first() -> pads.Expression:
    """Rows of first instances; tables of schema version 6 and before have no others, and null there."""
    import pyarrow.dataset as pads

    return pads.field(INSTANCE).is_null() | (pads.field(INSTANCE) == 0)
