"""The bars of a terminal. Apart from what uses them, since a run that finds everything done shows none."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Speed(ProgressColumn):
    """Items a second, or seconds an item when it is slow."""

    def __init__(self, rate: Callable[[float | None], str]) -> None:
        super().__init__()
        self._rate = rate

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(self._rate(speed), style="progress.data.speed")


def bars(console: Console, rate: Callable[[float | None], str]) -> Progress:
    """A bar a stage, on a terminal. rate: items a second in words."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(rate),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
    )
