"""One size of `scaling.py`, measured by one checkout: seconds, memory and poses of `congeal.align`.

    python benchmarks/speed/align_timing.py FOLDER BUILDERS FITTED --threads N --answer FILE

Started by `scaling.py`, also with an older checkout on PYTHONPATH: it imports nothing of this one's. FOLDER
holds the arrays as `scaling.py` writes them. The first call gives the memory and its own seconds, which have
a few more of starting in them, on standard output as JSON, and the poses, in FILE. Then there is a call, and
its seconds, for every line of standard input, as `turns.py` asks for them.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ARGUMENTS = {
    "features": "features",
    "saliency": "saliency",
    "mirrored_features": "mirrored",
    "mirrored_saliency": "mirrored_saliency",
    "valid": "valid",
}
SLAB = 32  # images that are fitted together, as in a run


def solver() -> tuple[Any, Any]:
    """`align` and `fit` of whatever checkout is on the path."""
    grouped = importlib.util.find_spec("congeal.alignment") is not None
    found = importlib.import_module("congeal.alignment.solver" if grouped else "congeal.solver")
    return found.align, found.fit


def read(folder: Path, rows: slice) -> dict[str, Any]:
    """Some of the images, and nothing of the others, in memory."""
    arrays: dict[str, Any] = {
        argument: np.array(np.load(folder / f"{name}.npy", mmap_mode="r")[rows])
        for argument, name in ARGUMENTS.items()
    }
    return arrays | {"extent": float(json.loads((folder / "extent.json").read_text()))}


def memory(field: str) -> float:
    """MiB of this process; VmHWM is the most there has been since its program began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("builders", type=int)
    parser.add_argument("fitted", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--answer", type=Path, required=True)
    asked = parser.parse_args()
    import torch

    import congeal

    align, fit = solver()
    torch.set_num_threads(asked.threads)
    count = asked.builders + asked.fitted
    given = read(asked.folder, slice(asked.builders))
    starts = range(asked.builders, count, SLAB)
    slabs = [read(asked.folder, slice(start, min(start + SLAB, count))) for start in starts]
    position = np.load(asked.folder / "position.npy")

    def aligned() -> Any:
        found = align(**given, position=position)
        for slab in slabs:
            fit(found.atlas, **slab)
        return found

    torch.linalg.eigh(torch.eye(4))  # the first call of a process loads the library
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    found = aligned()
    first = [time.perf_counter() - wall, time.process_time() - cpu]
    arrays = [*given.values(), *(array for slab in slabs for array in slab.values())]
    ready = {
        "file": congeal.__file__,
        "inputs": sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) / 2**20,
        "first": first,
        "before": before,
        "peak": memory("VmHWM"),
        "deformation": getattr(found.atlas, "deformation", None) or getattr(found.atlas, "freedom", ""),
    }
    poses = {name: getattr(found, name) for name in ("mirrored", "rotation", "scale", "translation")}
    np.savez(asked.answer, **poses, outlier=found.outlier)
    del found
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        aligned()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


if __name__ == "__main__":
    main()
