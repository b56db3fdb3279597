"""Renders the samples: images, keypoints, surfaces, labels.

    python samples/renderer/render.py [KIND …] [--only 3 7] [--out samples] [--draft]

Everything follows from --seed; another version of Mitsuba may change the last bits of an image.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from camera import Camera, framed
from kinds.catalogue import KINDS, Kind
from kinds.others import OTHERS
from mesh import Array, Model
from occluders import occluder
from PIL import Image
from scene import Scene, choose_variant, render
from surroundings import PLACES, Spot
from truth import Truth, known

COUNT = 12
LOOKS_LEFT = (0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0)
OCCLUDED = (4, 9)
SHRINK = 4
LICENCE = "Apache-2.0"


def shot(kind: Kind, number: int, seed: int) -> tuple[Model, Scene, Camera]:
    """The scene of one image of a kind."""
    rng = np.random.default_rng([seed, [k.name for k in KINDS].index(kind.name), number])
    model = kind.module.build(rng, number)
    left = LOOKS_LEFT[number % 12]
    azimuth = (kind.other if left else kind.azimuth) + rng.uniform(-kind.spread, kind.spread)
    size = kind.formats[number % len(kind.formats)]
    fill = rng.uniform(0.56, 0.84)
    roll = rng.uniform(-1, 1) * (11 if kind.name in ("fish", "butterfly") else 6)
    offset = rng.uniform(-0.6, 0.6, 2)
    every = np.concatenate([part.vertices[::7] for part in model.parts])
    camera = framed(every, azimuth, rng.uniform(*kind.elevation), roll, size, fill, offset, aperture=0.035)
    spot = _spot(every, azimuth)
    name = kind.places[(number + number // 3) % len(kind.places)]
    place = PLACES[name](spot, rng)
    blocking = occluder(spot, rng, name) if number in OCCLUDED else []
    return model, Scene(model.parts, [*place.props, *blocking], place.sky, place.haze), camera


def _spot(points: Array, azimuth: float) -> Spot:
    az = np.radians(azimuth)
    radius = float(np.hypot(points[:, 0], points[:, 1]).max())
    ahead, aside = np.array([-np.cos(az), -np.sin(az), 0]), np.array([-np.sin(az), np.cos(az), 0])
    return Spot(ahead, aside, radius, float(np.ptp(points[:, 2])))


def developed(radiance: Array, size: tuple[int, int], brightness: float = 1.0) -> Image.Image:
    """Exposes, bends highlights (a filmic curve), and brings the picture to its size."""
    light = np.minimum(radiance, 12.0)
    luminance = light @ [0.2126, 0.7152, 0.0722]
    key = np.exp(np.log(luminance + 1e-3).mean())
    x = light * (0.27 * brightness / key) ** 0.85
    bent = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)
    srgb = np.where(bent <= 0.0031308, 12.92 * bent, 1.055 * np.clip(bent, 1e-6, 1) ** (1 / 2.4) - 0.055)
    grey = srgb.mean(-1, keepdims=True)
    vivid = np.clip(grey + 1.08 * (srgb - grey), 0, 1)
    full = Image.fromarray(np.round(vivid * 255).astype(np.uint8))
    return full.resize(size, Image.Resampling.LANCZOS)


def entry(truth: Truth, camera: Camera, names: list[str]) -> dict[str, object]:
    """One image's part of keypoints.json."""
    return {
        "size": [camera.width, camera.height],
        "bbox": [round(value, 1) for value in truth.box],
        "points": [None if truth.points[name] is None else list(truth.points[name] or ()) for name in names],
    }


