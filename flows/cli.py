"""The command line: thin, lazy, one sentence for what the user can cure."""

from __future__ import annotations

import gc
import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from flows.console.called import Command

# Each command: its module below flows.commands, and what the list of commands says of it.
COMMANDS = {
    "run": (
        "run",
        "Everything, from images to tables. What is done already is not done again; a killed run is taken "
        "up.",
    ),
    "plan": (
        "plan",
        "What a run would take, measured on a sample: sets, hours, memory, bytes, requests and their price.",
    ),
    "status": ("inspect", "What is done, missing and failed, per stage."),
    "verify": (
        "inspect",
        "Check every marker, checksum, schema and reference; name each fault; exit 1 if there is one.",
    ),
    "transfer": ("carry", "Carry points of one image to others: x, y, confidence, visible."),
    "fit": ("fit", "Map images that are no members to a cluster; the collection stays as it is."),
    "propagate": (
        "carry",
        "Carry an edit, a mask, labels or annotations from one image, or several, to all of their cluster.",
    ),
    "report": (
        "report",
        "(Re)build the report on what is published: a page that opens from disk or straight from a bucket.",
    ),
    "figure": (
        "figure",
        "A figure of one cluster for a paper: averages, members as they are and aligned, points by colour.",
    ),
    "sql": ("inspect", "Query the published tables with DuckDB; nothing can be written to them."),
    "pictures": ("inspect", "Where the pictures of the clusters are: a path or URL a line."),
    "clusters": (
        "clusters",
        "Correct the clusters: merge, split, move, exclude, pin, name, list, undo; the next run applies it.",
    ),
    "diff": (
        "diff",
        "What a version says otherwise than an earlier one: images, clusters, points, figures.",
    ),
    "evaluate": (
        "evaluate",
        "Align an annotated set and measure it, beside identity and nearest neighbour on the same features.",
    ),
    "prune": ("prune", "Remove old versions, and what no version needs."),
    "forget": (
        "forget",
        "Take images out of every version, picture, feature, map and table; no run takes them in again.",
    ),
    "relocate": (
        "relocate",
        "Say that the source lies elsewhere now: its images are known again, none is computed anew.",
    ),
    "repair": ("repair", "Remove what is damaged and what came from it; the next run makes it anew."),
    "distill": (
        "distill",
        "Teach a small backbone what a large one sees in these images; a killed training is taken up.",
    ),
    "deployment": ("deployment", "Deployments on a Prefect server."),
}
_CONTEXT = {"help_option_names": ["-h", "--help"]}


class LazyGroup(TyperGroup):
    """Commands that are imported when they are called; a list of them does not need it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._listing = False
        self._made: dict[str, Any] = {}
        self.commands.update(
            {name: TyperCommand(name, short_help=text) for name, (_, text) in COMMANDS.items()}
        )

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None if there is none."""
        if self._listing or cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        if cmd_name not in self._made:
            self._made[cmd_name] = _command(cmd_name)
        return self._made[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the program."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def _command(name: str) -> Any:
    module = importlib.import_module(f"flows.commands.{COMMANDS[name][0]}")
    if name != "run":  # which imports more before it begins
        gc.enable()
    alone = getattr(module, "app", None)
    if alone is None:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name, cls=Command, context_settings=_CONTEXT)(getattr(module, name))
    command = typer.main.get_command(alone)
    command.name = name
    return command


app = typer.Typer(
    name="congeal",
    cls=LazyGroup,
    help="Joint alignment of image collections: from photographs to atlases, dense maps and tables.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
    rich_markup_mode=None,  # a list of commands needs no rich, whose import takes longer than all else of it
)


def _version(asked: bool) -> None:
    if asked:
        from congeal import __version__

        typer.echo(f"congeal {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Joint alignment of image collections: from photographs to atlases, dense maps and tables."""


def main() -> None:
    """The entry point `congeal`."""
    app()


if __name__ == "__main__":
    main()
