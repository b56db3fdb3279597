"""The two drawings of docs/architecture.md, as SVG.

    python scripts/architecture_drawings.py                              # both
    python scripts/architecture_drawings.py --measure SOURCE DESTINATION # sizes of a finished run first

The packages come from the import contracts in pyproject.toml and the first lines of the packages' docstrings,
so that the drawing is what import-linter holds. The sizes come from the commit markers of a run, and are kept
in docs/pictures/architecture/sizes.json.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import textwrap
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "pictures" / "architecture"
SIZES = OUT / "sizes.json"
WIDTH, PAD, ROW, TALL, GAP, STRIP = 1000, 14, 27, 54, 5, 158
INK, PALE, LINE = "#1f2937", "#f8fafc", "#94a3b8"
TINTS = {"flows": "#fde68a", "tasks": "#bfdbfe", "congeal": "#bbf7d0", "infra": "#e5e7eb"}
FONT = "font-family='DejaVu Sans, Verdana, Arial, sans-serif'"


def text(x: float, y: float, words: str, size: float = 12, **style: str) -> str:
    """A line of text."""
    more = "".join(f" {name.replace('_', '-')}='{value}'" for name, value in style.items())
    return f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' fill='{INK}'{more}>{escape(words)}</text>"


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    """A rectangle."""
    place = f"x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}'"
    return f"<rect {place} rx='4' fill='{fill}' stroke='{LINE}'/>"


def drawing(parts: Sequence[str], height: float, title: str) -> str:
    """The whole SVG, on white paper."""
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height:g}' width='{WIDTH}' "
        f"height='{height:g}' role='img' {FONT}><title>{escape(title)}</title>"
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' "
        f"orient='auto'><path d='M0 0L8 4L0 8z' fill='{INK}'/></marker></defs>"
        f"<rect width='{WIDTH}' height='{height:g}' fill='white'/>"
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    """From one place to another."""
    return (
        f"<path d='M{x0:g} {y0:g}L{x1:g} {y1:g}' stroke='{INK}' stroke-width='1.3' marker-end='url(#tip)'/>"
    )


def about(module: str) -> str:
    """The first sentence of a package's or module's docstring."""
    path = ROOT / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    told = ast.get_docstring(ast.parse(source.read_text())) or ""
    return re.split(r"(?<=\w)\.(?:\s|$)", told.partition("\n\n")[0].replace("\n", " "))[0]


def contracts() -> dict[str, Any]:
    """The import contracts: of the four floors, and of the packages in a container, by its name."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layered = [contract for contract in listed if contract["type"] == "layers"]
    (forbidden,) = (contract for contract in listed if contract["type"] == "forbidden")
    found = {name: contract["layers"] for contract in layered for name in contract.get("containers", [""])}
    return {"layers": found, "apart": {name.removeprefix("congeal.") for name in forbidden["source_modules"]}}


def packages() -> str:
    """The floors from top to bottom; a row imports only from the rows below it."""
    known = contracts()
    layers, apart = known["layers"], known["apart"]
    parts, y = (
        [text(PAD, 22, "Each row imports only from rows below it. ● may also import from infra.", 12)],
        34.0,
    )
    for floor in layers[""]:
        if floor not in TINTS:
            continue
        rows = [
            [name.strip() for name in re.split(r"[|:]", layer) if not name.strip().startswith("_")]
            for layer in layers.get(floor, [])
        ]
        rows = [row for row in rows if row]
        inner = strip_lines(layers.get("congeal.alignment", [])) if floor == "congeal" else []
        tall = sum(row_height(floor, row) + GAP for row in rows)
        height = 30 + tall + len(inner) * (ROW + GAP)
        parts.append(box(PAD, y, WIDTH - 2 * PAD, height, TINTS[floor]))
        parts.append(text(PAD + 10, y + 19, f"{floor}/", 14, font_weight="bold"))
        parts.append(text(PAD + 95, y + 19, about(floor), 11))
        y += 29
        for row in rows:
            width, height = box_width(row), row_height(floor, row)
            for place, name in enumerate(row):
                x = 2 * PAD + place * (width + GAP)
                mark = " ●" if floor == "congeal" and name not in apart else ""
                parts.append(box(x, y, width, height, PALE))
                parts.append(text(x + 8, y + 18, name + mark, 12, font_weight="bold"))
                if len(row) == 1:
                    parts.append(text(x + 130, y + 18, about(f"{floor}.{name}"), 11))
                    continue
                lines = told(floor, name, width)
                parts += [text(x + 8, y + 33 + 14 * n, line, 11) for n, line in enumerate(lines)]
            y += height + GAP
            if inner and "alignment" in row:
                y = strip(parts, y, inner)
        y += 12
    return drawing(parts, y, "The packages of congeal, from top to bottom")


