"""Runs over a small collection are killed at random moments, and files are broken: what is left afterwards?

    python benchmarks/faults/chaos.py --kills 200 --flips 100 --meetings 5 --pictures 6000
        [--seconds 500] [--seed 0] [--record]

After each kill a plain run follows, and the destination must then hold the same bytes as that of an
undisturbed run, and be sound (`congeal verify`). After each flipped bit `verify` must name the file, and a
repair and a run must bring the same bytes back. Meetings are what else happens to runs: other runs, a pruning
and a reader, a full disk, images that change, a store that fails, credentials that expire (chaos_runs.py).
Pictures are small images of six formats, changed at random at run time; each must come out as pixels or as a
reason, within a second and a limit of memory (fuzzed_pictures.py).
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import psutil  # noqa: E402
import sample_runs  # noqa: E402

from benchmarks.faults import chaos_runs, fuzzed_pictures  # noqa: E402
from infra.storage.location import Location  # noqa: E402
from tasks.maintenance.repair import repair  # noqa: E402
from tasks.maintenance.verify import verify  # noqa: E402

RESULTS = HERE / "results" / "chaos.md"
PATIENCE = 300.0  # seconds for one run
DASK = ("engine.kind=dask", "engine.workers=2")


def main() -> int:
    """Break things, print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--flips", type=int, default=30)
    parser.add_argument("--meetings", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--seconds", type=float, help="no further try after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="congeal-chaos-") as folder:
        lines, lost = _table(Path(folder), asked, chance)
    said = "Left behind: passing files and outputs that no marker names, in all destinations together."
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"python benchmarks/faults/chaos.py --kills {asked.kills} --flips {asked.flips}"
    command += f" --seconds {asked.seconds:g}" if asked.seconds else ""
    command += f" --meetings {asked.meetings} --pictures {asked.pictures} --seed {asked.seed} --record"
    about = f"`{command}`, {date.today()}, {machine}; ten small pictures, a tiny ViT with random weights."
    text = "\n".join(["# Faults", "", about, "", said, "", *lines]) + "\n"
    print(text)
    if asked.record:
        RESULTS.write_text(text)
    return int(lost)


def _table(home: Path, asked: argparse.Namespace, chance: random.Random) -> tuple[list[str], bool]:
    weights = _weights(home)
    source = sample_runs.folder(home / "source", sample_runs.photographs() | {"broken.jpg": b"no image"})
    undisturbed = home / "undisturbed"
    took = {}
    for name, more in (("loop", ()), ("dask", DASK)):
        begin = time.perf_counter()
        _end(_begin(source, home / name, weights, more))
        took[name] = time.perf_counter() - begin
    shutil.move(home / "loop", undisturbed)
    wanted = sample_runs.results(undisturbed)
    counts: dict[str, Counter[str]] = {}
    begun = time.monotonic()

    def over(share: float) -> bool:
        """Whether so much of the time is gone."""
        return asked.seconds is not None and time.monotonic() - begun > share * asked.seconds

    more: list[str] = []
    pictures: list[str] = []
    lost = False
    if asked.pictures:
        pictures, lost = fuzzed_pictures.table(asked.pictures, asked.seed, home)
    if asked.meetings:
        arena = chaos_runs.Arena(home, source, weights, wanted, took["loop"])
        more, bad = chaos_runs.rows(arena, asked.meetings, chance, lambda: over(0.4))
        lost = lost or bad
    for number in range(asked.kills):
        if over(0.8):
            break
        # Workers take seconds to start: most kills are of runs without them.
        kind = ("the run", "the run", "the run", "the run", "the run with workers", "a worker")[number % 6]
        found = _killed(home / "out", source, weights, kind, took, chance, wanted)
        counts.setdefault(f"SIGKILL of {kind}", Counter()).update(found)
        shutil.rmtree(home / "out", ignore_errors=True)
    files = sorted(path for path in undisturbed.glob("stages/**/*") if path.is_file())
    files += [*sorted(undisturbed.glob("published/versions/*")), undisturbed / "published/current.json"]
    for _ in range(asked.flips):
        if over(1.0):
            break
        found = _flipped(home / "out", undisturbed, chance, files, source, weights, wanted)
        counts.setdefault("one bit of a stored file", Counter()).update(found)
        shutil.rmtree(home / "out", ignore_errors=True)
    lines = [
        "| fault | times | survived | bytes identical | left behind |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in counts.items():
        lines.append(f"| {name} | {row['times']} | {row['survived']} | {row['same']} | {row['left']} |")
        lost = lost or row["survived"] < row["times"] or row["same"] < row["times"]
    return [*lines, *more, "", *pictures], lost


def _begin(source: Path, destination: Path, weights: Path, more: tuple[str, ...] = ()) -> int:
    """A run in a process of its own, which has imported everything already; its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    try:
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)
        sample_runs.run(source, destination, sample_runs.tiny(weights, *more))
    except BaseException as error:
        print(f"a run ended with {type(error).__name__}: {error}", flush=True)
        os._exit(1)
    os._exit(0)


def _end(child: int) -> bool:
    """Whether a run ended well; one that takes too long is killed."""
    begin = time.monotonic()
    while time.monotonic() - begin < PATIENCE:
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            return status == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _killed(
    out: Path, source: Path, weights: Path, kind: str, took: dict[str, float], chance: random.Random,
    wanted: dict[str, str],
) -> Counter[str]:  # fmt: skip
    more = () if kind == "the run" else DASK
    child = _begin(source, out, weights, more)
    time.sleep(chance.uniform(0, took["dask" if more else "loop"]))
    if kind == "a worker":
        workers = [one for one in psutil.Process(child).children(recursive=True) if not one.children()]
        if workers:
            chance.choice(workers).kill()
        first = _end(child)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        first = True
    survived = first and _end(_begin(source, out, weights))
    return Counter(
        times=1, survived=int(survived), same=int(survived and _same(out, wanted)), left=_left(out)
    )


def _flipped(
    out: Path, undisturbed: Path, chance: random.Random, files: list[Path], source: Path, weights: Path,
    wanted: dict[str, str],
) -> Counter[str]:  # fmt: skip
    shutil.copytree(undisturbed, out)
    path = out / chance.choice(files).relative_to(undisturbed)
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    place = Location.parse(out)
    named = bool(repair(place)["faults"])
    survived = _end(_begin(source, out, weights)) and named
    if not named:
        print(f"nobody noticed a bit of {path.relative_to(out)}", flush=True)
    return Counter(
        times=1, survived=int(survived), same=int(survived and _same(out, wanted)), left=_left(out)
    )


def _outcome_of(out: Path, wanted: dict[str, str], *, survived: bool) -> Counter[str]:
    same = survived and _same(out, wanted)
    return Counter(times=1, survived=int(survived), same=int(same), left=_left(out))


def _same(out: Path, wanted: dict[str, str]) -> bool:
    if verify(Location.parse(out))["faults"]:
        return False
    found = sample_runs.results(out)
    return {path: one for path, one in found.items() if path in wanted} == wanted


def _left(out: Path) -> int:
    """Passing files, and folders of outputs that no marker names."""
    contents = [path for path in out.glob("stages/*/*/*/*") if path.is_dir()]
    named = [one for one in contents if (one.parent / "_commit.json").exists()]
    return len(contents) - len(named) + len(list(out.rglob(".*.partial")))


def _weights(home: Path) -> Path:
    import safetensors.torch
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(sample_runs.BACKBONE, pretrained=False, num_classes=0)
    path = home / "tiny.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
