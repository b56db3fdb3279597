"""How well the learned saliency finds the object: intersection over union with masks.

    python benchmarks/accuracy/saliency.py [SET …] [--cache FOLDER] [--record]

Sets with drawn masks (border pixels ignored), and the sets of Neural Congealing's project page against the
masks shown there, which are that method's own output: agreement with it, not truth. The saliency of every
image is what its set's atlas has learned, brought to the image's pixels. Beside it the class token's
attention, cut where it suits each set best, which only the masks can tell; and what the product reports of a
set with masks: the atlas' saliency carried into the image. With --record, results go to
benchmarks/results/saliency.md.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import heading
from benchmarks.common.recording import command_line
from benchmarks.common.set_features import Extractor, FeaturedSet, in_processes, maps_of, solve
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors
from congeal.alignment.model import Atlas
from congeal.evaluation.saliency_iou import IGNORED, OBJECT, saliency_iou
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import decode
from congeal.transfer.points import interpolate

RESULTS = ROOT / "benchmarks" / "results" / "saliency.md"
DRAWN = ("pets/Abyssinian", "pets/Bengal", "pets/american_bulldog")
PAPER = tuple(
    f"paper/{name}"
    for name in (
        "butterflies",
        "mug_set",
        "mix_cats",
        "teapots",
        "mix_animals1",
        "video_dog",
        "limitation_multi_objects_n5",
    )
)
THRESHOLD = 0.5
THRESHOLDS = np.arange(1, 50) / 50
HEADINGS = (
    "| set | images | learned, cut at 0.5 | attention, best cut | at | attention, cut at 0.5 "
    "| learned, best cut | at | atlas, carried |\n| --- |" + " ---: |" * 8
)

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]


def mask_of(image: Path) -> Bytes:
    """uint8 [h, w]: OBJECT, IGNORED, or background."""
    folder = image.parent.parent
    drawn = folder / "masks" / f"{image.stem}.png"
    if drawn.exists():
        return decode(drawn.read_bytes())[..., 0]
    shown = decode((folder / "paper_saliency" / f"{image.stem}.png").read_bytes())[..., 0]
    return np.where(shown >= 128, OBJECT, 0).astype(np.uint8)


def learned(featured: FeaturedSet, atlas: Atlas) -> Floats:
    """float32 [n, g, g], the images' saliency as the atlas' discriminant sees it."""
    arrays = featured.given.for_fit
    extent = arrays.pop("extent")
    read, config = read_tensors(ImageArrays(**arrays), extent, "cpu"), SolverConfig()
    basis = Basis(torch.as_tensor(atlas.mean), torch.as_tensor(atlas.projection))
    direction = torch.as_tensor(atlas.discriminant)
    found = Discriminant(direction[:-1], direction[-1])
    prepared = prepare(read, config.features, config.cosaliency, basis=basis, discriminant=found)
    return prepared.saliency.numpy()


def on_pixels(field: Floats, frame: Frame, extent: float) -> Floats:
    """A field [g, g] over the tokens at every pixel of the image, [h, w]."""
    pixels = np.stack(np.meshgrid(np.arange(frame.width), np.arange(frame.height)), -1).reshape(-1, 2)
    at = np.asarray(frame.to_frame(pixels.astype(np.float64))) / extent
    return interpolate(field, np.clip(at, -1, 1)).reshape(frame.height, frame.width)


def iou(values: Floats, mask: Bytes, thresholds: Floats) -> Floats:
    """Intersection over union for each threshold, [t]."""
    counted = mask != IGNORED
    truth, found = mask[counted] == OBJECT, values[counted]
    inside, outside = np.sort(found[truth]), np.sort(found[~truth])
    both = len(inside) - np.searchsorted(inside, thresholds)
    return both / (len(inside) + len(outside) - np.searchsorted(outside, thresholds))


def line(cache: Path | None, name: str) -> str:
    """The row of a set."""
    featured = Extractor(cache).named(name)
    alignment = solve(featured.given)
    extent = featured.given.extent
    masks = [mask_of(path) for path in featured.files]
    levels = np.append(THRESHOLDS, THRESHOLD)
    shares = []
    for fields in (learned(featured, alignment.atlas), featured.given.saliency.astype(np.float32)):
        each = [
            iou(on_pixels(field, image.frame, extent), mask, levels)
            for field, image, mask in zip(fields, featured.images, masks, strict=True)
        ]
        shares.append(np.mean(each, 0))
    ours, attention = shares
    maps = maps_of(alignment, featured.images)
    carried = [
        saliency_iou(alignment.atlas.saliency, one, mask) for one, mask in zip(maps, masks, strict=True)
    ]
    best, other = int(ours[:-1].argmax()), int(attention[:-1].argmax())
    return (
        f"| {featured.name} | {len(featured)} | **{ours[-1]:.3f}** | {attention[other]:.3f} | "
        f"{THRESHOLDS[other]:.2f} | {attention[-1]:.3f} | {ours[best]:.3f} | {THRESHOLDS[best]:.2f} | "
        f"{np.mean(carried):.3f} |"
    )


def main() -> None:
    asked = command_line(__doc__, RESULTS, [*DRAWN, *PAPER]).parse_args()
    lines = [
        *heading("Saliency against masks", "accuracy/saliency.py"),
        "Mean intersection over union of the images. The sets `pets/…` have drawn masks; those of `paper/…` "
        "are another method's output. A best cut is chosen by the masks themselves, one for each set.",
        "",
        HEADINGS,
    ]
    print("\n".join(lines), flush=True)
    for row in in_processes(functools.partial(line, asked.cache), asked.sets):
        lines.append(row)
        print(row, flush=True)
    if asked.record:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
