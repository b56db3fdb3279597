"""A small report as `congeal report` writes it, with maps that are known: what tests of the page look at."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zarr
from numcodecs import zstd
from PIL import Image, ImageDraw

from congeal.geometry.frames import Frame, cell_centres
from congeal.geometry.warps import Warps, flip, to_atlas, to_oriented
from congeal.transfer.points import Maps

CELL = 192
SMALL = 64
RESOLUTION = 32
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
ASSETS = Path(__file__).parents[1] / "congeal" / "report" / "assets"
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Member:
    """An image of the cluster, and what is known of it."""

    uri: str
    maps: Maps
    square: Pixels
    mirrored: bool
    rotation: float
    scale: float
    translation: tuple[float, float]
    outlier: bool


def members(names: list[str], seed: int = 0) -> list[Member]:
    """Pictures of one thing in several poses, with smooth maps; the last does not fit."""
    random = np.random.default_rng(seed)
    return [_member(name, k, random, outlier=k == len(names) - 1) for k, name in enumerate(names)]


def _member(uri: str, k: int, random: np.random.Generator, *, outlier: bool) -> Member:
    frame = Frame(300 + 20 * k, 260 + 11 * ((7 * k) % 13))
    rotation, scale = random.uniform(-0.4, 0.4), random.uniform(0.6, 0.85)
    shift = random.uniform(-0.08, 0.08, 2)
    mirrored = k % 3 == 1
    coarse = torch.tensor(random.normal(0, 0.04, (1, 2, 4, 4)), dtype=torch.float32)
    size = (RESOLUTION, RESOLUTION)
    flow = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
    a = torch.tensor([scale * np.exp(1j * rotation)], dtype=torch.complex64)
    b = torch.tensor([complex(*shift)], dtype=torch.complex64)
    warps = Warps(a, b, flow.permute(0, 2, 3, 1).contiguous(), torch.tensor([mirrored]))
    cells = torch.tensor(cell_centres(RESOLUTION))[None]
    in_frame = flip(to_oriented(warps, cells), warps.mirrored)[0]
    back = to_atlas(warps, flip(cells, warps.mirrored))[0].numpy()
    u, v = cell_centres(RESOLUTION)[..., 0], cell_centres(RESOLUTION)[..., 1]
    sure = np.clip(1.15 - 0.8 * np.hypot(u, v), 0, 1).astype(np.float32)
    maps = Maps(
        frame=frame,
        forward=frame.to_pixels(in_frame.numpy()).astype(np.float32),
        forward_confidence=sure,
        backward=back.astype(np.float32),
        backward_confidence=np.clip(1.2 - 0.7 * np.hypot(back[..., 0], back[..., 1]), 0, 1).astype(
            np.float32
        ),
    )
    return Member(
        uri, maps, _picture(frame, warps, k), mirrored, rotation, scale, (shift[0], shift[1]), outlier
    )


def _picture(frame: Frame, warps: Warps, k: int) -> Pixels:
    """The square frame, CELL pixels: a drawing of the atlas carried to it."""
    drawing = Image.new("RGB", (256, 256), (60 + 12 * (k % 8), 120, 90))
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((60, 60, 200, 200), fill=(220, 60 + 20 * (k % 6), 60))
    pen.rectangle((120, 30, 160, 90), fill=(240, 220, 70))
    pen.ellipse((150, 140, 190, 180), fill=(30, 40, 160))
    places = to_atlas(warps, flip(torch.tensor(cell_centres(CELL))[None], warps.mirrored))
    source = torch.tensor(np.asarray(drawing), dtype=torch.float32).permute(2, 0, 1)[None]
    seen = torch.nn.functional.grid_sample(source, places, align_corners=False, padding_mode="border")
    return np.asarray(seen[0].permute(1, 2, 0).round().byte().numpy())


def packed(values: npt.ArrayLike, *, wide: bool) -> dict[str, Any]:
    """A quantised, predicted, compressed field of [n, h, w, c] (see the page's `data/packed.ts`)."""
    fields = np.asarray(values, np.float64)
    planes = fields.transpose(0, 3, 1, 2)
    n, c, h, w = planes.shape
    low, high = planes.min((2, 3)), planes.max((2, 3))
    levels = 65535 if wide else 255
    step = np.where(high > low, (high - low) / levels, 1.0)
    q = np.round((planes - low[..., None, None]) / step[..., None, None]).astype(np.int64)
    e = q.copy()
    e[..., :, 1:] -= q[..., :, :-1]
    e[..., 1:, :] -= q[..., :-1, :]
    e[..., 1:, 1:] += q[..., :-1, :-1]
    e &= levels
    data = e.astype(np.uint8).tobytes() + ((e >> 8).astype(np.uint8).tobytes() if wide else b"")
    text = base64.b64encode(zstd.compress(data, 3)).decode()
    return {"shape": [n, h, w, c], "lo": low.ravel().tolist(), "step": step.ravel().tolist(), "data": text}


def script(path: Path, key: str, content: object) -> None:
    """A data script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    path.write_text(f"(globalThis.congealReport ??= {{}})[{json.dumps(key)}] = {text};", encoding="ascii")


def webp(pixels: Pixels) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "WEBP", lossless=True)
    return held.getvalue()


def sheet(squares: list[Pixels], side: int, columns: int) -> Pixels:
    rows = -(-len(squares) // columns)
    whole = np.full((rows * side, columns * side, 3), 127, np.uint8)
    for k, square in enumerate(squares):
        small = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BILINEAR))
        row, column = divmod(k, columns)
        whole[row * side : (row + 1) * side, column * side : (column + 1) * side] = small
    return whole


def base64_of(kind: type, values: npt.ArrayLike) -> dict[str, Any]:
    array = np.asarray(values).astype(kind)
    return {"type": array.dtype.name, "data": base64.b64encode(array.tobytes()).decode()}


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
    _index(report, found, page_size, len(pages))
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


def _index(report: Path, found: list[Member], page_size: int, pages: int) -> None:
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
