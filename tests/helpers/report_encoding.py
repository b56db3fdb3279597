"""How the data scripts of a report hold arrays and pictures, for tests of the page that reads them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import zstd
from PIL import Image

Pixels = npt.NDArray[np.uint8]


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
