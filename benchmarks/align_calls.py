"""Calls of `congeal.align` on demand, for align_speed.py: nothing is imported but what every build has.

python benchmarks/align_calls.py FOLDER COUNT THREADS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ARRAYS = ("features", "saliency", "mirrored", "mirrored_saliency", "valid")


def answer(folder: Path, count: int, threads: int) -> None:
    """Align the first images whenever a line comes in, and tell the seconds."""
    import torch

    import congeal

    torch.set_num_threads(threads)
    arrays = {name: np.array(np.load(folder / f"{name}.npy", mmap_mode="r")[:count]) for name in ARRAYS}
    given: dict[str, Any] = {
        "features": arrays["features"],
        "saliency": arrays["saliency"],
        "mirrored_features": arrays["mirrored"],
        "mirrored_saliency": arrays["mirrored_saliency"],
        "valid": arrays["valid"],
        "position": np.load(folder / "position.npy"),
        "extent": float(json.loads((folder / "extent.json").read_text())),
    }
    congeal.align(**given)
    print(json.dumps({"file": congeal.__file__}), flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        found = congeal.align(**given)
        told = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(told | {"status": found.status}), flush=True)


if __name__ == "__main__":
    answer(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
