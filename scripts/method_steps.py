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

from congeal.alignment.inputs.image_set import prepare, read_inputs
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.maps.flow_registration import follow
from congeal.alignment.model import OK
from congeal.alignment.poses.common_object import learn_shared
from congeal.alignment.poses.pose_consensus import placed, settle_all, settle_anew, shown_in, standing_of
from congeal.alignment.poses.pose_estimation import PairEvidence, gather_evidence
from congeal.alignment.selection.mirror_selection import borne_out
from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.backbones.position_bias import blank_contrast, position_directions
from congeal.geometry.frames import Frame, cell_centres
from congeal.geometry.segments import Membership
from congeal.geometry.warps import recentred
from congeal.imaging.decoding import decode, square

ROOT = Path(__file__).parents[1]
SEED = 0
CPU = torch.device("cpu")
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
    def prepared(self) -> Any:
        """Features in the basis that they are compared in, and co-saliency."""
        inputs = read_inputs(self.arrays, self.arrays.extent, CPU)
        least = min(1.2 * float(blank().mean()), 0.1)
        return prepare(inputs, position=torch.as_tensor(directions()), least_contrast=least)

    @functools.cached_property
    def images(self) -> Company:
        """The same as a batch."""
        return Company.of(self.prepared)

    @functools.cached_property
    def evidence(self) -> PairEvidence:
        """What all pairs say."""
        images = self.images
        return gather_evidence(images.tokens, images.mirrored_tokens, images.members, [SEED])[0]

    @functools.cached_property
    def first(self) -> Any:
        """Facings, poses and outliers."""
        return borne_out(self.images, settle_all(self.images, [SEED]), [SEED])[0]

    @functools.cached_property
    def standing(self) -> Any:
        """Where the images stand."""
        return standing_of([self.first], CPU)

    @functools.cached_property
    def learned(self) -> Any:
        """The discriminant of the common region, or None."""
        if self.first.verdict.status != OK:
            raise RuntimeError(self.first.verdict.status)
        return learn_shared(self.images, self.standing)[0]

    @functools.cached_property
    def lit(self) -> Company:
        """The images with the saliency that counts."""
        return self.images.lit_by([self.learned])

    @functools.cached_property
    def settled(self) -> Any:
        """The poses for the atlas."""
        if self.learned is None:
            return self.first
        return settle_anew(self.first, shown_in(self.lit)[0], None)

    @functools.cached_property
    def posed(self) -> tuple[Any, Any]:
        """The images in their facings, and their poses as warps."""
        return placed(self.lit, [self.settled])

    @functools.cached_property
    def bent(self) -> Any:
        """The warps with the flow."""
        faced, warps = self.posed
        return recentred(follow(warps, faced), faced.weight, faced.owner, 1)

    @property
    def members(self) -> Membership:
        """One set."""
        return self.images.members

    def faced_squares(self, size: int) -> Pixels:
        """The pictures in their facings, at another size."""
        flags = self.settled.poses.mirrored.numpy()
        shown = [square(image, size) for image in self.squares]
        return np.stack([one[:, ::-1] if flag else one for one, flag in zip(shown, flags, strict=True)])


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
