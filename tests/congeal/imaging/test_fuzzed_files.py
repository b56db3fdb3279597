"""Image files with bytes changed at random, made at run time: each is decoded or refused with a reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from congeal.errors import ImageError
from congeal.imaging.decoding import decode, inspect

EACH = 60
MOST_PIXELS = 1_000_000


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_changed_files_are_decoded_or_refused_with_a_reason(name: str) -> None:
    generator = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 255, (24, 32, 3), np.uint8)).save(buffer, name)
    for _ in range(EACH):
        data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        places = generator.integers(0, len(data), generator.integers(1, 12))
        data[places] = generator.integers(0, 256, len(places))
        for act in (inspect, decode):
            try:
                act(data.tobytes(), MOST_PIXELS)
                reason = "decoded"
            except ImageError as error:
                reason = error.reason
            assert reason
            assert "\n" not in reason
