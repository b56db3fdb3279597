"""One set's dense features, checked and made ready: what every step of the solver works on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.inputs.cosaliency import Discriminant, learn_saliency
from congeal.alignment.inputs.feature_basis import Basis, fit_basis
from congeal.errors import CongealError

Array = npt.NDArray[np.floating]
CHANNELS = 128


@dataclass(frozen=True)
class Arrays:
    """What `congeal.alignment.solver.align` takes of n images; see there."""

    features: Array
    saliency: Array
    mirrored_features: Array | None = None
    mirrored_saliency: Array | None = None
    valid: Array | None = None


@dataclass(frozen=True)
class Inputs:
    """The arrays of n images as they come, on one device; float32.

    Attributes:
        features, mirrored: [n, g, g, c], of the images and of their mirror images; zero where not finite.
        saliency, mirrored_saliency, valid: [n, g, g]; ``valid`` is 0 on padding and on images that are not
            finite.
        finite: bool [n].
        blank: bool [n], images in which no place differs from another by more than its position; known once
            there is a basis.
        extent: half the side of the token grid in frame units.
    """

    features: Tensor
    mirrored: Tensor
    saliency: Tensor
    mirrored_saliency: Tensor
    valid: Tensor
    finite: Tensor
    blank: Tensor
    extent: float

    @property
    def sound(self) -> Tensor:
        """bool [n]: the images that can be used."""
        return self.finite & ~self.blank

    def told_by(self, basis: Basis, least_contrast: float) -> Inputs:
        """The same with the blank ones among them known; no token of those is valid.

        least_contrast: of an image that is not blank, see
        `congeal.alignment.inputs.feature_basis.Basis.contrast`.
        """
        blank = self.finite & (basis.contrast(self.features, self.valid) < least_contrast)
        if not bool(blank.any()):
            return self
        return replace(self, blank=blank, valid=torch.where(blank.view(-1, 1, 1), 0.0, self.valid))


def some_of(arrays: Arrays, rows: slice) -> Arrays:
    """Some of the images."""
    named: dict[str, Any] = {field.name: getattr(arrays, field.name) for field in fields(Arrays)}
    for name, array in named.items():
        named[name] = None if array is None else array[rows]
    return Arrays(**named)


def check_arrays(arrays: Arrays) -> tuple[int, int, int, int]:
    """The shape n, g, g, c of the features.

    Raises:
        CongealError: if it is none, or another array's does not fit it.
    """
    shape = np.shape(arrays.features)
    if len(shape) != 4 or shape[1] != shape[2] or not all(shape):
        raise CongealError(
            f"features have the shape [n, g, g, c] with n ≥ 1, g ≥ 1 and c ≥ 1, not {list(shape)}"
        )
    expected = {
        "saliency": (arrays.saliency, shape[:3]),
        "mirrored_features": (arrays.mirrored_features, shape),
        "mirrored_saliency": (arrays.mirrored_saliency, shape[:3]),
        "valid": (arrays.valid, shape[:3]),
    }
    for name, (array, asked) in expected.items():
        if array is not None and np.shape(array) != asked:
            raise CongealError(
                f"{name} has the shape {list(np.shape(array))}, the features ask for {list(asked)}"
            )
    return shape


def read_inputs(arrays: Arrays, extent: float, device: str | torch.device) -> Inputs:
    """Check the arrays against each other and take them to the device.

    Raises:
        CongealError: if a shape does not fit.
    """
    check_arrays(arrays)
    mirrored_features, mirrored_saliency = arrays.mirrored_features, arrays.mirrored_saliency

    def tensor(array: Array) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), device=device).float()

    plain, attention = tensor(arrays.features), tensor(arrays.saliency)
    turned = plain.flip(2) if mirrored_features is None else tensor(mirrored_features)
    turned_attention = attention.flip(2) if mirrored_saliency is None else tensor(mirrored_saliency)
    on_image = torch.ones_like(attention) if arrays.valid is None else tensor(arrays.valid)
    read = (plain, attention, turned, turned_attention, on_image)
    finite = torch.stack([torch.isfinite(array).flatten(1).all(1) for array in read]).all(0)
    if not bool(finite.all()):
        plain, attention, turned, turned_attention, on_image = (
            torch.where(finite.view(-1, *(1,) * (array.ndim - 1)), array, torch.zeros_like(array))
            for array in read
        )
    return Inputs(
        plain, turned, attention, turned_attention, on_image, finite, torch.zeros_like(finite), extent
    )


def raw_facing(arrays: Arrays, rows: slice, mirrored: Tensor) -> Tensor:
    """Unit-length features in the backbone's own space [w, g, g, c] of some images, the flagged mirrored.

    mirrored: bool [w]. An image that is not finite is zero.
    """
    plain = np.asarray(arrays.features)[rows]
    turned = plain[:, :, ::-1] if arrays.mirrored_features is None else arrays.mirrored_features[rows]
    flag = mirrored.cpu().numpy()[:, None, None, None]
    chosen = torch.as_tensor(np.where(flag, turned, plain), device=mirrored.device).float()
    finite = torch.isfinite(chosen).flatten(1).all(1).view(-1, 1, 1, 1)
    return torch.nn.functional.normalize(torch.where(finite, chosen, torch.zeros_like(chosen)), dim=-1)


@dataclass(frozen=True)
class ImageSet:
    """Features in the basis they are compared in, and co-saliency; float32, both facings."""

    inputs: Inputs
    basis: Basis
    discriminant: Discriminant
    features: Tensor
    mirrored: Tensor
    saliency: Tensor
    mirrored_saliency: Tensor

    def __len__(self) -> int:
        return len(self.features)


def prepare(
    inputs: Inputs,
    basis: Basis | None = None,
    discriminant: Discriminant | None = None,
    position: Tensor | None = None,
    within: Tensor | None = None,
    least_contrast: float = 0.0,
) -> ImageSet:
    """Bring a set into its basis and find its co-saliency; both are learned from it unless they are given.

    position, within: as of `congeal.alignment.inputs.feature_basis.fit_basis`. least_contrast: of an image
    that is not blank.
    """
    if basis is None:
        basis = fit_basis(inputs.features, inputs.valid, CHANNELS, position, within)
    if least_contrast > 0:
        inputs = inputs.told_by(basis, least_contrast)
    features, mirrored = basis(inputs.features), basis(inputs.mirrored)
    turned = inputs.valid.flip(2)
    if discriminant is None:
        discriminant = learn_saliency(
            torch.cat([features, mirrored]),
            torch.cat([inputs.saliency, inputs.mirrored_saliency]),
            torch.cat([inputs.valid, turned]),
        )
    return ImageSet(
        inputs,
        basis,
        discriminant,
        features,
        mirrored,
        discriminant(features, inputs.valid),
        discriminant(mirrored, turned),
    )
