"""The sets of Neural Congealing's project page, aligned by congeal, beside what is shown there.

    python benchmarks/neural/side_by_side.py FOLDER [SET …] [--cache FOLDER]

Writes a PNG a set into FOLDER. Four rows: the images; in the atlas' place, by congeal; the same, with what
is not salient dimmed; and the images as the project page shows them, aligned and cut out, where it does. The
last picture of every row is the average of the row. Nothing is recorded: they are there to be looked at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.accuracy.saliency import PAPER
from benchmarks.common.annotated_sets import shared
from benchmarks.common.set_features import Extractor, FeaturedSet, solve
from congeal.alignment.model import Alignment
from congeal.imaging.decoding import decode, square
from congeal.imaging.visualization import average_image, contact_sheet, warped

SIDE = 144
DIM = 0.25  # of full brightness, where nothing is salient
Pixels = npt.NDArray[np.uint8]


def aligned_row(images: Pixels, found: Alignment) -> list[Pixels]:
    """The images in the atlas' place, and the average of those that belong."""
    places = zip(images, found.forward, strict=True)
    row = [warped(image, forward, SIDE) for image, forward in places]
    return [*row, average_image(images, found.forward, (~found.outlier).astype(np.float32), SIDE)]


def dimmed(picture: Pixels, saliency: npt.NDArray[np.floating]) -> Pixels:
    """A picture of the atlas' square with what is not salient dimmed; saliency: [r, r]."""
    light = Image.fromarray(np.asarray(saliency, np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    brightness = DIM + (1 - DIM) * np.clip(np.asarray(light), 0, 1)
    return np.asarray(np.round(picture * brightness[..., None]), np.uint8)


def shown_row(name: str) -> list[Pixels]:
    """What the project page shows, and its average; nothing where it shows nothing."""
    files = sorted((shared() / "data" / name / "paper_aligned").glob("*.png"))
    row = [square(decode(file.read_bytes()), SIDE) for file in files]
    return [*row, np.mean(row, 0).round().astype(np.uint8)] if row else []


def sheet(featured: FeaturedSet, extractor: Extractor) -> tuple[Pixels, Alignment]:
    """The picture of a set, and its alignment."""
    images = np.stack([extractor.read(file) for file in featured.files])
    found = solve(featured.given)
    small = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE))) for image in images]
    before = [*small, np.mean(small, 0).round().astype(np.uint8)]
    after = aligned_row(images, found)
    rows = [*before, *after, *(dimmed(one, found.atlas.saliency) for one in after), *shown_row(featured.name)]
    return contact_sheet(rows, len(images) + 1), found


def main() -> None:
    """Draw every set asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", default=list(PAPER))
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    extractor = Extractor(asked.cache)
    for name in asked.sets:
        picture, found = sheet(extractor.named(name), extractor)
        path = asked.folder / f"{name.replace('/', '_')}.png"
        Image.fromarray(picture).save(path)
        print(f"{path}: {found.status}, {found.atlas.deformation}, {int(found.outlier.sum())} outliers")


if __name__ == "__main__":
    main()
