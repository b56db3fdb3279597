"""Files of more than eight bits a sample, and what they are read as."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import tifffile
from encoded import LIMITS

from congeal.imaging.decoding import decode


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """Greys in [0, 1], both reached, float64 [h, w]."""
    y, x = np.mgrid[0:height, 0:width]
    grey = np.sin(x / 7) + np.cos(y / 5) + 0.02 * x
    return (grey - grey.min()) / (grey.max() - grey.min())


SCENE = scene()
WANTED = np.rint(SCENE * 255)


def tiff(values: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: np.ndarray, *more: bytes) -> bytes:
    """uint16 [h, w] or [h, w, c] as a PNG file; more: chunks in front of the pixels."""
    colour = {2: 0, 3: {2: 4, 3: 2, 4: 6}.get(values.shape[-1], 0)}[values.ndim]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def close(data: bytes, wanted: np.ndarray = WANTED, atol: float = 2.5, **options: object) -> None:
    pixels = decode(data, **LIMITS, **options).astype(float)
    wanted = wanted if wanted.ndim == 3 else np.repeat(wanted[..., None], 3, axis=2)
    np.testing.assert_allclose(pixels, wanted, atol=atol)


def tagged(values: np.ndarray, *tags: tuple[int, str, int, object], **options: object) -> bytes:
    return tiff(values, extratags=[(*tag, True) for tag in tags], **options)
