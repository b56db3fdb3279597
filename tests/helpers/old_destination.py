"""Makes a destination with the code of an earlier commit, and writes down what that code answers about it.

`python tests/helpers/old_destination.py FOLDER` leaves there `source` (samples), `destination` (two versions;
the second has grown from the first) and `answers`. It needs the git history, and the packages that are
installed.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

COMMIT = "0425aec"
ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
KINDS = ("dog", "mug")
FIRST, THEN, SINCE = 6, 7, 8  # images of each kind: in the first version, in the second, in those to come
SETTINGS = (
    "features.backbone=embedded",
    "features.image_size=224",
    "features.precision=float32",
    "features.device=cpu",
    "features.shard_bytes=2000000",
    "atlases.resolution=24",
    "atlases.map_resolution=24",
    "previews.size=48",
    "previews.members=4",
    "engine.kind=loop",
    "engine.threads=1",
)

# Runs with the old code alone. What it answers is written down with libraries of others.
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
import congeal
from flows.prepare import prepare
from flows.stages import everything
from infra.progress import Progress
from infra.settings import load_settings

home, code, settings, task = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
assert Path(congeal.__file__).is_relative_to(code), congeal.__file__
if task == "run":
    job = prepare(str(home / "source"), str(home / "destination"), load_settings(None, settings, environ={}))
    with job.survey:
        everything(job, Progress(quiet=True))
else:
    answers = home / "answers"
    answers.mkdir()
    collection = congeal.open(home / "destination")
    for name in ("images", "clusters", "alignments", "correspondences"):
        collection.table(name).to_parquet(answers / f"{name}.parquet")
    sound = collection.images[collection.images["cluster_id"].notna()]
    for image_id in sound["image_id"]:
        maps = collection.maps(image_id)
        np.savez(answers / f"{image_id}.npz", **{
            name: getattr(maps, name)
            for name in ("forward", "forward_confidence", "backward", "backward_confidence")
        })
    points = [[40.0, 30.0], [60.0, 50.0], [50.0, 70.0]]
    fits = set(collection.alignments.query("not outlier")["image_id"])
    for cluster, rows in sound[sound["image_id"].isin(fits)].groupby("cluster_id"):
        if len(rows) < 2:
            continue  # there is nobody to carry to
        first = rows.sort_values("uri")["uri"].iloc[0]
        collection.transfer(first, points, "all").to_parquet(answers / f"transfer-{cluster}.parquet")
        collection.landmarks(points, first).to_parquet(answers / f"landmarks-{cluster}.parquet")
"""


def history() -> bool:
    """Whether the commit can be had here."""
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{COMMIT}^{{commit}}"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def add_images(source: Path, each: int) -> None:
    """Put the first samples of each kind, `each` of them, into the source."""
    for kind in KINDS:
        (source / kind).mkdir(parents=True, exist_ok=True)
        for path in sorted((SAMPLES / kind / "images").iterdir())[:each]:
            shutil.copyfile(path, source / kind / path.name)


def make(home: Path) -> None:
    """Fill a folder, which must not be there yet or be empty."""
    import json

    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="congeal-old-") as folder:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", COMMIT, "congeal", "infra", "tasks", "flows"],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(folder, filter="data")
        for each in (FIRST, THEN):
            add_images(home / "source", each)
            _old(home, folder, json.dumps(SETTINGS), "run")
        _old(home, folder, json.dumps(SETTINGS), "answers")


def _old(home: Path, code: str, settings: str, task: str) -> None:
    # No packages of this checkout: its own place on the path would come after that of the old code at best.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home.resolve()), str(Path(code).resolve()), settings, task],
        env={**_environment(), "PYTHONPATH": str(Path(code).resolve())},
        cwd=code, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the code of {COMMIT} cannot {task} here:\n{done.stderr}")


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith(("CONGEAL_", "AWS_"))}


if __name__ == "__main__":
    make(Path(sys.argv[1]))
