"""One set's dense features, checked, compared in a basis of their own, with what is salient in them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Real
from torch import Tensor

from congeal.alignment.config.inputs import CosaliencyConfig, FeaturesConfig
from congeal.alignment.inputs.cosaliency import Discriminant, learn_saliency, scaled_attention
from congeal.alignment.inputs.feature_basis import Basis, fit_basis
from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.errors import CongealError
from congeal.geometry.shape_checks import Numbers, require_fields

Array = npt.NDArray[np.floating]
# Beyond it sums and products of saliency are no numbers in float32.
MOST_SALIENCY = 1e30


@dataclass(frozen=True)
class ImageArrays:
    """The arrays of n images as `congeal.align` takes them.

    Attributes:
        features: [n, g, g, c], g ≥ 2, of any length; computed with in float32.
        saliency: [n, g, g]; what is below 0 counts as 0.
        mirrored_features, mirrored_saliency: of the images mirrored left to right, or None.
        valid: [n, g, g], 1 where a token lies on the image, 0 on its padding, or None.
    """

    features: Real[Array, "n g g c"]
    saliency: Numbers[Array, "n g g"]
    mirrored_features: Real[Array, "n g g c"] | None = None
    mirrored_saliency: Numbers[Array, "n g g"] | None = None
    valid: Numbers[Array, "n g g"] | None = None


Rows = slice | npt.NDArray[np.int64]


def some_of(arrays: ImageArrays, rows: Rows) -> ImageArrays:
    """Some of the images."""
    return ImageArrays(**rows_of(arrays, ImageArrays, rows))


def rows_of(arrays: object, kind: type[Any], rows: Rows) -> dict[str, Any]:
    """Some rows of the arrays that the dataclass ``kind`` names, by name; None for one that is not there."""
    named = {field.name: getattr(arrays, field.name) for field in fields(kind)}
    return {name: None if array is None else array[rows] for name, array in named.items()}


def check_arrays(arrays: ImageArrays) -> tuple[int, int, int, int]:
    """The shape n, g, g, c of the features.

    Raises:
        CongealError: if it is none, or another array's does not fit it.
    """
    require_fields(arrays)
    n, g, _, c = shape = np.shape(arrays.features)
    if min(shape) < 1 or g < 2:
        raise CongealError(
            f"features has the shape {list(shape)}, not [n, g, g, c] with n ≥ 1, g ≥ 2 and c ≥ 1"
        )
    return n, g, g, c


def read_tensors(arrays: ImageArrays, extent: float, device: str | torch.device) -> SetTensors:
    """Check the arrays against each other, take them to the device and scale features to unit length.

    No image is known to be blank yet: that takes a basis.

    Raises:
        CongealError: if a shape does not fit, or numbers are so large that float32 does not hold what is
            computed with them; it names the array.
    """
    check_arrays(arrays)

    def tensor(array: Array) -> Tensor:
        return _readable(array).to(device).float()

    plain, attention = _units(arrays.features, "features", device), tensor(arrays.saliency)
    mirrored, mirrored_attention = arrays.mirrored_features, arrays.mirrored_saliency
    turned = plain.flip(2) if mirrored is None else _units(mirrored, "mirrored_features", device)
    turned_attention = attention.flip(2) if mirrored_attention is None else tensor(mirrored_attention)
    on_image = torch.ones_like(attention) if arrays.valid is None else tensor(arrays.valid)
    read = (plain, turned, attention, turned_attention, on_image)
    finite = torch.stack([_finite(array) for array in read]).all(0)
    if not bool(finite.all()):
        plain, turned, attention, turned_attention, on_image = (
            torch.where(finite.view(-1, *(1,) * (array.ndim - 1)), array, torch.zeros_like(array))
            for array in read
        )
        _require_not_too_large(arrays, ~finite.cpu().numpy())
    _require_moderate(
        saliency=(attention, MOST_SALIENCY),
        mirrored_saliency=(turned_attention, MOST_SALIENCY),
        valid=(on_image, 1.0),
    )
    blank = torch.zeros_like(finite)
    return SetTensors(plain, turned, attention, turned_attention, on_image, finite, blank, extent)


def _readable(array: Array) -> Tensor:
    """A tensor on an array's memory, which is only read."""
    contiguous = np.ascontiguousarray(array)
    # PyTorch warns of memory that may not be written to, such as that of a file that is mapped.
    return torch.from_numpy(contiguous if contiguous.flags.writeable else contiguous.copy())


def _require_moderate(**read: tuple[Tensor, float]) -> None:
    """Raises CongealError for an array [n, g, g] with a number beyond what is given with it."""
    for name, (array, most) in read.items():
        largest = float(array.abs().amax())
        if largest > most:
            raise CongealError(f"{name} holds {largest:.3g}, and {most:g} is the most: scale it")


def _require_not_too_large(arrays: ImageArrays, rows: npt.NDArray[np.bool_]) -> None:
    """Raises CongealError if numbers that are finite as they were given are none in float32."""
    for name in (one.name for one in fields(ImageArrays)):
        array = getattr(arrays, name)
        if array is not None and array.dtype == np.float64 and np.isfinite(array[rows]).all():
            with np.errstate(over="ignore"):
                if not np.isfinite(array[rows].astype(np.float32)).all():
                    raise _too_large(name, array[rows])


