"""The bars of a terminal. Apart from what uses them, since a run that finds everything done shows none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.text import Text


class _Speed(ProgressColumn):
    """Items a second, or seconds an item when it is slow."""

    def __init__(self, rate: Callable[[float | None], str]) -> None:
        super().__init__()
        self._rate = rate

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed and task.finished and task.elapsed:
            # All came at once: then the whole time says how fast it went.
            speed = (task.completed - task.fields.get("before", 0)) / task.elapsed
        return Text(self._rate(speed) if speed else "", style="progress.data.speed")


class _Time(ProgressColumn):
    """How long a stage has taken or will take; until that is known, how long it has been at work."""

    def render(self, task: Task) -> Text:
        left = None if task.finished else task.time_remaining
        seconds = task.elapsed if left is None else left
        what = "" if task.finished else (" so far" if left is None else " left")
        text = "" if seconds is None else f"{timedelta(seconds=round(seconds))}{what}"
        return Text(text, style="progress.elapsed" if left is None else "progress.remaining")


def bars(console: Console, rate: Callable[[float | None], str]) -> Progress:
    """A bar a stage, on a terminal. rate: items a second in words."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(rate),
        _Time(),
        console=console,
    )
