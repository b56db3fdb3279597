"""Answers in the form that is asked for: pandas, Arrow, Polars; NumPy or xarray."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.dataset as pads

from infra.errors import UserError

if TYPE_CHECKING:
    from congeal.published_tables import PublishedTables
    from congeal.stored_maps import StoredAtlas
    from congeal.transfer import Maps

Form = Literal["pandas", "arrow", "polars"]
FORMS = ("pandas", "arrow", "polars")


def answered(table: pa.Table, form: Form) -> Any:
    """An Arrow table as a pandas DataFrame, as it is, or as a Polars DataFrame (without a copy by pandas).

    Raises UserError for another form, or if Polars is not installed.
    """
    if form == "arrow":
        return table
    if form == "pandas":
        return table.to_pandas()
    if form == "polars":
        return _optional("polars").DataFrame(table)
    raise UserError(f"There is no form {form!r}: use {', '.join(FORMS)}.")


class ArrowTables:
    """The published tables as Arrow datasets, unread: filter, scan or hand them to Polars and DuckDB."""

    def __init__(self, tables: PublishedTables) -> None:
        self._tables = tables

    def __repr__(self) -> str:
        return "<arrow datasets .images .clusters .alignments .correspondences>"

    @property
    def images(self) -> pads.Dataset:
        """One row an object of the source."""
        return self._tables.dataset("images")

    @property
    def clusters(self) -> pads.Dataset:
        """One row a cluster."""
        return self._tables.dataset("clusters")

    @property
    def alignments(self) -> pads.Dataset:
        """One row an image that has a cluster."""
        return self._tables.dataset("alignments")

    @property
    def correspondences(self) -> pads.Dataset:
        """One row a point and image."""
        return self._tables.dataset("correspondences")


def maps_as_xarray(maps: Maps) -> Any:
    """An xarray.Dataset of an image's maps, with atlas and frame coordinates; UserError without xarray."""
    xarray = _optional("xarray")
    atlas, frame = _centres(maps.forward.shape[0]), _centres(maps.backward.shape[0])
    return xarray.Dataset(
        {
            "forward": (("v", "u", "xy"), maps.forward),
            "forward_confidence": (("v", "u"), maps.forward_confidence),
            "backward": (("frame_v", "frame_u", "uv"), maps.backward),
            "backward_confidence": (("frame_v", "frame_u"), maps.backward_confidence),
        },
        coords={
            "u": atlas,
            "v": atlas,
            "frame_u": frame,
            "frame_v": frame,
            "xy": ["x", "y"],
            "uv": ["u", "v"],
        },
        attrs={"width": maps.frame.width, "height": maps.frame.height},
    )


def atlas_as_xarray(atlas: StoredAtlas) -> Any:
    """An xarray.Dataset of an atlas; UserError without xarray."""
    xarray = _optional("xarray")
    centres = _centres(atlas.saliency.shape[0])
    variables = {
        "features": (("v", "u", "channel"), atlas.features),
        "saliency": (("v", "u"), atlas.saliency),
        "confidence": (("v", "u"), atlas.confidence),
    }
    if atlas.average is not None:
        variables["average"] = (("row", "column", "rgb"), atlas.average)
    return xarray.Dataset(
        variables,
        coords={"u": centres, "v": centres},
        attrs={"cluster_id": atlas.cluster_id, "status": atlas.status},
    )


def _centres(side: int) -> Any:
    from congeal.coordinates import cell_centres

    return cell_centres(side)[0, :, 0]


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"{name} is not installed: `pip install {name}`, or ask for another form.") from error
