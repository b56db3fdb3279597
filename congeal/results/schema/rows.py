"""Rows of the published tables as Python reads them: which columns there are, and which can be missing."""

from __future__ import annotations

from typing import TypedDict


class MemberRow(TypedDict):
    """An image of a cluster: some columns of the table images."""

    image_id: str
    uri: str
    width: int
    height: int
    status: str
    cluster_id: str


class AlignedRow(MemberRow):
    """A row of the table images, of an image that has a cluster."""

    bytes: int
    etag: str | None
    format: str
    error: None
    outlier: bool
    excluded: bool
    features_unit: str
    features_row: int


class ImageRow(TypedDict):
    """A row of the table images."""

    image_id: str | None
    uri: str
    bytes: int
    etag: str | None
    width: int | None
    height: int | None
    format: str | None
    status: str
    error: str | None
    cluster_id: str | None
    outlier: bool | None
    excluded: bool | None
    features_unit: str | None
    features_row: int | None


class ClusterFacts(TypedDict):
    """What an atlas knows of its cluster: most columns of the table clusters."""

    status: str
    n_images: int
    n_members: int
    n_outliers: int
    n_new: int
    medoid_image_id: str
    residual: float | None
    cycle_error: float | None
    fold_fraction: float | None
    coverage: float | None
    confidence: float | None
    margin: float | None
    drift: float | None


class ClusterRow(ClusterFacts):
    """A row of the table clusters."""

    cluster_id: str
    name: str | None
    error: str | None
    deformation: str | None
    maps_from: str | None
    fixed_camera: bool | None
    match_agreement: float | None
    backbone: str
    weights_fingerprint: str
    atlas_unit: str | None
