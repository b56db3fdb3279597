"""Image names as annotation files write them, found among the paths of a collection.

Labelling programs write paths of the machine that the labels were made on: `images/a.png`, `./a.png`,
`C:\\data\\a.png`, `/home/me/a.png`, `A.PNG`, `my%20wing.png`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from congeal_floors.plurals import counted

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """found: name to path. unknown: name to why it is none, in words that follow the name."""

    found: Mapping[str, str]
    unknown: Mapping[str, str]


def match(names: Sequence[str], paths: Iterable[str]) -> Names:
    """The path that each name means.

    A name that is a path means that one. Any other means, of the paths that end in the same file name, the
    one that shares most folders with it, counted from the end; other case and percent signs are looked
    through if nothing else is found. Where two paths share as much, or two different names would mean one
    path, none is guessed.
    """
    wanted = {_folded(form)[-1] for name in names for form in _forms(name)}
    by_file: dict[str, list[str]] = {}
    for path in paths:
        last = _folded(path)[-1]
        if last in wanted:
            by_file.setdefault(last, []).append(path)
    meant: dict[str, tuple[str, int]] = {}
    unknown: dict[str, str] = {}
    for name in dict.fromkeys(names):
        best, shared = _best(name, by_file)
        if len(best) == 1:
            meant[name] = (best[0], shared)
        else:
            unknown[name] = f"{counted(len(best), 'image')} are called" if best else "There is no image"
    for path, rivals in _rivals(meant).items():
        for name in rivals:
            del meant[name]
            unknown[name] = f"{len(rivals)} names end like {path!r}, among them"
    return Names({name: path for name, (path, _) in meant.items()}, unknown)


def _best(name: str, by_file: Mapping[str, Sequence[str]]) -> tuple[list[str], int]:
    """The paths that a name may mean, and how many parts at the end they share with it."""
    for form in _forms(name):
        candidates = by_file.get(_folded(form)[-1], ())
        if form in candidates:
            return [form], len(_parts(form)) + 1  # nothing is nearer than the very same
        for reading in (_parts, _folded):
            shared = {path: _common(reading(form), reading(path)) for path in candidates}
            most = max(shared.values(), default=0)
            if most:
                return [path for path, count in shared.items() if count == most], most
    return [], 0


def _rivals(meant: Mapping[str, tuple[str, int]]) -> dict[str, list[str]]:
    """Path to the names that would mean it although another means it as well or better."""
    by_path: dict[str, dict[Parts, list[str]]] = {}
    nearest: dict[str, int] = {}
    for name, (path, shared) in meant.items():
        by_path.setdefault(path, {}).setdefault(_parts(name), []).append(name)
        nearest[path] = max(shared, nearest.get(path, 0))
    losers: dict[str, list[str]] = {}
    for path, spellings in by_path.items():
        if len(spellings) == 1:
            continue
        first = [names for names in spellings.values() if meant[names[0]][1] == nearest[path]]
        for names in spellings.values():
            if len(first) > 1 or names is not first[0]:
                losers.setdefault(path, []).extend(names)
    return losers


def _forms(name: str) -> Iterable[str]:
    """The name as it is, then without blanks around it, then with its percent signs read."""
    return dict.fromkeys((name, name.strip(), unquote(name), unquote(name).strip()))


def _parts(name: str) -> Parts:
    parts = name.replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".")) or ("",)


def _folded(name: str) -> Parts:
    fold: Callable[[str], str] = lambda part: unicodedata.normalize("NFC", part).casefold()  # noqa: E731
    return tuple(fold(part) for part in _parts(name))


def _common(one: Parts, other: Parts) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
