"""The files of the overview: the map of all images as Parquet and as scripts, how its figures are spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from congeal.report.data_scripts import column, script, share_column
from infra.compute.temporary_folders import said_of_full
from tasks.report.map_table import ABOUT, FITS, MAP, OUTLIER, MapRows
from tasks.report.owner_columns import OwnerColumn

ROW_GROUP = 50_000
NONE = 0xFFFF_FFFF
METRICS = ("confidence", "residual", "cycle_error", "coverage")
BINS = 32
SHARES = ("coverage", "confidence")  # 0 to 1; the other figures begin at 0, too


def map_files(rows: MapRows, folder: Path) -> dict[str, bytes | Path]:
    """map.parquet with all rows, a file in a folder of this machine; map.js and names.js with the sample."""
    some = rows.some()

    def whole(name: str, kind: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
        values = some[name].to_numpy().astype(np.int64)
        return np.where(values < 0, NONE, values).astype(kind)

    columns: dict[str, Any] = {
        name: column(np.rint(some[name].to_numpy().clip(0, 1) * 65_535).astype(np.uint16))
        for name in ("x", "y")
    }
    columns |= {
        "cluster": column(whole("cluster", np.uint32)),
        "status": column(whole("status", np.uint8)),
        "sheet": column(whole("sheet", np.uint32)),
        "cell": column(whole("cell", np.uint16)),
    }
    columns |= {
        name: share_column(np.asarray(some[name].to_numpy(zero_copy_only=False), np.float64))
        for name in METRICS
    }
    columns |= {name: column(own.codes[: rows.sample]) for name, own in _own_names(rows)}
    return {
        "map.parquet": _parquet(rows, folder / "map.parquet"),
        "map.js": script("map", {"rows": rows.sample, "columns": columns}),
        "names.js": script("names", {"uri": some["uri"].to_pylist()}),
    }


def _parquet(rows: MapRows, file: Path) -> Path:
    """The whole map; a group of rows is in memory."""
    own = [
        (
            pa.field(
                name,
                pa.int32(),
                metadata={"description": f"the owner's column {one.name}, by the report's index"},
            ),
            one,
        )
        for name, one in _own_names(rows)
    ]
    schema = pa.schema([*MAP, *(field for field, _ in own)], MAP.metadata)
    start = 0
    repeated = ["cluster", "status", "sheet"]
    with (
        said_of_full(file.parent, OSError),
        pq.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=repeated, write_page_index=True
        ) as writer,
    ):
        for table in rows.parts(ROW_GROUP):
            end = start + table.num_rows
            codes = [pa.array(one.codes[start:end].astype(np.int32)) for _, one in own]
            whole = pa.Table.from_arrays([*table.columns, *codes], schema=schema)
            writer.write_table(whole, row_group_size=ROW_GROUP)
            start = end
    return file


def own_facts(rows: MapRows) -> list[dict[str, Any]]:
    """The owner's columns as the index has them, each with the name of its column in the map's files."""
    return [{"column": name, **own.facts} for name, own in _own_names(rows)]


def _own_names(rows: MapRows) -> list[tuple[str, OwnerColumn]]:
    # Names that somebody else has chosen might be those of the map's own columns.
    return [(f"own_{number}", own) for number, own in enumerate(rows.own)]


def histograms(rows: MapRows) -> dict[str, Any]:
    """How the figures are spread, of images that fit and of those that do not."""
    found: dict[str, Any] = {}
    for name in METRICS:
        unit, about = ABOUT[name]
        highest = max((float(values.max()) for _, values in rows.figures(name) if len(values)), default=0.0)
        edges = np.linspace(0.0, 1.0 if name in SHARES else highest or 1.0, BINS + 1)
        counts = {status: np.zeros(BINS, np.int64) for status in (FITS, OUTLIER)}
        for status, values in rows.figures(name):
            for kind in counts:
                counts[kind] += np.histogram(values[status == kind], edges)[0]
        found[name] = {
            "edges": [round(float(edge), 6) for edge in edges],
            "fits": counts[FITS].tolist(),
            "outliers": counts[OUTLIER].tolist(),
            "unit": unit,
            "about": about,
        }
    return found