def write_surface(path: Path, truth: Truth) -> None:
    """The surface map as a compressed archive of plain arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    s, t = np.moveaxis(np.round(np.clip(truth.place, 0, 1) * 1023).astype(np.uint16), -1, 0)
    np.savez_compressed(path, part=truth.part, s=s, t=t)


def render_kind(kind: Kind, out: Path, asked: argparse.Namespace) -> None:
    """Renders a kind, or some images of it; keypoints.json is written when all are there."""
    folder = out / kind.name
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict[str, object]] = {}
    names: list[str] = []
    sides: dict[str, list[str]] = {"facing_left": [], "facing_right": []}
    for number in range(COUNT):
        file = f"{kind.name}-{number + 1:02d}.jpg"
        if asked.only and number + 1 not in asked.only:
            continue
        begun = time.perf_counter()
        model, scene, camera = shot(kind, number, asked.seed)
        truth = known(model, scene, camera, kind.module.PARTS, SHRINK)
        names = list(model.keypoints)
        entries[file] = entry(truth, camera, names)
        if kind.azimuth != kind.other:
            sides["facing_left" if LOOKS_LEFT[number % 12] else "facing_right"].append(file)
        write_surface(folder / "surface" / f"{Path(file).stem}.npz", truth)
        if not asked.truth:
            save(scene, camera, number, folder / "images" / file, asked)
        seen = sum(point is not None for point in truth.points.values())
        print(f"{file}: {seen}/{len(names)} keypoints, {time.perf_counter() - begun:.1f} s", flush=True)
    if not asked.only:
        files = list(entries)
        document = {
            "keypoint_names": names,
            "parts": list(kind.module.PARTS),
            "images": entries,
            "pairs": [[a, b] for a in files for b in files if a != b],
            **({"subsets": sides} if kind.azimuth != kind.other else {}),
            "protocol": "spair",
            "source": "rendered by samples/renderer",
            "licence": LICENCE,
        }
        write_json(folder / "keypoints.json", document)


def save(scene: Scene, camera: Camera, seed: int, path: Path, asked: argparse.Namespace) -> None:
    """Renders, develops and writes one picture."""
    samples, oversampling = (8, 1.0) if asked.draft else (asked.samples, 1.25)
    radiance = render(scene, camera, samples, oversampling, seed)
    developed(radiance, (camera.width, camera.height)).save(path, quality=asked.quality, optimize=True)


def write_json(path: Path, document: dict[str, object]) -> None:
    """A line an entry, and a line an image."""
    lines = []
    for key, value in document.items():
        text = json.dumps(value)
        if isinstance(value, dict):
            text = "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "}"
        lines.append(f" {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def render_others(out: Path, asked: argparse.Namespace) -> None:
    """What belongs nowhere, a duplicate, and a file that breaks off."""
    folder = out / "other" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for number, make in enumerate(OTHERS):
        if asked.only and number + 1 not in asked.only:
            continue
        scene, camera = make(np.random.default_rng([asked.seed, 99, number]))
        save(scene, camera, number, folder / f"other-{number + 1:02d}.jpg", asked)
    (folder / "duplicate.jpg").write_bytes((out / "teapot" / "images" / "teapot-05.jpg").read_bytes())
    whole = (out / "car" / "images" / "car-02.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 3])


def write_labels(out: Path) -> None:
    """labels.csv: what every file shows."""
    with (out / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "label"])
        for path in sorted(out.glob("*/images/*.jpg")):
            label = {"duplicate": "teapot", "broken": "broken"}.get(path.stem, path.parent.parent.name)
            writer.writerow([path.name, label])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=[*(kind.name for kind in KINDS), "other"])
    parser.add_argument("--only", nargs="*", type=int, default=[], help="numbers of images, from 1")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=16, help="light paths a pixel")
    parser.add_argument("--quality", type=int, default=92, help="of the JPEGs")
    parser.add_argument("--spread", type=float, help="degrees about the usual side; absent: each kind's own")
    parser.add_argument("--variant", help="of Mitsuba: llvm_ad_rgb or scalar_rgb")
    parser.add_argument("--truth", action="store_true", help="only keypoints and surfaces of the kinds")
    parser.add_argument("--draft", action="store_true", help="small and noisy, for a look")
    asked = parser.parse_args()
    print(f"Mitsuba variant: {choose_variant(asked.variant)}")
    for kind in KINDS:
        if kind.name in asked.kinds:
            seen = kind if asked.spread is None else replace(kind, spread=asked.spread)
            render_kind(seen, asked.out, asked)
    if "other" in asked.kinds:
        render_others(asked.out, asked)
        write_labels(asked.out)


if __name__ == "__main__":
    main()
