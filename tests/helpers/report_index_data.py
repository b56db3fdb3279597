"""The index of a small report: its map of all images, its figures, its one cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from report_encoding import base64_of, script, sheet, webp
from report_members import Member

SMALL = 64


def write_index(report: Path, found: list[Member], page_size: int, pages: int) -> None:
    """Write data/index.js, the map and the names of a report whose one cluster has so many pages."""
    n = len(found)
    random = np.random.default_rng(1)
    x, y = random.uniform(0.1, 0.9, n), random.uniform(0.2, 0.8, n)
    status = [int(m.outlier) for m in found]
    places: dict[str, Any] = {
        "x": x.astype(np.float32),
        "y": y.astype(np.float32),
        "cluster": np.zeros(n, np.int32),
        "status": np.array(status, np.int8),
        "confidence": np.linspace(0.2, 0.9, n).astype(np.float32),
        "residual": np.linspace(0.1, 0.4, n).astype(np.float32),
        "cycle_error": np.full(n, 0.002, np.float32),
        "coverage": np.full(n, 0.9, np.float32),
        "sheet": (np.arange(n) // page_size).astype(np.int32),
        "cell": (np.arange(n) % page_size).astype(np.int32),
    }
    uris = [m.uri for m in found]
    table = pa.table({"image_id": [f"{k}" for k in range(n)], "uri": uris} | places)
    pq.write_table(table, report / "map.parquet", compression="zstd")
    columns = {
        "x": base64_of(np.uint16, np.round(x * 65535)),
        "y": base64_of(np.uint16, np.round(y * 65535)),
        "cluster": base64_of(np.uint32, places["cluster"]),
        "status": base64_of(np.uint8, status),
        "sheet": base64_of(np.uint32, places["sheet"]),
        "cell": base64_of(np.uint16, places["cell"]),
    }
    for name in ("confidence", "residual", "cycle_error", "coverage"):
        columns[name] = base64_of(np.uint8, 1 + np.round(254 * places[name])) | {"lo": 0, "hi": 1}
    script(report / "data" / "map.js", "map", {"rows": n, "columns": columns})
    script(report / "data" / "names.js", "names", {"uri": uris})
    wall = sheet([found[0].square, found[-1].square], 96, 2)
    (report / "data" / "wall.webp").write_bytes(webp(wall))
    counts = {"images": n + 2, "ok": n, "failed": 1, "duplicate": 1}
    counts |= {"clusters": 1, "failed_clusters": 0, "outliers": 1}
    histogram = {
        "edges": [0, 0.5, 1],
        "fits": [1, n - 2],
        "outliers": [1, 0],
        "unit": "share",
        "about": "about",
    }
    script(
        report / "data" / "index.js",
        "index",
        {
            "format": 1,
            "title": "things",
            "source": "file:///source",
            "destination": "file:///destination",
            "version": 3,
            "created": "2026-01-02T03:04:05+00:00",
            "code_version": "0.1.0",
            "made": "2026-01-02T03:05:05+00:00",
            "base": "../",
            "counts": counts,
            "settings": {"seed": 0, "features": {"backbone": "embedded", "image_size": None}},
            "backbone": "embedded",
            "weights_fingerprint": "sha256:0123456789abcdef",
            "stages": [_stage()],
            "map": {
                "script": "data/map.js",
                "names": "data/names.js",
                "parquet": "map.parquet",
                "rows": n,
                "sample": n,
                "method": "t-SNE",
                "fitted": n,
                "placed": 0,
                "seed": 0,
                "note": None,
            },
            "sheets": {
                "cell": SMALL,
                "path": [f"stages/c/small-{k}.webp" for k in range(pages)],
                "columns": [min(10, len(found[k * page_size : (k + 1) * page_size])) for k in range(pages)],
                "cluster": [0] * pages,
                "page": list(range(pages)),
            },
            "wall": {"cell": 96, "path": ["data/wall.webp"]},
            "clusters": _clusters(n),
            "failures": {"total": 1, "rows": [["broken <b>.jpg", "it ends early"]]},
            "duplicates": {"total": 1, "rows": [["copy of it.jpg", found[0].uri]]},
            "quality": {
                "histograms": dict.fromkeys(("residual", "cycle_error", "coverage", "confidence"), histogram),
                "calibration": {
                    "bins": [
                        {"low": 0, "high": 0.5, "n": 4, "confidence": 0.3, "right": 0.25},
                        {"low": 0.5, "high": 1, "n": 9, "confidence": 0.8, "right": 0.9},
                    ],
                    "threshold": "within a tenth of the box",
                    "points": 13,
                    "images": 5,
                },
                "drift": [],
            },
            "annotations": {"file": "labels.json", "categories": ["thing"], "instances": 1, "images": 1},
            "notes": [],
        },
    )


def _stage() -> dict[str, Any]:
    return {
        "stage": "atlases",
        "units": 1,
        "seconds": 12.5,
        "started": "2026-01-02T03:00:00+00:00",
        "ended": "2026-01-02T03:01:00+00:00",
        "peak_memory_bytes": 2**30,
        "timings": {},
        "python": "3.11",
        "platform": "Linux",
    }


def _clusters(n: int) -> dict[str, Any]:
    row = {
        "id": "c0ffee",
        "status": "ok",
        "error": None,
        "n_images": n,
        "n_members": n,
        "n_outliers": 1,
        "n_new": 0,
        "deformation": "flow",
        "residual": 0.2,
        "cycle_error": 0.002,
        "fold_fraction": 0.0,
        "coverage": 0.9,
        "confidence": 0.6,
        "margin": 0.3,
        "drift": None,
        "doubt": 0.4,
        "seconds": 3.0,
        "device": "cpu",
        "script": "stages/c/cluster.js",
        "wall_sheet": 0,
        "wall_before": 0,
        "wall_after": 1,
        "wall_columns": 2,
        "annotations": "stages/c/annotations.js",
    }
    return {name: [value] for name, value in row.items()}
