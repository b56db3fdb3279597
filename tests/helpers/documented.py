"""The `prefect …` commands that the documentation prints, as a reader would type them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEMPLATES = sorted((ROOT / "examples" / "deployment").glob("*.yaml"))


@dataclass(frozen=True)
class Command:
    """A command: where it stands, its words, and whether it is part of a block to be typed in order."""

    page: str
    words: tuple[str, ...]
    block: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands() -> list[Command]:
    """Every `prefect …` of the README, docs/ and the deployment files, in the order of the pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for block in re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, flags=re.M | re.S):
            found += _lines(page, block)
        for inline in re.findall(r"`(prefect [^`]+)`", prose):
            words = tuple(shlex.split(inline.replace("\n", " ")))
            found.append(Command(page.name, words, block=False))
    for template in TEMPLATES:
        comments = "\n".join(re.findall(r"^#   (.*)$", template.read_text(), flags=re.M))
        found += [Command(template.name, line.words, block=False) for line in _lines(template, comments)]
    return found


def _lines(page: Path, block: str) -> list[Command]:
    lines = block.replace("\\\n", " ").splitlines()
    words = [tuple(shlex.split(line, comments=True)) for line in lines if "prefect" in line]
    return [Command(page.name, line, block=True) for line in words if line and line[0] == "prefect"]
