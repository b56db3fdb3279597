"""Members of a small made-up cluster, for tests of a report's page: pictures, and maps that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from report_encoding import Pixels

from congeal.geometry.frames import Frame, cell_centres
from congeal.geometry.warps import Warps, flip, to_atlas, to_oriented
from congeal.transfer.points import Maps

CELL = 192
RESOLUTION = 32


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