def _too_large(name: str, array: Any) -> CongealError:
    largest = float(np.nanmax(np.abs(np.asarray(array, np.float64))))
    return CongealError(f"{name} holds {largest:.3g}, too large to be computed with in float32: scale it")


def _units(features: Array, name: str, device: str | torch.device) -> Tensor:
    """Features [n, g, g, c] as float32 of unit length; an image that is not finite holds what is not, too."""
    found = torch.empty(features.shape, device=device)
    # Image by image: one fits a processor's cache, in which it is gone through four times.
    for image, array in zip(found, features, strict=True):
        image.copy_(_readable(array))
        if bool(_finite(image[None])):
            length = torch.linalg.vector_norm(image, dim=-1, keepdim=True)
            if bool(torch.isinf(length).any()):  # the squares are no numbers
                raise _too_large(name, array)
            image.div_(length.clamp_min_(1e-12))
        else:
            image.fill_(torch.nan)
    return found


def _finite(array: Tensor) -> Tensor:
    """Which images [n, ...] hold only numbers, bool [n]."""
    flat = array.flatten(1)
    # A sum is quick, and finite only if all its terms are; numbers may be so large that it is not.
    finite = torch.isfinite(flat.sum(1))
    if not bool(finite.all()):
        finite = torch.isfinite(flat).all(1)
    return finite


def normalise_in_place(features: Tensor) -> Tensor:
    """Features [..., c] brought to unit length, where they are; zeros stay."""
    return features.div_(torch.linalg.vector_norm(features, dim=-1, keepdim=True).clamp_min_(1e-12))


def raw_oriented(arrays: ImageArrays, rows: slice, mirrored: Tensor) -> Tensor:
    """Features in the backbone's own space, float32 [w, g, g, c] of some images, the flagged mirrored.

    mirrored: bool [w]. An image that is not finite is zero.
    """
    plain = np.asarray(arrays.features)[rows]
    turned = plain[:, :, ::-1] if arrays.mirrored_features is None else arrays.mirrored_features[rows]
    chosen = torch.empty(plain.shape, dtype=torch.float32)
    for row, flag in enumerate(mirrored.tolist()):
        chosen[row] = _readable(turned[row] if flag else plain[row])
    chosen = chosen.to(mirrored.device)
    finite = _finite(chosen)
    if not bool(finite.all()):
        chosen = torch.where(finite.view(-1, 1, 1, 1), chosen, torch.zeros_like(chosen))
    return chosen


@dataclass(frozen=True)
class PreparedSet(SetTensors):
    """One set: features in the basis in which they are compared, co-saliency instead of attention."""

    basis: Basis
    discriminant: Discriminant


def prepare(
    read: SetTensors,
    features: FeaturesConfig,
    cosaliency: CosaliencyConfig,
    *,
    basis: Basis | None = None,
    discriminant: Discriminant | None = None,
    position: Tensor | None = None,
    within: Tensor | None = None,
    least_contrast: float = 0.0,
) -> PreparedSet:
    """Bring a set into its basis and find its co-saliency.

    Args:
        read: as of `read_tensors`.
        features, cosaliency: how.
        basis, discriminant: known before; None: learned from the set.
        position, within: [k, c] and [c], as of `congeal.alignment.inputs.feature_basis.fit_basis`.
        least_contrast: of an image that is not blank.
    """
    if basis is None:
        basis = fit_basis(read.features, read.valid, features, position, within)
    projected = read.features @ basis.projection
    if least_contrast > 0:
        read = _with_blanks(read, basis, projected, least_contrast)
    both = torch.empty((2 * len(read), *projected.shape[1:]), device=projected.device)
    compared, mirrored = both[: len(read)], both[len(read) :]
    basis.centred(projected, out=compared)
    basis.centred(read.mirrored_features @ basis.projection, out=mirrored)
    turned = read.valid.flip(2)
    if discriminant is None:
        discriminant = learn_saliency(
            both,
            torch.cat([read.saliency, read.mirrored_saliency]),
            torch.cat([read.valid, turned]),
            cosaliency,
        )
    if cosaliency.learned:
        saliency, turned_saliency = discriminant(compared, read.valid), discriminant(mirrored, turned)
    else:
        saliency = scaled_attention(read.saliency.clamp_min(0), read.valid, cosaliency) * read.valid
        turned_saliency = scaled_attention(read.mirrored_saliency.clamp_min(0), turned, cosaliency) * turned
    return PreparedSet(
        compared,
        mirrored,
        saliency,
        turned_saliency,
        read.valid,
        read.sound,
        read.blank,
        read.extent,
        basis,
        discriminant,
    )


def _with_blanks(read: SetTensors, basis: Basis, projected: Tensor, least_contrast: float) -> SetTensors:
    """The same with the blank ones among them known; no token of those is valid.

    projected: the images' features · projection. least_contrast: of an image that is not blank, see
    `congeal.alignment.inputs.feature_basis.Basis.contrast`.
    """
    blank = read.sound & (basis.contrast(read.features, read.valid, projected) < least_contrast)
    if not bool(blank.any()):
        return read
    valid = torch.where(blank.view(-1, 1, 1), 0.0, read.valid)
    return replace(read, blank=blank, sound=read.sound & ~blank, valid=valid)
