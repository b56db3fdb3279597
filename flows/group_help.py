"""The list of commands as typer shows it, without the parts of rich that it has no use for.

typer's own imports rich's Markdown and tracebacks first, which take longer than the rest of `congeal --help`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar

from rich.console import Console, RenderableType
from rich.highlighter import RegexHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

_STYLES = {
    "option": "bold cyan",
    "switch": "bold green",
    "types": "bold yellow",
    "types_sep": "dim",
    "usage": "yellow",
}


class _Highlighter(RegexHighlighter):
    highlights: ClassVar[list[str]] = [
        r"(^|\W)(?P<switch>\-\w+)(?![a-zA-Z0-9])",
        r"(^|\W)(?P<option>\-\-[\w\-]+)(?![a-zA-Z0-9])",
        r"(?P<types>\<[^\>]+\>)",
        r"(?P<usage>Usage: )",
    ]


class _TypesHighlighter(RegexHighlighter):
    highlights: ClassVar[list[str]] = [r"^(?P<types_sep><)", r"(?P<types_sep>>)$"]


def show(group: Any, ctx: Any) -> None:
    """Print usage, help, options and commands of a group of commands to stdout."""
    highlighter, types = _Highlighter(), _TypesHighlighter()
    width = os.environ.get("TERMINAL_WIDTH")
    forced = any(os.environ.get(name) for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"))
    console = Console(
        theme=Theme(_STYLES),
        highlighter=highlighter,
        force_terminal=True if forced else None,
        width=int(width) if width else None,
    )
    console.print(Padding(highlighter(group.get_usage(ctx)), 1), style="bold")
    console.print(Padding(Text(group.help), (0, 1, 1, 1)))
    options = _table(highlight=True)
    for ratio in (None, None, None, 1):
        options.add_column(ratio=ratio)
    for option in group.get_params(ctx):
        long, short = (
            [name for name in option.opts if name.startswith("--") == whole] for whole in (True, False)
        )
        kind = Text(option.display_type_rich(ctx=ctx) or "", style=_STYLES["types"], overflow="fold")
        options.add_row(
            highlighter(",".join(long)), highlighter(",".join(short)), types(kind), option.help or ""
        )
    _panel(console, "Options", options)
    commands = _table(highlight=False)
    names = group.list_commands(ctx)
    commands.add_column(style="bold cyan", no_wrap=True, width=max(map(len, names)))
    commands.add_column(ratio=10)
    for name in names:
        commands.add_row(*_row(name, group.get_command(ctx, name).help))
    _panel(console, "Commands", commands)


def _row(*texts: str) -> Iterable[RenderableType]:
    return (Text(text) for text in texts)


def _table(*, highlight: bool) -> Table:
    return Table(
        highlight=highlight, show_header=False, expand=True, box=None, pad_edge=False, padding=(0, 1)
    )


def _panel(console: Console, title: str, table: Table) -> None:
    console.print(Panel(table, border_style="dim", title=title, title_align="left"))
