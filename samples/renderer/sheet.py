"""One picture of the samples, for the documentation.

python samples/renderer/sheet.py docs/pictures/samples.jpg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from kinds.catalogue import KINDS
from PIL import Image, ImageOps

SAMPLES = Path(__file__).resolve().parent.parent
TILE, GAP = (196, 196), 6


def tile(file: Path) -> Image.Image:
    """The picture cut to the shape of a tile, about the thing."""
    entry = json.loads((file.parent.parent / "keypoints.json").read_text())["images"][file.name]
    (width, height), (x0, y0, x1, y1) = entry["size"], entry["bbox"]
    # Cut away what is far from the thing; `centering` is where the cut-away parts divide.
    side = min(width, height)
    away = [
        np.clip(((a + b) / 2 - side / 2) / max(size - side, 1), 0, 1)
        for a, b, size in ((x0, x1, width), (y0, y1, height))
    ]
    with Image.open(file) as picture:
        return ImageOps.fit(
            picture.convert("RGB"), TILE, Image.Resampling.LANCZOS, centering=(away[0], away[1])
        )


def sheet(numbers: list[int]) -> Image.Image:
    """A row a kind, the pictures of these numbers in it."""
    rows = [[SAMPLES / kind.name / "images" / f"{kind.name}-{n:02d}.jpg" for n in numbers] for kind in KINDS]
    width, height = TILE[0] + GAP, TILE[1] + GAP
    whole = Image.new("RGB", (len(numbers) * width - GAP, len(rows) * height - GAP), "white")
    for (row, column), file in np.ndenumerate(np.array(rows, object)):
        whole.paste(tile(file), (column * width, row * height))
    return whole


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--numbers", nargs="*", type=int, default=[2, 3, 5, 8, 9, 11])
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(asked.numbers).save(asked.out, quality=80, optimize=True)


if __name__ == "__main__":
    main()
