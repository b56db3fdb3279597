"""What a destination holds: Parquet tables and Zarr arrays, their columns, axes and units."""

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
