"""Which device computes, and how precisely."""

from __future__ import annotations

import torch

from congeal.errors import BackboneError
from congeal_floors.plurals import counted

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(device: str = "auto") -> torch.device:
    """The torch device of a setting; "auto" is the GPU if there is one. An absent device is an error."""
    if not isinstance(device, str | torch.device):
        raise BackboneError(f"a device is named by a word such as auto, cpu or cuda, not {device!r:.80}")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise BackboneError(f"there is no device {device!r}; use auto, cpu, cuda or cuda:<number>") from error
    if resolved.type not in {"cpu", "cuda"}:
        raise BackboneError(f"the device {device!r} is not supported; use auto, cpu, cuda or cuda:<number>")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        there = f"{counted(count, 'GPU')} {'is' if count == 1 else 'are'}"
        raise BackboneError(f"the device {device!r} is not there ({there}); use auto or cpu")
    return resolved


def resolve_precision(precision: str, device: torch.device) -> str:
    """The precision of a setting on a device: "auto" is bfloat16 where the hardware multiplies it."""
    if precision == "auto":
        return "bfloat16" if _multiplies_bfloat16(device) else "float32"
    if precision not in PRECISIONS:
        raise BackboneError(f"there is no precision {precision!r}; use auto, {', '.join(PRECISIONS)}")
    return precision


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Torch offers these checks under private names only, and not all of them in every version.
    checks = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(check() for check in checks if check is not None)
