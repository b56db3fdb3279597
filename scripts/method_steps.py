"""The steps of `congeal.align` on a kind of the samples, and what each leaves behind, for the pictures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.backbone_stats import BackboneFacts
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.image_set import PreparedSet, prepare, read_tensors
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.maps.flow_registration import register
from congeal.alignment.outcomes import OK
from congeal.alignment.poses.common_object import BatchPoses, learn_common_object
from congeal.alignment.poses.pose_consensus import (
    Consensus,
    batch_poses,
    orient,
    reframed,
    saliency_of,
    solve_sets,
)
from congeal.alignment.poses.pose_estimation import PairEvidence, PairMatches, gather_evidence, match_pairs
from congeal.alignment.selection.mirror_selection import select_mirror_states
from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.backbones.position_bias import blank_contrast, position_directions
from congeal.geometry.frames import Frame, cell_centres
from congeal.geometry.warps import Warps, grid, recentred, to_oriented
from congeal.imaging.decoding import decode, square
from congeal.imaging.visualization import average_image

ROOT = Path(__file__).parents[1]
SEED = 0
CPU = torch.device("cpu")
CONFIG = SolverConfig()
Pixels = npt.NDArray[np.uint8]
BESIDE = ("9.key", "10.token")  # for the step that chooses features


@functools.cache
def backbone(beside: tuple[str, ...] = ()) -> Any:
    """The backbone in the package."""
    return load_backbone(BackboneSpec("embedded", beside=beside, precision="float32"), None, "cpu")


@functools.cache
def directions(beside: tuple[str, ...] = ()) -> npt.NDArray[np.float32]:
    """Its position directions."""
    return position_directions(backbone(beside))


@functools.cache
def blank() -> npt.NDArray[np.float32]:
    """What it sees in images without content."""
    return blank_contrast(backbone(), directions())


def read(paths: Sequence[Path]) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """The squares [n, s, s, 3] of images, and which cells lie on them [n, g, g]."""
    one = backbone()
    pixels = [decode(path.read_bytes()) for path in paths]
    frames = [Frame(image.shape[1], image.shape[0]) for image in pixels]
    centres = cell_centres(one.grid, one.extent)
    valid = [frame.inside(frame.to_pixels(centres)) for frame in frames]
    return np.stack([square(image, one.image_size) for image in pixels]), np.float32(valid)


def seen(squares: Pixels, beside: tuple[str, ...] = ()) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Features [n, g, g, c] and attention [n, g, g] of squares."""
    found = [backbone(beside)(squares[start : start + 4]) for start in range(0, len(squares), 4)]
    return tuple(
        np.concatenate([getattr(one, name).numpy() for one in found]) for name in ("features", "saliency")
    )


def arrays(squares: Pixels, valid: npt.NDArray[np.float32], beside: tuple[str, ...] = ()) -> SetArrays:
    """What `congeal.align` takes of squares."""
    features, saliency = seen(squares, beside)
    mirrored, mirrored_saliency = seen(np.ascontiguousarray(squares[:, :, ::-1]), beside)
    return SetArrays(
        features, saliency, mirrored, mirrored_saliency, valid, extent=backbone().extent, seed=SEED
    )


