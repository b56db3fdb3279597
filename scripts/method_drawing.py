"""How the pictures of docs/method.md are drawn: rows of pictures, grids over them, small PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from method_steps import CONFIG, ROOT
from PIL import Image

from congeal.alignment.poses.pairwise_matching import Matches, agreeing

mpl.use("Agg")
import matplotlib.pyplot as plt

OUT = ROOT / "docs" / "pictures" / "method"
SIZE = 112  # pixels of a picture in a figure
MOST_BYTES = 100_000
GREEN, ORANGE, GREY, BLUE = "#1a9850", "#e6550d", "#9a9a9a", "#2b6cb0"
FIGURES: dict[str, Callable[[], Any]] = {}


def figure(function: Callable[[], Any]) -> Callable[[], Any]:
    """Register a figure under the name of its function."""
    FIGURES[function.__name__.replace("_", "-")] = function
    return function


def save(drawn: Any, name: str, folder: Path = OUT) -> Path:
    """A figure as a small PNG."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, dpi=100, facecolor="white")
    plt.close(drawn)
    picture = Image.open(buffer).convert("RGB")
    folder.mkdir(parents=True, exist_ok=True)
    for colours in (256, 192, 128, 96, 64, 48, 32):
        small = io.BytesIO()
        picture.quantize(colours, Image.Quantize.MEDIANCUT, kmeans=4).save(small, "PNG", optimize=True)
        if len(small.getvalue()) < MOST_BYTES:
            break
    path = folder / f"{name}.png"
    path.write_bytes(small.getvalue())
    return path


def table(rows: list[tuple[str, list[Any]]], *, width: float = 1.25, **options: Any) -> tuple[Any, Any]:
    """Rows of pictures with a label before each; a picture is [h, w], [h, w, 3] or None."""
    columns = max(len(pictures) for _, pictures in rows)
    drawn, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(0.95 + width * columns, width * len(rows) + 0.1),
        squeeze=False,
        gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )
    drawn.subplots_adjust(left=0.95 / (0.95 + width * columns), right=0.995, top=0.99, bottom=0.01)
    for (label, pictures), line in zip(rows, axes, strict=True):
        for axis, picture in zip(line, [*pictures, *[None] * (columns - len(pictures))], strict=True):
            bare(axis)
            if picture is not None:
                axis.imshow(picture, **options)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8.5, labelpad=6)
    return drawn, axes


def bare(axis: Any) -> None:
    """Without ticks and frame."""
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_visible(False)


def colours(features: torch.Tensor, count: int) -> np.ndarray:
    """Three leading components of features [n, g, g, c] of all images as colours [count, g, g, 3]."""
    flat = features.flatten(0, 2).double()
    flat = flat - flat.mean(0)
    _, vectors = torch.linalg.eigh(flat.T @ flat)
    axes = vectors.flip(1)[:, :3]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    score = flat @ axes
    shown: np.ndarray = torch.sigmoid(1.5 * score / score.std(0)).view(*features.shape[:3], 3)[:count].numpy()
    return shown


def small(pictures: np.ndarray, size: int = SIZE) -> list[np.ndarray]:
    """Pictures at the size in which they are shown."""
    return [
        np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.LANCZOS)) for one in pictures
    ]


def pair(axis: Any, images: list[np.ndarray], matches: Matches, a: complex, b: complex) -> None:
    """Two pictures side by side, with lines between matches."""
    side = images[0].shape[0]
    asked = CONFIG.matching
    bare(axis)
    axis.imshow(np.concatenate([images[0], np.full((side, 6, 3), 255, np.uint8), images[1]], 1))
    say = agreeing(matches, torch.tensor([[a]]), torch.tensor([[b]]), asked.tolerance, asked)[0, 0]
    order = say.argsort()
    for at in order.tolist():
        weight = float(matches.weight[0, at])
        if weight <= 0:
            continue
        share = float(say[at]) / weight
        one, other = complex(matches.first[0, at]), complex(matches.second[0, at])
        xs = [(one.real + 1) * side / 2, (other.real + 1) * side / 2 + side + 6]
        ys = [(one.imag + 1) * side / 2, (other.imag + 1) * side / 2]
        axis.plot(xs, ys, color=GREEN if share > 0.5 else ORANGE, lw=0.6, alpha=0.25 + 0.6 * weight)


def faded(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Pale, for what is drawn over them."""
    return [np.uint8(130 + 0.49 * one) for one in pictures]


def net(axis: Any, places: np.ndarray, side: int, colour: str, every: int) -> None:
    """The atlas' grid as a map [r, r, 2] lays it over a picture."""
    pixels = (places + 1) * side / 2 - 0.5
    for line in (*pixels[::every], *pixels.transpose(1, 0, 2)[::every]):
        axis.plot(line[:, 0], line[:, 1], color=colour, lw=0.7)
    axis.set_xlim(-0.5, side - 0.5)
    axis.set_ylim(side - 0.5, -0.5)


def painted(image: np.ndarray, backward: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """A picture with the atlas' coordinates as colours where it is known: u is red, v is blue."""
    side = image.shape[0]
    uv = np.clip((backward + 1) / 2, 0, 1)
    tint = np.stack([uv[..., 0], 0.5 * np.ones_like(uv[..., 0]), uv[..., 1]], -1)

    def at_size(field: np.ndarray) -> np.ndarray:
        layers = torch.as_tensor(np.float32(field)).permute(2, 0, 1)[None]
        return (
            torch.nn.functional.interpolate(layers, size=(side, side), mode="bilinear")[0]
            .permute(1, 2, 0)
            .numpy()
        )

    share = 0.85 * np.clip(at_size(confidence[..., None]) / 0.5, 0, 1)
    return np.clip((1 - share) * image / 255 + share * at_size(tint), 0, 1)
