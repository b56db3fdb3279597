"""From command to answer: what somebody waits who types a command, of two builds by turns.

    python benchmarks/speed/command_to_answer.py --before TREE_OR_REF [--after TREE_OR_REF] [--repeats N]
                                                 [--record]

A build is a checkout with its own .venv, or a git ref, which is checked out and set up (`make setup`) in a
temporary folder first. Both run the same 12 pictures, `samples/mug/images`, with the embedded backbone, one
cluster, into a fresh destination. Every build has a home of its own (PREFECT_HOME, XDG_CACHE_HOME), warmed
by one run that does not count. "Cold cache" empties XDG_CACHE_HOME before
every run. With --record, results go to benchmarks/results/command_to_answer.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import heading
from benchmarks.common.watched_command import Watched, watched

RESULTS = ROOT / "benchmarks" / "results" / "command_to_answer.md"
IMAGES = ROOT / "samples" / "mug" / "images"
SETTINGS = ("--set", "features.backbone=embedded", "--set", "clusters.method=single")
NOT_OURS = ("CONGEAL_", "PREFECT_", "PYTHON", "XDG_", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Build:
    """A checkout that is set up. home: where its caches and Prefect's database lie. what: its commit."""

    name: str
    tree: Path
    home: Path
    what: str

    def environment(self) -> dict[str, str]:
        """What its commands run with: nothing of the user's own settings and caches."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
        kept |= {"DO_NOT_TRACK": "1", "HOME": str(self.home), "PREFECT_HOME": str(self.home / "prefect")}
        # Older builds start a server, and give up where other work keeps the machine busy.
        kept |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "900"}
        return kept | {"XDG_CACHE_HOME": str(self.cache)}

    @property
    def cache(self) -> Path:
        """The user's cache folder."""
        return self.home / "cache"

    def timed(self, *arguments: str, terminal: bool = False) -> Watched:
        """One of its commands, as it is typed."""
        command = [str(self.tree / ".venv/bin/congeal"), *arguments]
        return watched(command, self.environment(), self.home, terminal)


@contextmanager
def built(name: str, tree_or_ref: str, scratch: Path) -> Iterator[Build]:
    """A build from a checkout with a .venv, or of a git ref. Raises SystemExit if it is neither."""
    home = scratch / f"{name}-home"
    home.mkdir()
    tree = Path(tree_or_ref).resolve()
    if tree.is_dir():
        if not (tree / ".venv/bin/congeal").exists():
            raise SystemExit(f"{tree} has no .venv: run `make setup` there.")
        yield Build(name, tree, home, _commit(tree))
        return
    tree = scratch / f"{name}-tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), tree_or_ref], check=True)
    try:
        subprocess.run(["make", "-C", str(tree), "--silent", "setup"], check=True)
        yield Build(name, tree, home, _commit(tree))
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _commit(tree: Path) -> str:
    described = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(described, check=True, capture_output=True, text=True).stdout.strip()


def run_once(build: Build, destination: Path, terminal: bool = False, cold: bool = False) -> Watched:
    """The 12 pictures into a fresh destination."""
    if cold:
        shutil.rmtree(build.cache, ignore_errors=True)
    shutil.rmtree(destination, ignore_errors=True)
    return build.timed("run", str(IMAGES), str(destination), *SETTINGS, terminal=terminal)


CASES = {
    "run": "12 pictures, warm cache",
    "cold": "12 pictures, cold cache",
    "terminal": "12 pictures, at a terminal",
    "nothing": "nothing to do",
    "help": "`congeal --help`",
}


def measure(build: Build, case: str) -> Watched:
    """One of CASES, once."""
    destination = build.home / "destination"
    if case == "help":
        return build.timed("--help")
    if case == "nothing":
        # The destination of the last run.
        return build.timed("run", str(IMAGES), str(destination), *SETTINGS)
    return run_once(build, destination, case == "terminal", case == "cold")