class Steps:
    """The steps on one set of images, each computed when it is first asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.squares, self.valid = read(self.paths)

    @classmethod
    def of_kind(cls, kind: str, *more: str, count: int = 12) -> Steps:
        """Images of a kind of the samples, and further files below samples/."""
        own = sorted((ROOT / "samples" / kind / "images").glob("*.jpg"))[:count]
        return cls([*own, *(ROOT / "samples" / name for name in more)])

    @functools.cached_property
    def arrays(self) -> SetArrays:
        """The backbone's features."""
        return arrays(self.squares, self.valid)

    @functools.cached_property
    def prepared(self) -> PreparedSet:
        """Features in the basis that they are compared in, and co-saliency."""
        facts = BackboneFacts(directions(), None, blank())
        return prepare(
            read_tensors(self.arrays, self.arrays.extent, CPU),
            CONFIG.features,
            CONFIG.cosaliency,
            position=facts.directions(CPU),
            least_contrast=facts.least_contrast((), CONFIG.features),
        )

    @functools.cached_property
    def images(self) -> SetBatch:
        """The same as a batch."""
        return SetBatch.of([self.prepared], CONFIG.tokens)

    @functools.cached_property
    def matches(self) -> PairMatches:
        """Mutual matches of all pairs."""
        images = self.images
        return match_pairs(images.tokens, images.mirrored_tokens, images.members, [SEED], CONFIG.matching)

    @functools.cached_property
    def evidence(self) -> PairEvidence:
        """What all pairs say."""
        return gather_evidence(self.matches, self.images.members, [SEED], CONFIG.matching)[0]

    @functools.cached_property
    def first(self) -> Consensus:
        """Mirror states, poses and outliers."""
        found = solve_sets(self.images, self.matches, [SEED], CONFIG)
        return select_mirror_states(self.images, found, [SEED], CONFIG)[0][0]

    @functools.cached_property
    def poses(self) -> BatchPoses:
        """The poses as a batch's."""
        return batch_poses([self.first], CPU)

    @functools.cached_property
    def learned(self) -> Discriminant | None:
        """The discriminant of the common region, or None."""
        if self.first.verdict.status != OK:
            raise RuntimeError(self.first.verdict.status)
        return learn_common_object(self.images, self.matches, self.poses, CONFIG)[0]

    @functools.cached_property
    def final(self) -> SetBatch:
        """The images with the saliency that counts."""
        return self.images.with_saliency([self.learned], CONFIG.tokens)

    @functools.cached_property
    def consensus(self) -> Consensus:
        """The poses for the atlas."""
        if self.learned is None:
            return self.first
        return reframed(self.first, saliency_of(self.final)[0], None, CONFIG.atlas)

    @functools.cached_property
    def posed(self) -> tuple[Oriented, Warps]:
        """The images in their mirror states, and their poses as warps."""
        return orient(self.final, [self.consensus], CONFIG.flow.finest_cells)

    @functools.cached_property
    def bent(self) -> Warps:
        """The warps with the flow."""
        faced, warps = self.posed
        return recentred(register(warps, faced, CONFIG.flow), faced.weight, faced.owner, 1)

    def faced_squares(self, size: int) -> Pixels:
        """The pictures in their mirror states, at another size."""
        flags = self.consensus.poses.mirrored.numpy()
        shown = [square(image, size) for image in self.squares]
        return np.stack([one[:, ::-1] if flag else one for one, flag in zip(shown, flags, strict=True)])


@functools.cache
def steps(kind: str, *more: str) -> Steps:
    """The steps on a kind, once."""
    return Steps.of_kind(kind, *more)


def turned_by(steps: Steps, degrees: Sequence[float]) -> Steps:
    """The same set with its pictures turned about their middles."""
    from PIL import Image

    turned = Steps.__new__(Steps)
    turned.paths = steps.paths[: len(degrees)]
    turned.squares = np.stack(
        [
            np.asarray(
                Image.fromarray(one).rotate(angle, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
            )
            for one, angle in zip(steps.squares, degrees, strict=False)
        ]
    )
    turned.valid = steps.valid[: len(degrees)]
    return turned


def without(arrays: SetArrays, row: int) -> SetArrays:
    """A set without one of its images."""
    rows = np.arange(len(arrays.features)) != row
    names = ("features", "saliency", "mirrored_features", "mirrored_saliency", "valid")
    return replace(arrays, **{name: getattr(arrays, name)[rows] for name in names})


def placed_pictures(
    one: Steps, warps: Any, resolution: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faced pictures, the maps from atlas to them, and their average in the atlas' place."""
    faced = one.faced_squares(224)
    cells = grid(resolution, 1.0, CPU).expand(len(faced), -1, -1, -1)
    maps = to_oriented(warps, cells).numpy()
    return faced, maps, average_image(faced, maps, one.consensus.weight.numpy(), 160)


def given(one: Any) -> dict[str, Any]:
    """The arrays of a set as arguments of `align` and `fit`."""
    names = ("features", "saliency", "mirrored_features", "mirrored_saliency", "valid", "extent", "seed")
    return {name: getattr(one, name) for name in names}
