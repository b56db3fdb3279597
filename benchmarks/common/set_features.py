"""What `congeal.align` is given for a set: features as a run makes them, and the keypoints to judge it by."""

from __future__ import annotations

import functools
import hashlib
import io
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common.annotated_sets import ROOT, SETS, WEIGHTS, folder_of, shared
from congeal.alignment.config import SolverConfig
from congeal.evaluation.datasets import load
from congeal.evaluation.pck import Annotated, Assured, Doubles, Outcomes, carry
from congeal.evaluation.protocols import Crop, Protocol, cut, named, pairs_of, views
from congeal.geometry.frames import Frame, cell_centres
from congeal.imaging.decoding import decode, square
from congeal.settings import Settings, load_settings
from tasks.atlases.cluster_members import joined
from tasks.features.run_backbone import load_weights, locate

KINDS = tuple(
    f"samples/{kind}" for kind in ("butterfly", "car", "chair", "dog", "fish", "lamp", "mug", "teapot")
)
EVERY = (*SETS, *KINDS)
BIRDS = ("pf_willow/duck_S", "cub/001", "cub/002", "cub/003")
CARS = ("pf_willow/car_S", "samples/car")
DOGS = ("dogs/all_dogs", "samples/dog")
BOTTLES = ("pf_willow/winebottle_wC", "pf_willow/winebottle_woC")
WORKERS = 2
# Large tensors come and go; glibc would give their memory back and fetch it anew each time.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
Pixels = npt.NDArray[np.uint8]
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_processes(function: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """The answers in the items' order, from two processes of one thread each."""
    spawn = multiprocessing.get_context("spawn")
    with (
        patch.dict(os.environ, KEEP_MEMORY),
        ProcessPoolExecutor(WORKERS, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        yield from pool.map(function, items)


def kin(name: str) -> tuple[str, ...]:
    """The sets of EVERY that show the same kind of thing, the set itself among them."""
    return next((family for family in (BIRDS, CARS, DOGS, BOTTLES) if name in family), (name,))


def place_of(name: str) -> Path:
    """The folder of one of EVERY, or of any other annotated set in the shared data."""
    if name in SETS:
        return folder_of(name)
    return ROOT / name if name in KINDS else shared() / "data" / name


@dataclass(frozen=True)
class Given:
    """The arrays of n images: arguments of `congeal.align`.

    features, mirrored: float16 [n, g, g, c]; saliency, mirrored_saliency: float16 [n, g, g]; valid: float32
    [n, g, g]; position, parts, blank: see `congeal.align`, None where they are not known.
    """

    features: npt.NDArray[np.float16]
    saliency: npt.NDArray[np.float16]
    mirrored: npt.NDArray[np.float16] | None
    mirrored_saliency: npt.NDArray[np.float16] | None
    valid: npt.NDArray[np.float32]
    extent: float
    position: npt.NDArray[np.float32] | None
    parts: dict[str, int] | None = None
    blank: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: slice | Sequence[int]) -> Given:
        """Some of the images."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        return replace(self, **{name: None if a is None else a[rows] for name, a in arrays.items()})

    @property
    def for_fit(self) -> dict[str, Any]:
        """The arguments of `congeal.alignment.solver.fit`, but for the atlas."""
        return {
            "features": self.features,
            "saliency": self.saliency,
            "mirrored_features": self.mirrored,
            "mirrored_saliency": self.mirrored_saliency,
            "valid": self.valid,
            "extent": self.extent,
        }

    @property
    def for_align(self) -> dict[str, Any]:
        """The arguments of `congeal.align`."""
        return self.for_fit | {"position": self.position, "parts": self.parts, "blank": self.blank}


ARRAYS = ("features", "saliency", "mirrored", "mirrored_saliency", "valid")


def together(parts: Sequence[Given]) -> Given:
    """The images of all parts in one set."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS
    }
    return replace(parts[0], **arrays)


@dataclass(frozen=True)
class FeaturedSet:
    """An annotated set as its protocol shows it.

    pairs: the ordered pairs that count. files: the image each view was made of.
    """

    name: str
    given: Given
    images: list[Annotated]
    pairs: list[tuple[int, int]]
    alpha: float
    files: list[Path]

    def __len__(self) -> int:
        return len(self.images)


class Extractor:
    """Dense features of images, by the backbone of the benchmarks and the usual settings.

    cache: a folder of npz files that spares a second computation; they are found by the pixels that the
    backbone saw, by its weights and by what is asked of it.
    asked: settings other than the usual. embedded: by the package's own backbone, which is quicker.
    """

    def __init__(
        self, cache: Path | None = None, asked: Sequence[str] = (), *, embedded: bool = False
    ) -> None:
        usual = "features.backbone=embedded" if embedded else f"features.weights={shared() / WEIGHTS}"
        self.settings: Settings = load_settings(None, [usual, *asked])
        self._cache, self._asked = cache, " ".join(asked)
        self._weights = locate(self.settings)

    @functools.cached_property
    def backbone(self) -> Any:
        """Loaded when it is first asked for."""
        return load_weights(self._weights, self.settings.features)

    @functools.cached_property
    def position(self) -> npt.NDArray[np.float32]:
        """The backbone's position directions."""
        from congeal.backbones.position_bias import position_directions

        made = self._kept("position", b"", lambda: {"directions": position_directions(self.backbone)})
        return made["directions"]

    @functools.cached_property
    def blank(self) -> npt.NDArray[np.float32]:
        """The backbone's contrast where there is no content."""
        from congeal.backbones.position_bias import blank_contrast

        made = self._kept("blank", b"", lambda: {"blank": blank_contrast(self.backbone, self.position)})
        return made["blank"]

    def named(self, name: str, protocol: Protocol | None = None) -> FeaturedSet:
        """An annotated set by its name; protocol None: the usual one."""
        annotated = load(place_of(name))
        asked = protocol or named(annotated.protocol)
        shown = views(annotated, asked)
        pixels = (self.read(view.image.path, view.crop) for view in shown)
        given = self.given(name, pixels, [view.measured.frame for view in shown])
        pairs = pairs_of(annotated, asked, shown)
        images = [view.measured for view in shown]
        return FeaturedSet(name, given, images, pairs, asked.alpha, [view.image.path for view in shown])

    def read(self, path: Path, crop: Crop | None = None) -> Pixels:
        """The square that the backbone sees of an image, or of a part of it."""
        data = path.read_bytes()
        size = self._shape.image_size
        if crop is None:
            return square(decode(data, target=size), size)
        return square(cut(decode(data), crop), size)

    def given(self, title: str, squares: Iterable[Pixels], frames: Sequence[Frame]) -> Given:
        """Features of squared images, each and its mirror image; title: of the file in the cache."""
        pixels = np.stack(list(squares))
        made = self._kept(title, pixels.tobytes(), lambda: self._extracted(pixels))
        extent = float(made["extent"])
        centres = cell_centres(made["features"].shape[1], extent)
        valid = np.stack([frame.inside(frame.to_pixels(centres)) for frame in frames]).astype(np.float32)
        arrays = (made[name] for name in ("features", "saliency", "mirrored", "mirrored_saliency"))
        parts = {str(tap): size for tap, size in self._shape.taps.items()}
        return Given(*arrays, valid, extent, self.position, parts, self.blank)

    @functools.cached_property
    def _shape(self) -> Any:
        from congeal.backbones.extractor import geometry
        from tasks.features.run_backbone import backbone_spec

        return geometry(backbone_spec(self._weights, self.settings.features))

    def _extracted(self, pixels: Pixels) -> dict[str, npt.NDArray[Any]]:
        parts: dict[str, list[npt.NDArray[np.float16]]] = {}
        step = self.settings.features.batch_size
        for start in range(0, len(pixels), step):
            batch = pixels[start : start + step]
            plain = self.backbone(batch)
            turned = self.backbone(np.ascontiguousarray(batch[:, :, ::-1]))
            for name, seen in (
                ("features", plain.features),
                ("saliency", plain.saliency),
                ("mirrored", turned.features),
                ("mirrored_saliency", turned.saliency),
            ):
                parts.setdefault(name, []).append(seen.float().cpu().numpy().astype(np.float16))
        arrays: dict[str, npt.NDArray[Any]] = {name: np.concatenate(part) for name, part in parts.items()}
        return arrays | {"extent": np.array(self.backbone.extent)}

    def _kept(self, title: str, content: bytes, make: Any) -> dict[str, npt.NDArray[Any]]:
        if self._cache is None:
            found: dict[str, npt.NDArray[Any]] = make()
            return found
        key = hashlib.sha256((self._weights.fingerprint + self._asked).encode() + content).hexdigest()[:16]
        path = self._cache / f"{title.replace('/', '_')}-{key}.npz"
        if not path.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            np.savez(buffer, **make())
            path.write_bytes(buffer.getvalue())
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)