def box_width(row: Sequence[str]) -> float:
    """Of each box of a row."""
    return (WIDTH - 4 * PAD - GAP * (len(row) - 1)) / len(row)


def row_height(floor: str, row: Sequence[str]) -> float:
    """As much as the box with most lines needs."""
    if len(row) == 1:
        return ROW
    most = max(len(told(floor, name, box_width(row))) for name in row)
    return TALL + 14 * max(0, most - 2)


def told(floor: str, name: str, width: float) -> list[str]:
    """What a box says, in lines."""
    return textwrap.wrap(about(f"{floor}.{name}"), int(width / 6.4))


def strip_lines(names: Sequence[str]) -> list[list[str]]:
    """The packages inside alignment, in as many lines as they need."""
    lines: list[list[str]] = [[]]
    room = WIDTH - 2 * PAD - STRIP
    for name in names:
        if sum(map(chip, lines[-1])) + chip(name) > room:
            lines.append([])
        lines[-1].append(name)
    return lines


def chip(name: str) -> float:
    """How much room a name takes, with the arrow behind it."""
    return 41 + 7.2 * len(name)


def strip(parts: list[str], y: float, lines: Sequence[Sequence[str]]) -> float:
    """Draw the packages inside alignment, from left to right."""
    parts.append(text(2 * PAD + 8, y + 17, "alignment, inside:", 11))
    for number, names in enumerate(lines):
        x = float(STRIP)
        for place, name in enumerate(names):
            width = chip(name) - 19
            parts += [box(x, y, width, ROW - 4, "white"), text(x + 10, y + 16, name, 11)]
            if (number, place + 1) != (len(lines) - 1, len(names)):
                parts.append(arrow(x + width + 2, y + ROW / 2 - 2, x + width + 16, y + ROW / 2 - 2))
            x += chip(name)
        y += ROW + GAP
    return y


PARTS = {  # outputs of a unit, by the start of their path: stage, what it is, per
    "catalog": (("", "tables of images", "image"),),
    "features": (
        ("features.zarr/features", "features, as it is and mirrored", "image"),
        ("features.zarr/saliency", "attention, likewise", "image"),
        ("features.zarr/embedding", "embedding", "image"),
        ("features.zarr/preview", "preview squares, 192 pixels a side", "image"),
        ("features.zarr/", "other", "image"),
        ("position.zarr", "position directions of the backbone", "run"),
    ),
    "clusters": (("", "tables of clusters and members", "image"),),
    "atlases": (
        ("atlas.zarr/maps/", "maps both ways, and their confidence", "image"),
        ("atlas.zarr/atlas/exemplars/", "tokens of up to 16 members", "cluster"),
        ("atlas.zarr/atlas/", "atlas: features, saliency, basis", "cluster"),
        ("previews/", "pictures", "cluster"),
        ("", "poses and figures", "image"),
    ),
    "index": (
        ("correspondences", "correspondences: lattice × images", "image"),
        ("", "images, alignments, clusters, dictionary", "image"),
    ),
}


