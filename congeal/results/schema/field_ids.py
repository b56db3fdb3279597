"""Numbers of the tables' columns: by them engines follow a column through versions, as Iceberg and daft do.

A column's number is its place in these lists. A new column goes to the end of its list, wherever it stands in
its table; one that goes away stays here, so that its number is not given twice.
"""

from __future__ import annotations

COLUMNS = {
    "images": (
        "image_id", "uri", "bytes", "etag", "width", "height", "format", "status", "error", "cluster_id",
        "outlier", "features_unit", "features_row", "excluded",
    ),
    "clusters": (
        "cluster_id", "status", "n_images", "n_members", "n_outliers", "n_new", "medoid_image_id", "residual",
        "cycle_error", "fold_fraction", "coverage", "confidence", "margin", "drift", "backbone",
        "weights_fingerprint", "atlas_unit", "error", "deformation", "fixed_camera", "name",
        "match_agreement", "maps_from",
    ),
    "alignments": (
        "image_id", "cluster_id", "role", "mirrored", "rotation", "scale", "translation_u", "translation_v",
        "residual", "cycle_error", "fold_fraction", "coverage", "outlier", "outlier_reason",
        "instance_id",
    ),
    "correspondences": (
        "cluster_id", "point_id", "u", "v", "image_id", "x", "y", "confidence", "visible", "instance_id",
    ),
}  # fmt: skip


def field_id(table: str, column: str) -> int:
    """The number of a column, from 1. Raises ValueError for one that has none."""
    try:
        return 1 + COLUMNS[table].index(column)
    except (KeyError, ValueError) as error:
        raise ValueError(f"add the column {column} of {table} at the end of its list") from error
