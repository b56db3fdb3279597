"""Answers in the form that is asked for: pandas, Arrow, Polars; NumPy or xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from congeal.results.argument_checks import one_of
from infra.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import xarray as xr

    from congeal.results.published_tables import PublishedTables
    from congeal.results.stored.maps import StoredAtlas
    from congeal.transfer.points import Maps

Form = Literal["pandas", "arrow", "polars"]
FORMS = ("pandas", "arrow", "polars")
Table: TypeAlias = "pd.DataFrame | pa.Table | pl.DataFrame"


def answered(table: pa.Table, form: Form, can_be_missing: bool = False) -> Table:
    """An Arrow table as a pandas DataFrame, as it is, or as a Polars DataFrame (without a copy by pandas).

    In pandas, truth values and whole numbers of which some are missing have pandas' own nullable types, so
    that they stay what they are; can_be_missing: those of which none is missing now, too. Raises UserError
    for another form, or if Polars is not installed.
    """
    one_of(form, FORMS, "form")
    if form == "arrow":
        return table
    if form == "polars":
        try:
            import polars as pl
        except ModuleNotFoundError as error:
            raise _not_installed("polars") from error
        return pl.DataFrame(table)
    return _as_pandas(table, can_be_missing)


def as_arrow(table: object) -> pa.Table:
    """A DataFrame of pandas or Polars, or an Arrow table, as an Arrow table; UserError for anything else."""
    if isinstance(table, pa.Table):
        return table
    if type(table).__module__.split(".")[0] == "polars" and hasattr(table, "to_arrow"):
        return table.to_arrow()
    if type(table).__module__.split(".")[0] == "pandas" and hasattr(table, "columns"):
        try:
            return pa.Table.from_pandas(table)
        except (pa.ArrowException, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"The table cannot be read as one of plain columns: {reason}.") from error
    raise UserError(f"{type(table).__name__} is no table: give a DataFrame or an Arrow table.")


def _as_pandas(table: pa.Table, can_be_missing: bool) -> pd.DataFrame:
    import pandas as pd

    nullable: dict[pa.DataType, Any] = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
    }
    others = {pa.int8(): pd.Int64Dtype(), pa.int16(): pd.Int64Dtype(), pa.uint8(): pd.Int64Dtype()}
    others |= {pa.uint16(): pd.Int64Dtype(), pa.uint32(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    nullable |= others
    chosen = [
        number
        for number, column in enumerate(table.columns)
        if column.type in nullable and (can_be_missing or column.null_count)
    ]
    if not chosen:
        whole: pd.DataFrame = table.to_pandas()
        return whole
    rest = [number for number in range(table.num_columns) if number not in chosen]
    parts: list[pd.DataFrame] = [
        table.select(rest).to_pandas(),
        table.select(chosen).to_pandas(types_mapper=nullable.get),
    ]
    order = np.argsort([*rest, *chosen])
    return pd.concat(parts, axis=1).iloc[:, order]


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


def maps_as_xarray(maps: Maps) -> xr.Dataset:
    """An xarray.Dataset of an image's maps, with atlas and frame coordinates; UserError without xarray."""
    try:
        import xarray
    except ModuleNotFoundError as error:
        raise _not_installed("xarray") from error
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


def atlas_as_xarray(atlas: StoredAtlas) -> xr.Dataset:
    """An xarray.Dataset of an atlas; UserError without xarray."""
    try:
        import xarray
    except ModuleNotFoundError as error:
        raise _not_installed("xarray") from error
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


def _centres(side: int) -> npt.NDArray[np.float32]:
    from congeal.geometry.frames import cell_centres

    return cell_centres(side)[0, :, 0]


def _not_installed(name: str) -> UserError:
    return UserError(f"{name} is not installed: `pip install {name}`, or ask for another form.")