def measured(source: Path, destination: Path) -> dict[str, Any]:
    """Bytes of every kind of output in a finished run, and how many images, clusters and units there are."""
    totals: Counter[str] = Counter()
    units: Counter[str] = Counter()
    for marker in sorted((destination / "stages").rglob("_commit.json")):
        stage = marker.relative_to(destination / "stages").parts[0]
        units[stage] += 1
        for name, facts in json.loads(marker.read_text())["outputs"].items():
            what = next(kind for start, kind, _ in PARTS[stage] if name.startswith(start))
            totals[f"{stage}: {what}"] += facts["bytes"]
    images = [path for path in source.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    return {
        "images": len(images),
        "source bytes": sum(path.stat().st_size for path in images),
        "clusters": units["atlases"],
        "units": dict(sorted(units.items())),
        "bytes": dict(sorted(totals.items())),
    }


def amount(count: float) -> str:
    """Bytes in words."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 100 * size else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"


READS = {
    "catalog": "every image file (first reading): SHA-256, header, decoded as far as needed",
    "features": "image files (second and last reading), a shard's worth: 64 MiB of features",
    "clusters": "embeddings of all images",
    "atlases": "features and preview squares of a cluster's images",
    "index": "maps and poses of a group of clusters; the catalog",
}


def data(sizes: dict[str, Any]) -> str:
    """The stages from top to bottom: what a unit reads, what it writes, and how much of it."""
    images, clusters = sizes["images"], sizes["clusters"]
    parts = [box(PAD, 12, 210, 44, "#fef3c7"), text(PAD + 10, 31, "source", 13, font_weight="bold")]
    parts.append(text(PAD + 10, 48, f"{amount(sizes['source bytes'] / images)} an image", 11))
    y = 56.0
    for stage, kinds in PARTS.items():
        rows = [
            (what, per, sizes["bytes"][f"{stage}: {what}"])
            for _, what, per in kinds
            if f"{stage}: {what}" in sizes["bytes"] and what != "other"
        ]
        units = sizes["units"][stage]
        height = max(48, 14 + 17 * len(rows) + 14)
        parts.append(arrow(PAD + 105, y, PAD + 105, y + 18))
        y += 20
        parts += [
            box(PAD, y, 210, height, TINTS["tasks"]),
            text(PAD + 10, y + 19, stage, 13, font_weight="bold"),
        ]
        parts.append(text(PAD + 10, y + 36, f"{units} unit{'s' if units > 1 else ''}", 11))
        parts.append(box(PAD + 225, y, WIDTH - 2 * PAD - 225, height, PALE))
        parts.append(text(PAD + 237, y + 16, f"reads {READS[stage]}", 11, font_style="italic"))
        for number, (what, per, total) in enumerate(rows):
            line = y + 33 + 17 * number
            count = {"image": images, "cluster": clusters, "run": 1}[per]
            parts.append(text(PAD + 237, line, f"writes {what}", 11))
            each = {"image": "an image", "cluster": "a cluster", "run": "a run"}[per]
            size = f"{amount(total / count)} {each}"
            parts.append(text(WIDTH - 2 * PAD - 8, line, size, 11, text_anchor="end"))
        y += height
    parts.append(arrow(PAD + 105, y, PAD + 105, y + 18))
    y += 20
    parts += [box(PAD, y, 210, 40, "#fef3c7"), text(PAD + 10, y + 17, "published", 13, font_weight="bold")]
    parts.append(text(PAD + 10, y + 32, "one pointer, replaced at the end", 10.5))
    title = f"The data of a run over {images} images in {clusters} clusters"
    return drawing(parts, y + 54, title)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", nargs=2, type=Path, metavar=("SOURCE", "DESTINATION"))
    asked = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if asked.measure:
        SIZES.write_text(json.dumps(measured(*asked.measure), indent=1) + "\n")
    (OUT / "packages.svg").write_text(packages())
    (OUT / "data.svg").write_text(data(json.loads(SIZES.read_text())))


if __name__ == "__main__":
    main()
