"""Things cut out of pictures by their masks, and laid together on photographs of something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.common.annotated_sets import ROOT, shared
from benchmarks.common.set_features import KINDS
from congeal.imaging.decoding import decode

SINGLES = {"samples": 8, "pets": 14}  # pictures of one thing in a set
SOURCES = {"samples": 4, "pets": 8}  # others, whose things are laid together
SIZE = (400, 300)
Pixels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]


class Cut(NamedTuple):
    """A thing cut out of its picture: RGBA uint8 [h, w, 4]; its keypoints [k, 2] there, NaN where hidden."""

    pixels: Pixels
    points: Doubles


class Truth(NamedTuple):
    """A thing in a picture: where it is seen, bool [h, w]; its keypoints [k, 2], pixels."""

    seen: npt.NDArray[np.bool_]
    points: Doubles


class Composed(NamedTuple):
    """A picture, uint8 [h, w, 3], and what it shows."""

    pixels: Pixels
    truths: list[Truth]
    what: str
    who: tuple[int, ...] = ()  # which of the things that are laid together each of truths is


def folder_of(kind: str) -> Path:
    return ROOT / kind if kind in KINDS else shared() / "data" / kind


def cut_out(folder: Path, name: str, points: Doubles) -> Cut:
    """The thing of a picture, as large as it is there."""
    picture = decode((folder / "images" / name).read_bytes())
    height, width = picture.shape[:2]
    surface = folder / "surface" / f"{Path(name).stem}.npz"
    if surface.exists():
        shown = (np.load(surface)["part"] > 0).astype(np.uint8) * 255
    else:
        shown = np.where(np.asarray(Image.open(folder / "masks" / f"{Path(name).stem}.png")) == 255, 255, 0)
    mask = np.asarray(
        Image.fromarray(shown.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    )
    rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
    top, left = rows[0], columns[0]
    box = slice(top, rows[-1] + 1), slice(left, columns[-1] + 1)
    return Cut(np.dstack([picture, mask])[box], points - [left, top])


def laid(cut: Cut, size: float, angle: float, at: tuple[float, float]) -> tuple[Image.Image, Doubles]:
    """A thing on an empty canvas, its longer side so many pixels, turned by degrees; its keypoints there."""
    height, width = cut.pixels.shape[:2]
    scale = size / max(height, width)
    turn = np.exp(-1j * np.deg2rad(angle)) * scale
    middle = complex((width - 1) / 2, (height - 1) / 2)
    back = 1 / turn
    a, b = back.real, -back.imag
    shift = np.array([middle.real, middle.imag]) - np.array([[a, b], [-b, a]]) @ np.array(at)
    data = (a, b, shift[0] + 0.5 - 0.5 * (a + b), -b, a, shift[1] + 0.5 - 0.5 * (a - b))
    whole = Image.fromarray(cut.pixels).transform(
        SIZE, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC
    )
    moved = (cut.points @ np.array([1, 1j]) - middle) * turn + complex(*at)
    return whole, np.stack([moved.real, moved.imag], 1)


def composed(
    background: Pixels, cuts: list[Cut], touching: bool, random: np.random.Generator
) -> Composed | None:
    """Things laid on a picture of something else; None if no place for them was found."""
    width, height = SIZE
    canvas = Image.fromarray(background).resize(SIZE).convert("RGB")
    usual = (0.5 if len(cuts) == 2 else 0.36) * width
    seen: list[npt.NDArray[np.bool_]] = []
    points: list[Doubles] = []
    for cut in cuts:
        for _ in range(400):
            size = usual * random.uniform(0.7, 1.3)
            place = random.uniform(0.15, 0.85) * width, random.uniform(0.2, 0.8) * height
            layer, marks = laid(cut, size, float(random.uniform(-10, 10)), place)
            here = np.asarray(layer)[..., 3] > 127
            whole = size / max(cut.pixels.shape[:2])
            inside = here.sum() / max(1.0, (cut.pixels[..., 3] > 127).sum() * whole**2)
            others = np.any(seen, axis=0) if seen else np.zeros_like(here)
            near = np.asarray(Image.fromarray(others).convert("L").resize(SIZE)) > 0
            wide = grown(near, 6)
            overlap = (here & others).sum() / max(1, here.sum())
            apart = not (here & wide).any()
            fits = (0.02 < overlap < 0.15) if touching and seen else apart
            if inside > 0.95 and (fits or not seen):
                break
        else:
            return None
        canvas.paste(layer, (0, 0), layer)
        seen = [one & ~here for one in seen] + [here]
        points = [hidden(one, here) for one in points] + [marks]
    truths = [Truth(*one) for one in zip(seen, points, strict=True)]
    return Composed(np.asarray(canvas), truths, f"{len(cuts)} {'touching' if touching else 'apart'}")


def hidden(points: Doubles, by: npt.NDArray[np.bool_]) -> Doubles:
    """Keypoints without those that something laid on top hides."""
    at = np.nan_to_num(points, nan=-1).round().astype(int)
    inside = ((at >= 0) & (at < [by.shape[1], by.shape[0]])).all(1)
    covered = np.zeros(len(points), bool)
    covered[inside] = by[at[inside, 1], at[inside, 0]]
    return np.where(covered[:, None], np.nan, points)


def grown(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """A mask and what is so many pixels from it."""
    wide = torch.nn.functional.max_pool2d(torch.as_tensor(mask)[None, None].float(), 2 * by + 1, 1, by)
    return wide[0, 0].numpy() > 0


def pictures_of(kind: str) -> tuple[list[tuple[Pixels, Doubles]], list[Composed]]:
    """Pictures of one thing with their keypoints, and such as show several."""
    folder, family = folder_of(kind), kind.split("/", maxsplit=1)[0]
    document = json.loads((folder / "keypoints.json").read_text())
    names = sorted(document["images"])
    count = max(1, len(document["keypoint_names"]))
    marks = {
        name: np.array(
            [
                [np.nan] * 2 if point is None else point
                for point in document["images"][name].get("points") or []
            ]
            or [[np.nan] * 2] * count,
            np.float64,
        )
        for name in names
    }
    singles, sources = names[: SINGLES[family]], names[SINGLES[family] :][: SOURCES[family]]
    cuts = [cut_out(folder, name, marks[name]) for name in sources]
    random = np.random.default_rng([len(kind), *kind.encode()])
    others = sorted((shared() / "data" / "unlabelled" / "images").iterdir())
    made: list[Composed] = []
    n = len(cuts)
    for which, touching in (((0, 1), False), ((2, 3), False), ((0, n - 2), True), ((1, n - 2, n - 1), False)):
        for _ in range(20):
            background = decode(others[int(random.integers(len(others)))].read_bytes())
            one = composed(background, [cuts[at] for at in which], touching, random)
            if one is not None:
                made.append(one._replace(who=which))
                break
    read = [(decode((folder / "images" / name).read_bytes()), marks[name]) for name in singles]
    return read, made
