"""Arguments of `congeal.align`, `align_many` and `fit` as their callers give them, checked and made plain."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.inputs.rotated_views import Turned
from congeal.backbones.devices import resolve_device
from congeal.errors import CongealError

Arrays = TypeVar("Arrays", bound=ImageArrays)

# What PyTorch's generators take.
LEAST_SEED, MOST_SEED = -(2**63), 2**64 - 1
# Frame units in which float32 still tells places apart, and their squares are numbers.
LEAST_EXTENT, MOST_EXTENT = 1e-6, 1e6
PLAIN = (torch.float16, torch.float32, torch.float64)


def plain(value: Any, name: str) -> Any:
    """A NumPy array that PyTorch can read, of a list, an array or a tensor of any device.

    What is none, and arrays that are read as they are asked for (of Zarr, of HDF5), stay what they are.

    Raises:
        CongealError: if a tensor's numbers cannot be read.
    """
    if isinstance(value, Tensor):
        return _of_tensor(value, name)
    if value is None or (hasattr(value, "shape") and hasattr(value, "dtype")):
        found = value
    else:
        try:
            found = np.asarray(value)
        except ValueError:
            return value  # lists of different lengths: the check of shapes says so
    if isinstance(found, np.ndarray) and not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    return found


def plain_arrays(arrays: Arrays) -> Arrays:
    """The same images with NumPy arrays, see `plain`. Raises CongealError for what is no array."""
    turned = getattr(arrays, "turned", None)
    if turned is not None and not isinstance(turned, Turned):
        raise CongealError(
            f"turned is {type(turned).__name__}, not congeal.alignment.inputs.rotated_views.Turned"
        )
    made = _plain_fields(arrays, ImageArrays)
    if turned is not None:
        made["turned"] = Turned(**_plain_fields(turned, Turned))
    return replace(arrays, **made)


def numbers(values: object, name: str) -> npt.NDArray[np.float64]:
    """A few numbers, copied; CongealError for anything else."""
    try:
        return np.array(plain(values, name), np.float64)
    except (TypeError, ValueError) as error:
        raise CongealError(f"{name} is {type(values).__name__}, not numbers") from error


def check_seed(seed: int) -> int:
    """A seed as PyTorch takes it; CongealError for anything but a whole number that it knows."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise CongealError(f"seed is a whole number, not {seed!r}")
    if not LEAST_SEED <= seed <= MOST_SEED:
        raise CongealError(f"seed is a whole number from -2^63 to 2^64 - 1, not {seed}")
    return int(seed)


def check_extent(extent: float) -> float:
    """Half the side of a token grid; CongealError unless it is a number above 0."""
    number = isinstance(extent, int | float | np.integer | np.floating) and not isinstance(extent, bool)
    if not number or not extent > 0:
        raise CongealError(f"extent is a number of frame units above 0, not {extent!r}")
    if not LEAST_EXTENT <= extent <= MOST_EXTENT:
        limits = f"from {LEAST_EXTENT:g} to {MOST_EXTENT:g}"
        raise CongealError(f"extent is a number of frame units above 0, {limits}, not {extent!r}")
    return float(extent)


def check_config(config: SolverConfig | None) -> SolverConfig:
    """The configuration, or the default one for None; CongealError for anything else."""
    if config is None:
        return SolverConfig()
    if not issubclass(type(config), SolverConfig):
        raise CongealError(f"config is {type(config).__name__}, not congeal.SolverConfig")
    return config


def check_device(device: str | torch.device) -> torch.device:
    """The device that is meant; CongealError if this machine has none of that name."""
    return resolve_device(str(device) if isinstance(device, torch.device) else device)


def _plain_fields(one: object, kind: type[Any]) -> dict[str, Any]:
    return {field.name: plain(getattr(one, field.name), field.name) for field in fields(kind)}


def _of_tensor(tensor: Tensor, name: str) -> Any:
    if tensor.is_meta:
        raise CongealError(f"{name} is a tensor on the device meta, which holds no numbers")
    try:
        read = tensor.detach().to_dense().cpu().resolve_conj().resolve_neg()
        # NumPy has none of PyTorch's smaller floats.
        return (read.float() if read.is_floating_point() and read.dtype not in PLAIN else read).numpy()
    except (RuntimeError, TypeError) as error:  # of pieces of several lengths, of a kind that is none here
        raise CongealError(f"{name} is a tensor whose numbers cannot be read ({error})") from error
