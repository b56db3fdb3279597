"""A small report as `congeal report` writes it, with maps that are known: what tests of the page look at."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from report_encoding import packed, script, sheet, webp
from report_index_data import SMALL, write_index
from report_members import CELL, RESOLUTION, Member

from congeal.geometry.frames import cell_centres

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>report</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="assets/report.css"></head><body><div id="app"></div>
<script src="data/index.js"></script><script src="assets/report.js"></script></body></html>
"""
ASSETS = Path(__file__).parents[2] / "congeal" / "report" / "assets"


def write_report(destination: Path, found: list[Member], *, page_size: int = 100) -> Path:
    """Write the report of one cluster of these members, and the arrays that it is of; gives index.html."""
    report = destination / "report"
    _assets(report)
    cluster = report / "stages" / "c"
    pages = [found[k : k + page_size] for k in range(0, len(found), page_size)]
    facts = [_page(cluster, number, part) for number, part in enumerate(pages)]
    picture = "data:image/webp;base64," + base64.b64encode(webp(found[0].square)).decode()
    u, v = cell_centres(RESOLUTION)[..., 0], cell_centres(RESOLUTION)[..., 1]
    saliency = np.clip(1.2 - 1.5 * np.hypot(u, v), 0, 1)[None, ..., None]
    confidence = found[0].maps.forward_confidence[None, ..., None]
    odd = [(*divmod(k, page_size), m.uri, "covers too little") for k, m in enumerate(found) if m.outlier]
    script(
        cluster / "cluster.js",
        "cluster/c0ffee",
        {
            "id": "c0ffee",
            "facts": {"cluster_id": "c0ffee", "n_images": len(found)},
            "images": dict.fromkeys(("average_before", "average_after", "colours"), picture) | {"size": CELL},
            "atlas": {
                "side": RESOLUTION,
                "saliency": packed(saliency, wide=False),
                "confidence": packed(confidence, wide=False),
            },
            "page_size": page_size,
            "total": len(found),
            "pages": facts,
            "cell": CELL,
            "outliers": odd,
            "zarr": "atlas.zarr",
            "copies": [["copy of it.jpg", found[0].uri]],
        },
    )
    _annotations(cluster, pages)
    _zarr(destination / "atlas.zarr", found)
    write_index(report, found, page_size, len(pages))
    return report / "index.html"


def _assets(report: Path) -> None:
    (report / "assets").mkdir(parents=True, exist_ok=True)
    (report / "index.html").write_text(PAGE)
    for name in ("report.js", "report.css"):
        (report / "assets" / name).write_bytes((ASSETS / name).read_bytes())


def _page(cluster: Path, number: int, part: list[Member]) -> dict[str, Any]:
    columns = min(10, len(part))
    rows: dict[str, list[Any]] = {
        "image_id": [f"{number:02d}{k:06x}" for k in range(len(part))],
        "uri": [m.uri for m in part],
        "width": [m.maps.frame.width for m in part],
        "height": [m.maps.frame.height for m in part],
        "row": [number * 100 + k for k in range(len(part))],
        "role": ["member" for _ in part],
        "mirrored": [m.mirrored for m in part],
        "rotation": [m.rotation for m in part],
        "scale": [m.scale for m in part],
        "translation_u": [m.translation[0] for m in part],
        "translation_v": [m.translation[1] for m in part],
        "residual": [0.1 + 0.01 * k for k in range(len(part))],
        "cycle_error": [0.002 for _ in part],
        "fold_fraction": [0.0 for _ in part],
        "coverage": [0.9 for _ in part],
        "confidence": [float(m.maps.forward_confidence.mean()) for m in part],
        "outlier": [m.outlier for m in part],
        "outlier_reason": ["covers too little" if m.outlier else None for m in part],
        "shown": [True for _ in part],
        "neighbours": [[[number, (k + 1) % len(part)]] for k in range(len(part))],
    }
    picture = base64.b64encode(webp(sheet([m.square for m in part], CELL, columns))).decode()
    name = f"members/c0ffee/{number}"
    script(cluster / f"members-{number}.js", name, {"rows": rows, "sheet": picture})
    fields = {
        "forward": packed(np.stack([m.maps.forward for m in part]), wide=True),
        "forward_confidence": packed(
            np.stack([m.maps.forward_confidence for m in part])[..., None], wide=False
        ),
        "backward": packed(np.stack([m.maps.backward for m in part]), wide=True),
        "backward_confidence": packed(
            np.stack([m.maps.backward_confidence for m in part])[..., None], wide=False
        ),
    }
    script(cluster / f"maps-{number}.js", f"maps/c0ffee/{number}", fields)
    (cluster / f"small-{number}.webp").write_bytes(webp(sheet([m.square for m in part], SMALL, columns)))
    return {
        "script": f"members-{number}.js",
        "maps": f"maps-{number}.js",
        "small": f"small-{number}.webp",
        "count": len(part),
        "columns": columns,
    }


def _annotations(cluster: Path, pages: list[list[Member]]) -> None:
    """A keypoint in the middle of the atlas and one beside it, on every member; by hand on the first."""
    middle = RESOLUTION // 2
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:6] = 255

    def item(member: Member, first: bool) -> dict[str, Any]:
        points = [member.maps.forward[middle, middle], member.maps.forward[middle, middle + 6]]
        named = zip(("nose", "tail"), points, strict=True)
        return {
            "category": "thing",
            "instance": 0,
            "marked": first,
            "confidence": 0.7,
            "keypoints": [[name, float(x), float(y), 0.7, 1, int(first)] for name, (x, y) in named],
            "outline": None,
            "mask": {"width": 8, "height": 8, "data": base64.b64encode(mask.tobytes()).decode()},
            "bbox": [10, 20, 30, 40] if first else None,
        }

    items = [[[item(m, first=p == k == 0)] for k, m in enumerate(part)] for p, part in enumerate(pages)]
    script(cluster / "annotations.js", "annotations/c0ffee", {"cluster": "c0ffee", "pages": items})


def _zarr(path: Path, found: list[Member]) -> None:
    """The published arrays, in shards, packed with zstd."""
    group = zarr.create_group(path)
    maps = group.create_group("maps")
    for name, kind in (
        ("forward", "float32"),
        ("forward_confidence", "float16"),
        ("backward", "float32"),
        ("backward_confidence", "float16"),
    ):
        values = np.stack([getattr(m.maps, name) for m in found]).astype(kind)
        array = maps.create_array(
            name,
            shape=values.shape,
            dtype=kind,
            chunks=(1, *values.shape[1:]),
            shards=values.shape,
            compressors=zarr.codecs.ZstdCodec(level=1),
            fill_value=np.nan,
        )
        array[:] = values