def solve(
    given: Given, seed: int = 0, atlas_size: int | None = None, config: SolverConfig | None = None
) -> Any:
    """An alignment as a run makes it: the first images build the atlas, those beyond its size are fitted.

    atlas_size: another number than the settings' atlases.atlas_size. config: None: the solver's default.
    """
    from congeal.alignment.solver import align, fit

    builders = atlas_size or Settings().atlases.atlas_size
    first = align(**given[:builders].for_align, seed=seed, config=config)
    if len(given) <= builders:
        return first
    return joined([first, fit(first.atlas, **given[builders:].for_fit, seed=seed, config=config)])


def maps_of(alignment: Any, images: Sequence[Annotated]) -> list[Any]:
    """The dense maps of images, as `congeal.open(…).maps` gives them."""
    from congeal.transfer.points import Maps

    return [
        Maps(
            image.frame,
            image.frame.to_pixels(alignment.forward[row]),
            alignment.forward_confidence[row],
            alignment.backward[row],
            alignment.backward_confidence[row],
        )
        for row, image in enumerate(images)
    ]


def carried(featured: FeaturedSet, alignment: Any) -> Outcomes:
    """What becomes of the keypoints of a set through an alignment."""
    return carry(featured.images, through(maps_of(alignment, featured.images)), featured.pairs)


def through(maps: Sequence[Any]) -> Assured:
    """The published way from image to image."""
    from congeal.transfer.points import transfer

    def way(source: int, target: int, points: Doubles) -> tuple[Doubles, Doubles]:
        moved = transfer(on_frame(points, maps[source].frame), maps[source], maps[target])
        return moved.xy, moved.confidence

    return way


def on_frame(points: Doubles, frame: Frame) -> Doubles:
    """Points [k, 2] drawn onto the picture: a few hand-set marks lie a hair beyond it."""
    return np.clip(points, -0.5, [frame.width - 0.5, frame.height - 0.5])
