"""Which images of a source are wanted, by patterns on their paths (`source.include`, `source.exclude`)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from infra.errors import UserError

DEEP = "**"


class PathFilter:
    """Says of a path whether patterns let it through.

    A pattern without a slash is compared with every name of the path, so that "raw" means each folder and
    file of that name; one with a slash with the path from its beginning. ``*`` and ``?`` stay within a name,
    ``**`` goes through any number of folders. What matches a folder holds for all that lies in it. Upper and
    lower case differ.

    include: one of them must match, if there are any. exclude: none may. Raises UserError for an empty one.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = [_pattern(text, "source.include") for text in include]
        self._exclude = [_pattern(text, "source.exclude") for text in exclude]

    def __bool__(self) -> bool:
        return bool(self._include or self._exclude)

    def __call__(self, path: str) -> bool:
        """True for a path that is wanted. path: relative to its place, POSIX."""
        names = path.split("/")
        if self._include and not any(_matches(pattern, names) for pattern in self._include):
            return False
        return not any(_matches(pattern, names) for pattern in self._exclude)


class _Pattern:
    """A pattern, name by name; None stands for any number of names. anywhere: it has no slash."""

    def __init__(self, names: Sequence[Callable[[str], object] | None], anywhere: bool) -> None:
        self.names = names
        self.anywhere = anywhere


def _pattern(text: str, setting: str) -> _Pattern:
    given = text.strip().removeprefix("./").strip("/")
    if not given:
        raise UserError(
            f'{setting} holds the pattern {text!r}, which means no image: write it as "birds/**".'
        )
    parts = re.sub(r"(?:\*\*/)+", "**/", given).split("/")
    anywhere = len(parts) == 1 and parts != [DEEP] and not text.strip().startswith("/")
    return _Pattern([None if part == DEEP else _name(part) for part in parts], anywhere)


@lru_cache(maxsize=256)
def _name(part: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(part)).match


def _matches(pattern: _Pattern, names: Sequence[str]) -> bool:
    if pattern.anywhere:
        (match,) = pattern.names
        assert match is not None  # noqa: S101 - a pattern of ** alone is none of these
        return any(match(name) for name in names)
    # After how many names of the path the pattern's first parts can have been used up.
    reached = {0}
    for match in pattern.names:
        if match is None:
            reached = set(range(min(reached), len(names) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(names) and match(names[at])}
        if not reached:
            return False
    return True