def report(builds: Sequence[Build], found: dict[str, dict[str, list[Watched]]]) -> str:
    """Medians, a row a case and build, and the ratios."""
    lines = [
        *heading("From command to answer", "speed/command_to_answer.py --before TREE_OR_REF"),
        f"`samples/mug/images` (12 pictures), `{' '.join(SETTINGS)}`, "
        "a fresh destination; builds by turns, medians. First line: of stderr, or on the terminal. Memory: "
        "peak of the sum over all processes, resident and proportional (PSS). Processor: user and system "
        "seconds of all processes. All gone: until the last process had ended.",
        "",
        *(f"- {build.name}: {build.what}" for build in builds),
        f"- load average {os.getloadavg()[0]:.1f} at the end",
        "",
        "| | build | runs | to prompt, s | first line, s | all gone, s | processor, s | RSS, MB | PSS, MB "
        "| processes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case, title in CASES.items():
        for build in builds:
            runs = found[build.name].get(case, [])
            if runs:
                lines.append(_row(title, build.name, runs))
    lines += ["", *_ratios(builds, found)]
    lines += ["", *(f"- first line, {line}" for line in sorted(_first_lines(found)))]
    return "\n".join(lines) + "\n"


def _row(title: str, name: str, runs: Sequence[Watched]) -> str:
    first = [run.first for run in runs if run.first is not None]
    cells = [
        f"{len(runs)}",
        f"{_median(runs, 'seconds'):.2f}",
        f"{statistics.median(first):.2f}" if first else "",
        f"{_median(runs, 'ended'):.2f}",
        f"{_median(runs, 'processor'):.2f}",
        f"{_median(runs, 'rss') / 1e6:,.0f}",
        f"{_median(runs, 'pss') / 1e6:,.0f}",
        f"{_median(runs, 'processes'):.0f}",
    ]
    return f"| {title} | {name} | {' | '.join(cells)} |"


def _ratios(builds: Sequence[Build], found: dict[str, dict[str, list[Watched]]]) -> list[str]:
    before, after = (found[build.name] for build in builds)
    lines = [
        f"| {builds[0].name} / {builds[1].name} | to prompt | first line | processor | RSS | PSS |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case, title in CASES.items():
        if not before.get(case) or not after.get(case):
            continue
        cells = []
        for name in ("seconds", "first", "processor", "rss", "pss"):
            below = _median(after[case], name)
            cells.append(f"{_median(before[case], name) / below:.2f}" if below else "")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _median(runs: Sequence[Watched], name: str) -> float:
    return statistics.median(float(getattr(run, name) or 0) for run in runs)


def _first_lines(found: dict[str, dict[str, list[Watched]]]) -> set[str]:
    """What the first line was, by build, of the runs that make something."""
    return {
        f"{name}: `{run.said}`"
        for name, cases in found.items()
        for case in ("run", "cold", "terminal")
        for run in cases.get(case, [])
    }


def main() -> None:
    """Set both builds up, run them by turns, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, metavar="TREE_OR_REF")
    parser.add_argument("--after", default=str(ROOT), metavar="TREE_OR_REF", help="absent: this checkout")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; of the short commands twice")
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="congeal-command-") as folder, ExitStack() as stack:
        given = {"before": asked.before, "after": asked.after}
        builds = [stack.enter_context(built(name, where, Path(folder))) for name, where in given.items()]
        found: dict[str, dict[str, list[Watched]]] = {build.name: {} for build in builds}
        for build in builds:
            run_once(build, build.home / "destination")
        for case in asked.cases:
            for _ in range(asked.repeats * (2 if case in ("nothing", "help") else 1)):
                for build in builds:
                    took = measure(build, case)
                    found[build.name].setdefault(case, []).append(took)
                    print(json.dumps({"build": build.name, "case": case} | vars(took)), flush=True)
        text = report(builds, found)
    print(text)
    if asked.record:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
