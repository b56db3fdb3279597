"""Progress of long stages on stderr: a live bar on a terminal, a line now and then elsewhere.

Asked for, each line is a JSON object.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

Advance = Callable[[int], None]

LINE_EVERY = 30.0  # seconds between the lines of a stage where there is no terminal


class Progress:
    """Shows how far each stage is. Use as a context manager; stages may follow one another or overlap.

    quiet: show nothing. console: where to; None: stderr. as_json: lines that programs read, and no bars.
    """

    def __init__(self, quiet: bool = False, console: Console | None = None, *, as_json: bool = False) -> None:
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._json = as_json
        self._live = not quiet and not as_json and self._console.is_terminal
        self._bars: Bars | None = None

    def __enter__(self) -> Self:
        if self._live:
            from infra.compute.progress_bars import bars

            self._bars = bars(self._console, _rate)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def stage(self, name: str, total: int | None = None, done: int = 0) -> Iterator[Advance]:
        """Show one stage; call what the block receives with the number of items that are newly done.

        total: items in all, None where it is not known. done: items that an earlier run has done; they do
        not count for the speed.
        """
        begin = time.perf_counter()
        seen, told = done, begin
        bars = self._bars
        task = None if bars is None else bars.add_task(name, total=total, completed=done, before=done)
        facts = {"stage": name, "total": total}
        begun = f"{name}: {_of(done, total)} at the start" if done else f"{name}: started"
        self.event("stage_started", begun, **facts, done=done)

        def advance(count: int) -> None:
            nonlocal seen, told
            seen += count
            if bars is not None and task is not None:
                bars.update(task, advance=count)
            now = time.perf_counter()
            if now - told >= LINE_EVERY and seen != total:
                told = now
                left = _left(now - begin, seen - done, total, seen)
                self.event("stage_progress", f"{name}: {_of(seen, total)}{left}", **facts, done=seen)

        yield advance
        seconds = time.perf_counter() - begin
        speed = (seen - done) / seconds if seconds > 0 else None
        ended = f"{name}: {_of(seen, total)} in {seconds:.1f} s, {_rate(speed)}"
        self.event("stage_finished", ended, **facts, done=seen, seconds=round(seconds, 3))

    def note(self, text: str, *, live: bool = True) -> None:
        """Print one line, above the bars if there are any. live=False: only where there are no bars."""
        if live or not self._live:
            self._write(self._line("note", text, {}))

    def event(self, name: str, text: str, **facts: object) -> None:
        """One line of what happened, where there are no bars: the text, or as JSON its name and facts.

        facts: such as the image's or the cluster's id.
        """
        if not self._live:
            self._write(self._line(name, text, facts))

    def _line(self, name: str, text: str, facts: dict[str, object]) -> str:
        if not self._json:
            return text
        time_ = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": time_, "event": name, "message": text, **facts}, default=str)

    def _write(self, line: str) -> None:
        if not self._quiet:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _rate(speed: float | None) -> str:
    if not speed:
        return "- /s"
    return f"{speed:,.1f} /s" if speed >= 1 else f"{1 / speed:,.1f} s each"


def _left(seconds: float, done: int, total: int | None, seen: int) -> str:
    """Speed, and the time left if the rest goes as fast."""
    speed = done / seconds
    if total is None or not speed:
        return f", {_rate(speed)}"
    return f", {_rate(speed)}, {timedelta(seconds=round((total - seen) / speed))} left"


def _of(count: int, total: int | None) -> str:
    return f"{count:,}" if total is None else f"{count:,} of {total:,}"
