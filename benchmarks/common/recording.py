"""What benchmarks over annotated sets are asked, and where their answers go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import about, heading
from benchmarks.common.set_features import EVERY


class Kept:
    """What was found so far, as a file of JSON; path None: for this time alone."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        known = path is not None and path.exists()
        self.found: dict[str, Any] = json.loads(path.read_text()) if known and path else {}

    def once(self, name: str, find: Callable[[], Any]) -> Any:
        """What is known by this name; if nothing is, it is found and kept."""
        if name not in self.found:
            self.found[name] = find()
            if self.path is not None:
                part = self.path.with_suffix(".part")
                part.write_text(json.dumps(self.found))
                part.replace(self.path)
        return self.found[name]


def command_line(
    description: str | None, results: Path, sets: Sequence[str] = EVERY
) -> argparse.ArgumentParser:
    """Sets, cache and record, to which a benchmark may add its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", default=list(sets))
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {results.relative_to(ROOT)}")
    return parser


def options(description: str | None, results: Path) -> argparse.Namespace:
    """What the command line says, if a benchmark asks nothing else."""
    return command_line(description, results).parse_args()


def tell(
    title: str,
    script: str,
    said: str,
    lines: Sequence[str],
    results: Path,
    record: bool,
    backbone: str | None = None,
) -> None:
    """Print a result; write it, too, if it is to be recorded. said: what the lines mean. backbone: if it is
    another than that of most benchmarks."""
    facts = about() | ({} if backbone is None else {"backbone": backbone})
    text = "\n".join([*heading(title, script, facts), said, "", *lines]) + "\n"
    print(text)
    if record:
        results.write_text(text)
