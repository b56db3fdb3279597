"""A destination as an earlier commit makes it, with its own code: `python tests/old_destination.py DIR`.

DIR gets source/, destination/ and tiny.safetensors. Kept somewhere, it is named by CONGEAL_OLD_DESTINATION,
and the tests need not make it anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

COMMIT = "0425aec"
ROOT = Path(__file__).parents[1]

# What the commit's own helpers do, under its own code.
MAKE = """
import sys
from pathlib import Path
import safetensors.torch, timm, torch
from growing import grown
from sample_runs import BACKBONE, folder, photographs, run

home = Path(sys.argv[1])
torch.manual_seed(0)
model = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
safetensors.torch.save_file(model.state_dict(), home / "tiny.safetensors")
files = photographs(8) | {"broken.jpg": b"no image"}
run(folder(home / "source", files), home / "destination", grown(home / "tiny.safetensors"))
"""


def available() -> bool:
    """True if this is a clone that has the commit."""
    asked = ["git", "-C", str(ROOT), "cat-file", "-e", f"{COMMIT}^{{commit}}"]
    try:
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make(home: Path) -> Path:
    """Make it in a folder, which comes back."""
    home.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", COMMIT, "congeal", "infra", "tasks", "flows", "tests"],
        capture_output=True,
        check=True,
    )
    checkout = home / "checkout"
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(checkout, filter="data")
    # The interpreter finds the commit's packages before those that are installed.
    places = [checkout, checkout / "tests", checkout / "tests/tasks"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    subprocess.run([sys.executable, "-c", MAKE, str(home)], env=env, cwd=home, check=True)
    return home


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
