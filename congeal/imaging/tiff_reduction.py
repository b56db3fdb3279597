"""TIFF files at a half, a quarter or an eighth of their size: each pixel the mean of those it stands for.

They are read in bands, so that memory holds the smaller picture and one band. The smaller pages that some
files have, of a pyramid, are not looked at: they do not say where their pixels lie, half a pixel off or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from congeal.imaging.high_bit_depth import deep_samples
from congeal.imaging.intensity_scaling import Range, Samples, eight_bits
from congeal.imaging.pillow_io import load, open_image, rgb_of
from congeal.imaging.tiff_bands import MOST, banded


def halvings_of(data: bytes, target: int | None) -> int:
    """How often the sides of a file may be halved while it is decoded; 0: it is no TIFF, or comes whole.

    The longer side is then at least `target` pixels (None: all are needed), and both sides are exact
    fractions of the original's.
    """
    bands = None if target is None else banded(data)
    if bands is None or target is None:
        return 0
    for times in range(MOST, 0, -1):
        scale = 2**times
        exact = bands.width % scale == 0 and bands.height % scale == 0
        if exact and max(bands.width, bands.height) // scale >= max(target, 1):
            return times
    return 0


def check(data: bytes) -> None:
    """Decode all bands, without keeping their pixels. Raises `ImageError`."""
    for _ in _loaded(data):
        pass


def picture(data: bytes, times: int, bits: int, value_range: Range | None) -> tuple[Image.Image, int]:
    """The picture in Pillow's mode RGB, its sides halved so often, as it is stored; its orientation, 1 to 8.

    bits: a sample. value_range: see `congeal.imaging.decoding.decode`. Raises `ImageError`.
    """
    bands = banded(data)
    assert bands is not None  # noqa: S101 - it has been found that it can be halved
    scale = 2**times
    if bits > 8:
        parts = (deep_samples(name, band, image, bits) for name, band, image in _loaded(data))
        greys = eight_bits(_joined([_smaller(part, scale) for part in parts]), value_range)
        return Image.fromarray(greys).convert("RGB"), bands.orientation
    whole = Image.new("RGB", (bands.width // scale, bands.height // scale))
    top = 0
    for _, _, image in _loaded(data):
        part = rgb_of(image).reduce(scale)
        whole.paste(part, (0, top))
        top += part.height
    return whole, bands.orientation


def _loaded(data: bytes) -> Iterator[tuple[str, bytes, ImageFile.ImageFile]]:
    for band in banded(data) or ():
        name, image = open_image(band, 2**63, 1)
        load(name, image)
        yield name, band, image


@np.errstate(all="ignore")
def _smaller(samples: Samples, scale: int) -> Samples:
    """The means of blocks, of what is known of them; of which nothing is, that has its first value."""
    values = samples.values
    known = np.asarray(np.isfinite(values).reshape(*values.shape[:2], -1).all(2))
    if samples.missing is not None:
        known &= ~samples.missing
    count = _sums(known.astype(np.float64), scale)
    there = known if values.ndim == 2 else known[..., None]
    kept: npt.NDArray[np.float64] = np.where(there, values, 0).astype(np.float64)
    several = count if values.ndim == 2 else count[..., None]
    found = np.where(several > 0, _sums(kept, scale) / np.maximum(several, 1), values[::scale, ::scale])
    whole = values.dtype.kind in "iu"
    return Samples(
        (np.rint(found) if whole else found).astype(values.dtype),
        samples.bits,
        missing=None if samples.missing is None else count == 0,
        alpha=None
        if samples.alpha is None
        else (_sums(samples.alpha.astype(np.float64), scale) / scale**2).astype(np.float32),
        declared=samples.declared,
        inverted=samples.inverted,
    )


def _sums(values: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.float64]:
    """Sums [h / scale, w / scale, …] over blocks of [h, w, …]."""
    height, width = values.shape[0] // scale, values.shape[1] // scale
    cut = values.reshape(height, scale, width, scale, math.prod(values.shape[2:]))
    return np.asarray(cut.sum((1, 3)).reshape(height, width, *values.shape[2:]))


def _joined(parts: list[Samples]) -> Samples:
    missing = [part.missing for part in parts if part.missing is not None]
    alpha = [part.alpha for part in parts if part.alpha is not None]
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        missing=np.concatenate(missing) if missing else None,
        alpha=np.concatenate(alpha) if alpha else None,
    )
