"""Data as scripts: the one kind of file that a page opened from disk may load besides pictures and styles."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt

GLOBAL = "congealReport"
# In a script element each of these could end it, or begin a comment that swallows its end.
_ESCAPED = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def script(key: str, value: Any) -> bytes:
    """A script that sets one key of the pages' one global; names in it stay text, whatever they hold."""
    return f"(globalThis.{GLOBAL} ??= {{}})[{text(key)}] = {text(value)};\n".encode("ascii")


def text(value: Any) -> str:
    """A value as JSON that is a JavaScript expression and may stand in HTML: ASCII, without < > &.

    Numbers that are not finite become null, lone surrogates of broken names stay escaped.
    """
    return json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False).translate(
        _ESCAPED
    )


def plain(value: Any) -> Any:
    """NumPy's scalars and arrays, tuples and mappings as JSON has them; what is not finite is None."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def column(values: npt.NDArray[Any], **more: Any) -> dict[str, Any]:
    """A column [n] of uint8, uint16 or uint32 as a page reads it: little-endian, in base64."""
    data = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return {"type": values.dtype.name, "data": base64.b64encode(data.tobytes()).decode("ascii"), **more}


def share_column(values: npt.NDArray[np.floating]) -> dict[str, Any]:
    """Measurements [n] in a byte each: 0 where they are not known, else lo + (q - 1)/254·(hi - lo)."""
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    q = np.zeros(len(values), np.uint8)
    spread = high - low
    q[known] = 1 if spread <= 0 else 1 + np.rint((values[known] - low) / spread * 254).astype(np.uint8)
    return column(q, lo=low, hi=high)
