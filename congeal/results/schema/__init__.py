"""What a destination holds: Parquet tables and Zarr arrays, their columns, axes and units.

Names are imported on first use, so that whoever needs a module of this package alone does not import pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from congeal.results.schema.parquet_files import dataset, encode_table
    from congeal.results.schema.tables import (
        ALIGNMENTS,
        CLUSTERS,
        COORDINATES,
        CORRESPONDENCES,
        IMAGES,
        SCHEMA_VERSION,
        TABLES,
    )

__all__ = [
    "ALIGNMENTS",
    "CLUSTERS",
    "COORDINATES",
    "CORRESPONDENCES",
    "IMAGES",
    "SCHEMA_VERSION",
    "TABLES",
    "dataset",
    "encode_table",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "parquet_files" if name in ("dataset", "encode_table") else "tables"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
