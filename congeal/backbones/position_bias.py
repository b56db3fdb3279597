"""The part of a ViT's features that tells *where* a token lies in the image rather than *what* it shows.

Position embeddings shine through to the last block. Two tokens at the same place of two images resemble each
other for that alone, which pulls every estimated pose towards "no shift, no scale": on a set of insect wings
the scales came out a tenth too alike. Images without any content reveal these directions: what their features
have in common at a place, and not elsewhere, is position. Taking the leading directions out of the features
made poses better on objects that stand anywhere and at any size; plain nearest-neighbour matching of upright,
centred objects loses a helpful hint by it, which is why it is done in the solver and not in the stored
features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from congeal.geometry.eigenvectors import leading_eigenvectors

if TYPE_CHECKING:
    from congeal.backbones.torch_backbone import Backbone

DIRECTIONS = 8
PROBES = 8
PLAIN = (0, 128, 255)  # black, grey, white


def probe_images(size: int, count: int = PROBES) -> npt.NDArray[np.uint8]:
    """Coloured 1/f noise, uint8 [count, size, size, 3]: a photograph's statistics, without its content."""
    generator = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    frequency[0, 0] = 1
    noise = np.fft.fft2(generator.standard_normal((count, 3, size, size)))
    images = np.fft.ifft2(noise / frequency).real
    images -= images.mean(axis=(2, 3), keepdims=True)
    images /= images.std(axis=(2, 3), keepdims=True)
    mixing = np.eye(3) + 0.5 * generator.standard_normal((count, 3, 3))
    mixed = np.einsum("ncij,ncd->nijd", images, mixing)
    mixed /= mixed.std(axis=(1, 2, 3), keepdims=True)
    brightness = generator.uniform(60, 200, (count, 1, 1, 3))
    pixels: npt.NDArray[np.uint8] = np.clip(mixed * 50 + brightness, 0, 255).astype(np.uint8)
    return pixels


def position_directions(backbone: Backbone, directions: int = DIRECTIONS) -> npt.NDArray[np.float32]:
    """Orthonormal directions of position in a backbone's features, float32 [k, c]; deterministic.

    Of features that are taken at several places in the backbone, each part has its own: so many directions
    for every part, zero elsewhere.
    """
    sizes = list(backbone.taps.values())
    probes = probe_images(backbone.image_size)
    common = torch.zeros((backbone.grid, backbone.grid, backbone.channels), device=backbone.device)
    for start in range(0, len(probes), 4):
        features = backbone(probes[start : start + 4]).features.float()
        unit = torch.cat([normalize(part, dim=-1) for part in torch.split(features, sizes, -1)], -1)
        common += unit.sum(0) / len(probes)
    offset = (common - common.mean((0, 1))).flatten(0, 1).cpu()
    parts = [part.double() for part in torch.split(offset, sizes, -1)]
    found = [leading_eigenvectors(part.T @ part, directions)[1].T.float() for part in parts]
    together: npt.NDArray[np.float32] = torch.block_diag(*found).numpy()  # type: ignore[no-untyped-call]
    return together


def blank_contrast(backbone: Backbone, directions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How much the tokens of an image without content differ for all that, float32 [p], in each part.

    It is their variance within the image, of unit-length features without their position: the largest of
    black, grey and white. An image whose features differ hardly more shows nothing.

    directions: from `position_directions`.
    """
    size, parts = backbone.image_size, list(backbone.taps.values())
    plain = np.stack([np.full((size, size, 3), value, np.uint8) for value in PLAIN])
    known = torch.split(torch.tensor(directions, device=backbone.device), parts, -1)
    found = []
    for part, own in zip(torch.split(backbone(plain).features.float(), parts, -1), known, strict=True):
        unit = normalize(part, dim=-1).flatten(1, 2)
        offset = unit - unit.mean(1, keepdim=True)
        offset = offset - (offset @ own.T) @ own
        found.append(float((offset**2).sum(-1).mean(1).max()))
    return np.array(found, np.float32)
