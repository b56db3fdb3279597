"""Tiny annotated sets in every form that can be read, with the same truth in each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sample_runs import encoded, picture
from scipy.io import savemat

NAMES = ("centre", "left side", "right side", "top")
SIZE = (80, 60)


def truth(seed: int) -> np.ndarray:
    """Where the keypoints are in `picture(0, seed)`: the disc's centre and three points of its edge."""
    centre = np.random.default_rng([0, seed]).uniform(0.35, 0.45, 2) * 80
    return np.round(centre + np.array([[0, 0], [-18, 0], [18, 0], [0, -18]]), 3)


def box(seed: int) -> list[float]:
    """The disc's box: x0, y0, x1, y1."""
    x, y = truth(seed)[0]
    return [round(x - 20, 3), round(y - 20, 3), round(x + 20, 3), round(y + 20, 3)]


def hidden(seed: int) -> set[int]:
    """Keypoints that are not visible: the right side, in every third image."""
    return {2} if seed % 3 == 2 else set()


def places(seed: int) -> list[list[float] | None]:
    """The keypoints, null where hidden."""
    return [None if i in hidden(seed) else [float(x), float(y)] for i, (x, y) in enumerate(truth(seed))]


def mask(seed: int) -> np.ndarray:
    """255 on the disc, 128 on a ring around it, 0 elsewhere."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    far = np.hypot(x - truth(seed)[0, 0], y - truth(seed)[0, 1])
    return np.where(far < 20, 255, np.where(far < 22, 128, 0)).astype(np.uint8)


def document(count: int = 5, **more: Any) -> dict[str, Any]:
    """What keypoints.json says."""
    images = {
        f"{seed}.png": {"size": list(SIZE), "bbox": box(seed), "points": places(seed)}
        for seed in range(count)
    }
    return {"keypoint_names": list(NAMES), "images": images, "pairs": []} | more


def keypoints_json(folder: Path, count: int = 5, masks: bool = False, **more: Any) -> Path:
    """Congeal's own form."""
    _pictures(folder / "images", count)
    (folder / "keypoints.json").write_text(json.dumps(document(count, **more)))
    if masks:
        (folder / "masks").mkdir()
        for seed in range(count):
            (folder / "masks" / f"{seed}.png").write_bytes(encoded(mask(seed)))
    return folder


def spair(folder: Path, count: int = 5, kind: str = "cat") -> Path:
    """A download of SPair-71k with two categories; the pairs are each image with the next, both ways."""
    _pictures(folder / "JPEGImages" / kind, count)
    (folder / "ImageAnnotation" / "boat").mkdir(parents=True)
    for seed in range(count):
        entry = {
            "image_width": SIZE[0],
            "image_height": SIZE[1],
            "bndbox": box(seed),
            "kps": {str(i): place for i, place in enumerate(places(seed))},
        }
        _json(folder / "ImageAnnotation" / kind / f"{seed}.json", entry)
    for number, (one, other) in enumerate([(0, 1), (1, 0), (1, 2), (2, 1)]):
        pair = {"src_imname": f"{one}.png", "trg_imname": f"{other}.png", "category": kind}
        _json(folder / "PairAnnotation" / "test" / f"{number:06}-{one}-{other}:{kind}.json", pair)
    _json(folder / "PairAnnotation" / "test" / "000009-x-y:wildcat.json", {})
    return folder


def cub(folder: Path, count: int = 5) -> Path:
    """A download of CUB-200-2011 with two classes, the second one without images."""
    kind = "001.Disc_Bird"
    _pictures(folder / "images" / kind, count)
    (folder / "parts").mkdir()
    listed = [f"{seed + 1} {kind}/{seed}.png" for seed in range(count)] + ["99 002.Other_Bird/0.png"]
    (folder / "images.txt").write_text("\n".join(listed) + "\n")
    parts = [f"{i + 1} {name}" for i, name in enumerate(NAMES)]
    (folder / "parts" / "parts.txt").write_text("\n".join(parts) + "\n")
    boxes, rows = [], []
    for seed in range(count):
        x0, y0, x1, y1 = box(seed)
        boxes.append(f"{seed + 1} {x0} {y0} {x1 - x0} {y1 - y0}")
        for i, place in enumerate(places(seed)):
            x, y = place or (0.0, 0.0)
            rows.append(f"{seed + 1} {i + 1} {x} {y} {int(place is not None)}")
    (folder / "bounding_boxes.txt").write_text("\n".join(boxes) + "\n")
    (folder / "parts" / "part_locs.txt").write_text("\n".join(rows) + "\n")
    return folder


def willow(folder: Path, count: int = 5) -> Path:
    """A download of PF-WILLOW with two classes; all keypoints are visible, and counted from one."""
    for kind in ("disc(S)", "other(M)"):
        _pictures(folder / kind, count)
        for seed in range(count):
            savemat(folder / kind / f"{seed}.mat", {"pts_coord": truth(seed).T + 1, "note": "by hand"})
    return folder


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for seed in range(count):
        (folder / f"{seed}.png").write_bytes(picture(0, seed, SIZE))


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
