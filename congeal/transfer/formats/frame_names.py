"""How a file of labels names its frames, so that frames that come new are named alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Head = tuple[str, ...]


def parts_of(name: str) -> list[str]:
    """The parts of a path, whichever slashes divide them; without "." and empty ones."""
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]


class FrameNames:
    """Names for images that the file does not name yet.

    What a name in the file has before the image's own path, the new names have too: with
    "labeled-data/session1/img01.png" for "img01.png", "img02.png" becomes "labeled-data/session1/img02.png".
    """

    def __init__(
        self,
        found: Mapping[str, str],
        rows: Sequence[Sequence[str]] = (),
        named: Iterable[str] = (),
        others: Iterable[str] = (),
    ) -> None:
        """found: names in the file to paths. rows: the cells that name each frame.

        named: all names in the file, of images that are not known, too. others: paths that may be named: of
        two that would have one name, or of which one would have another's, each is called by its path.
        """
        counts: Counter[tuple[Head, Head, str]] = Counter()
        for name, uri in found.items():
            said, path = parts_of(name), parts_of(uri)
            same = _common_end(said, path)
            root = "/" if name.startswith("/") else ""
            if same:
                counts[tuple(path[:-same]), tuple(said[:-same]), root] += 1
        # Of two ways to name a folder the commoner one; a folder of its own before the one that holds it.
        ranked = sorted(counts, key=lambda pair: (-len(pair[0]), -counts[pair]))
        self._heads = ranked
        self._rows = rows
        backslashes = sum("\\" in name for name in found)
        self._slash = "\\" if backslashes > len(found) / 2 else "/"
        new = dict.fromkeys(others).keys() - set(found.values())
        uses = Counter(map(_folded, {*found, *named}))
        uses.update(_folded(self._like_the_files(uri)) for uri in new)
        self._shared = {name for name, count in uses.items() if count > 1}

    def name(self, uri: str) -> str:
        """The name of an image; its path relative to the source where the file's names tell no other."""
        name = self._like_the_files(uri)
        return self._slash.join(parts_of(uri)) if _folded(name) in self._shared else name

    def _like_the_files(self, uri: str) -> str:
        path = parts_of(uri)
        for inside, said, root in self._heads:
            if tuple(path[: len(inside)]) == inside:
                return root + self._slash.join([*said, *path[len(inside) :]])
        return self._slash.join(path)

    def cells(self, uri: str, columns: int) -> list[str]:
        """The same in as many cells. What is missing before it is as in the file's first row."""
        if columns == 1:
            return [self.name(uri)]
        path = parts_of(self.name(uri))
        if len(path) < columns:
            first = list(self._rows[0]) if self._rows else [""] * columns
            return [*first[: columns - len(path)], *path]
        return [*path[: columns - 2], "/".join(path[columns - 2 : -1]), path[-1]]


def _folded(name: str) -> Head:
    return tuple(part.casefold() for part in parts_of(name))


def _common_end(first: Sequence[str], second: Sequence[str]) -> int:
    """How many of the last parts are the same in both, whatever their case."""
    for same, (one, other) in enumerate(zip(reversed(first), reversed(second), strict=False)):
        if one.casefold() != other.casefold():
            return same
    return min(len(first), len(second))
