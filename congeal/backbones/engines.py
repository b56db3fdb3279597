"""Which inference engine computes a backbone's features: PyTorch, or OpenVINO on processors.

PyTorch is the reference, and what is used wherever OpenVINO cannot be. Looking here imports neither.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Literal, get_args

Engine = Literal["torch", "openvino"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
EXTRA = "pip install congeal[cpu]"
OLDEST = (2026, 1)  # of OpenVINO
# Without these OpenVINO multiplies no faster than PyTorch does, and there is nothing to gain.
_WIDE = re.compile(r"\b(avx512f|amx_tile|avx_vnni)\b")


def openvino_fault() -> str | None:
    """Why OpenVINO cannot be used here, as the end of a sentence with its cure; None if nothing is known."""
    if importlib.util.find_spec("openvino") is None:
        return f"OpenVINO is not installed ({EXTRA})"
    try:
        version = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return f"the OpenVINO that is installed does not say its version ({EXTRA})"
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers < OLDEST:
        return f"OpenVINO {version} is older than {'.'.join(map(str, OLDEST))} ({EXTRA} --upgrade)"
    return None


def gains_by_openvino(flags: str | None = None) -> bool:
    """Whether the processor has instructions by which OpenVINO is faster than PyTorch.

    flags: the processor's features, as Linux lists them; None: this processor's.
    """
    return _WIDE.search(_flags() if flags is None else flags) is not None


def _flags() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return found[1] if found else ""
