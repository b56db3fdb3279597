"""Maps as small whole numbers in text, for pages that are opened from disk and may not fetch anything.

A plane of a map is rounded to multiples of a step, each value predicted from its three neighbours before it
(the plane a + b - c, as lossless image coders do), and what is left compressed: maps are smooth, so little is
left. docs/report.md says how it is undone; the page's own decoder is tested against `unpacked`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

LEVEL = 3  # of zstd: higher ones take five times as long for a twentieth less
# Far beyond the border of a map, where it goes on straight, errors of its cells add up to ten times as much.
FORWARD_STEP = 1 / 32  # pixels of the original
BACKWARD_SHARE = 0.05  # of a pixel of the largest image: the step of places in the atlas
MOST = 65_535


@dataclass(frozen=True)
class Packed:
    """A field of n images, quantised: what a page's script holds.

    Attributes:
        shape: n, rows, columns, channels.
        lo, step: float64 [n, channels]; a value is lo + q·step.
        data: zstd of the predicted q, planes in the order image, channel; of 16 bits first all low bytes,
            then all high ones.
        bits: 8 or 16.
    """

    shape: tuple[int, int, int, int]
    lo: Doubles
    step: Doubles
    data: bytes
    bits: int

    def facts(self) -> dict[str, Any]:
        """As JSON: lo and step in a row, the data in base64."""
        return {
            "shape": list(self.shape),
            "lo": self.lo.ravel().tolist(),
            "step": self.step.ravel().tolist(),
            "data": base64.b64encode(self.data).decode("ascii"),
        }


def packed_places(field: Floats, step: float) -> Packed:
    """Coordinates [n, h, w, c] in steps of ``step`` or, where their range asks for it, in larger ones.

    What is not finite counts as the plane's lowest value. Raises CongealError for another shape.
    """
    values = _planes(field)
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min((2, 3))
    high = np.where(finite, values, -np.inf).max((2, 3))
    low = np.where(np.isfinite(low), low, 0.0)
    spread = np.where(np.isfinite(high), high, 0.0) - low
    steps = np.maximum(step, spread / MOST)
    clean = np.where(finite, values, low[..., None, None])
    q = np.rint((clean - low[..., None, None]) / steps[..., None, None]).clip(0, MOST).astype(np.uint16)
    residual = _predicted(q).ravel()
    parts = np.concatenate([(residual & 255).astype(np.uint8), (residual >> 8).astype(np.uint8)])
    return Packed(_shape(field), low, steps, _compressed(parts), 16)


def packed_shares(field: Floats) -> Packed:
    """Values of 0 to 1, [n, h, w, c], in 255 steps; what is not finite is 0."""
    values = _planes(field)
    q = np.rint(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 255).astype(np.uint8)
    n, c = values.shape[:2]
    return Packed(
        _shape(field), np.zeros((n, c)), np.full((n, c), 1 / 255), _compressed(_predicted(q).ravel()), 8
    )


def unpacked(packed: Packed) -> Doubles:
    """The values float64 [n, h, w, c], as a page has them."""
    from numcodecs import Zstd

    n, h, w, c = packed.shape
    data = np.frombuffer(Zstd().decode(packed.data), np.uint8)
    count = n * h * w * c
    if packed.bits == 16:
        residual: npt.NDArray[Any] = np.left_shift(data[count:].astype(np.uint16), 8)
        residual |= data[:count]
    else:
        residual = data
    q = residual.reshape(n, c, h, w)
    for axis in (2, 3):
        q = np.cumsum(q, axis=axis, dtype=q.dtype)  # modulo 2^bits, as it was taken away
    values = packed.lo[..., None, None] + q * packed.step[..., None, None]
    return np.ascontiguousarray(np.moveaxis(values, 1, 3))


def backward_step(sides: npt.ArrayLike) -> float:
    """The step for places in the atlas, in atlas units, of images whose longer sides [n] are in pixels.

    The atlas spans about as much as an image; so an error is a fortieth of a pixel of the largest at most,
    times what a map stretches.
    """
    return BACKWARD_SHARE * 2 / max(float(np.max(np.asarray(sides))), 1.0)


def _predicted(q: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What the plane predictor leaves of q [n, c, h, w], modulo its type."""
    left = q.copy()
    left[..., 1:] -= q[..., :-1]
    rest = left.copy()
    rest[..., 1:, :] -= left[..., :-1, :]
    return rest


def _planes(field: Floats) -> Doubles:
    if field.ndim != 4:
        raise CongealError(f"a field of maps has the shape [n, h, w, c], not {list(field.shape)}")
    # Laid out plane by plane: sums and bounds of planes that lie across each other take ten times as long.
    return np.ascontiguousarray(np.moveaxis(np.asarray(field, np.float64), 3, 1))


def _shape(field: Floats) -> tuple[int, int, int, int]:
    n, h, w, c = field.shape
    return n, h, w, c


def _compressed(data: npt.NDArray[np.uint8]) -> bytes:
    from numcodecs import Zstd

    return bytes(Zstd(level=LEVEL).encode(data.tobytes()))
