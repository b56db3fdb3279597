"""Where the time goes, as flame graphs: the run of 12 pictures and `congeal.align` of 20 images, two builds.

    python benchmarks/speed/flame_graphs.py --before CHECKOUT [--after CHECKOUT] [--py-spy PATH]
                                            [--only run align] [--cache FOLDER]

CHECKOUT: builds with their own environment in `.venv`; --after absent: this one. The samples are taken by
py-spy (https://github.com/benfred/py-spy), which is no dependency: --py-spy says where it is. A run is that
of `command_to_answer.py`, all its processes together, its caches warm; an alignment that of `cub/001`, one
thread, five calls. The drawings go to docs/pictures/performance: a box is as wide as its share of the samples
and names a function; what is called lies below its caller. Scripts in them are left out, so that they are
pictures and nothing else; so are boxes narrower than a hundredth (a run's) or three thousandths.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.set_features import Extractor
from benchmarks.speed.command_to_answer import IMAGES, NOT_OURS, SETTINGS
from benchmarks.speed.scaling import write

PICTURES = ROOT / "docs" / "pictures" / "performance"
SIZE, CALLS = 20, 5
ALIGN = f"""
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from align_timing import read, solver
import numpy as np, torch
torch.set_num_threads(1)
folder = Path(sys.argv[1])
given, (align, _) = read(folder, slice(0, {SIZE})), solver()
given |= {{"position": np.load(folder / "position.npy")}}
align(**given)
print("ready", flush=True)
for _ in range({CALLS}):
    align(**given)
"""
BOX = re.compile(r"<g><title>.*?</g>", re.DOTALL)
WIDTH = re.compile(r'<rect [^>]*width="([0-9.]+)%')
NARROWEST = {"run": 1.0, "align": 0.3}  # percent of the picture


def environment(tree: Path, home: Path) -> dict[str, str]:
    """What a build's commands run with: nothing of the user's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    kept |= {"DO_NOT_TRACK": "1", "HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    kept |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "900", "PYTHONPATH": str(tree)}
    return kept | {"XDG_CACHE_HOME": str(home / "cache"), "OMP_NUM_THREADS": "1"}


def drawn(spy: Sequence[str], tree: Path, home: Path, title: str, picture: Path) -> None:
    """What py-spy records with these arguments, as a picture of a build."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.svg"
        watched = [spy[0], "record", "--output", str(file), *spy[1:]]
        done = subprocess.run(
            watched, cwd=tree, env=environment(tree, home), capture_output=True, text=True, check=False
        )
        if not file.exists():
            raise SystemExit(f"{' '.join(watched)} failed:\n{done.stdout}{done.stderr}")
        picture.parent.mkdir(parents=True, exist_ok=True)
        narrowest = NARROWEST[picture.name.partition("-")[0]]
        picture.write_text(plain(file.read_text(), title, tree, narrowest))
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size / 1e3:.0f} kB", flush=True)


def drawn_aligning(spy: str, inputs: Path, tree: Path, home: Path, title: str, picture: Path) -> None:
    """The calls alone, in a process that has imported everything and aligned once."""
    command = [str(tree / ".venv/bin/python"), "-W", "ignore", "-c", ALIGN, str(inputs)]
    with subprocess.Popen(
        [*command, str(ROOT / "benchmarks" / "speed")],
        cwd=tree,
        env=environment(tree, home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{tree} cannot align: see its error above.")
        watch = [spy, "--rate", "100", "--pid", str(process.pid)]
        drawn(watch, tree, home, title, picture)


def plain(graph: str, title: str, tree: Path, narrowest: float) -> str:
    """A drawing of py-spy without script, controls and narrowest boxes, with a title of its own."""
    graph = re.sub(rf"{re.escape(str(tree))}/(\.venv/lib/python[0-9.]+/site-packages/)?", "", graph)
    graph = re.sub(r"/[^\s()<]*/lib/python[0-9.]+/(site-packages/)?", "", graph)
    graph = re.sub(r"process [0-9]+:.*?(?= \([0-9,]+ samples|</)", "process", graph, flags=re.DOTALL)
    graph = re.sub(r"<script.*?</script>", "", graph, flags=re.DOTALL)
    graph = re.sub(r'<text id="(?:details|unzoom|search|matched)".*?</text>', "", graph, flags=re.DOTALL)
    graph = re.sub(r' onload="[^"]*"', "", graph)
    graph = re.sub(r'(<text id="title"[^>]*>).*?(</text>)', rf"\g<1>{title}\g<2>", graph, flags=re.DOTALL)

    def wide(box: re.Match[str]) -> str:
        width = WIDTH.search(box[0])
        return box[0] if width is None or float(width[1]) >= narrowest else ""

    return BOX.sub(wide, graph)


def arrays(folder: Path, cache: Path | None) -> None:
    """What is aligned: twenty albatrosses."""
    write(Extractor(cache).named("cub/001").given[:SIZE], folder)


def main() -> None:
    """Draw what is asked for, of both builds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--after", type=Path, default=ROOT, metavar="CHECKOUT")
    parser.add_argument("--py-spy", default="py-spy", metavar="PATH")
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--only", nargs="*", choices=("run", "align"), default=["run", "align"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="congeal-flames-") as scratch:
        inputs = Path(scratch) / "arrays"
        inputs.mkdir()
        if "align" in asked.only:
            arrays(inputs, asked.cache)
        for name, tree in (("before", asked.before.resolve()), ("now", asked.after.resolve())):
            home = Path(scratch) / name
            home.mkdir()
            if "run" in asked.only:
                run = [str(tree / ".venv/bin/congeal"), "run", str(IMAGES), str(home / "destination")]
                warm = [*run[:3], str(home / "first"), *SETTINGS]
                subprocess.run(warm, cwd=tree, env=environment(tree, home), capture_output=True, check=True)
                spy = [asked.py_spy, "--subprocesses", "--rate", "20", "--", *run, *SETTINGS]
                drawn(spy, tree, home, f"12 pictures, {name}", PICTURES / f"run-{name}.svg")
            if "align" in asked.only:
                title = f"align, {SIZE} images, {CALLS} calls, {name}"
                drawn_aligning(asked.py_spy, inputs, tree, home, title, PICTURES / f"align-{name}.svg")


if __name__ == "__main__":
    main()
