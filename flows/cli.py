"""The command line: thin, lazy, one sentence for what the user can cure."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands import deployment
from flows.commands.carry import propagate, transfer
from flows.commands.distill import distill
from flows.commands.evaluate import evaluate
from flows.commands.inspect import pictures, sql, status, verify
from flows.commands.prune import prune
from flows.commands.run import run

app = typer.Typer(
    name="congeal",
    help="Joint alignment of image collections: from photographs to atlases, dense maps and tables.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, status, verify, transfer, propagate, sql, pictures, evaluate, prune, distill):
    app.command()(command)
app.add_typer(deployment.app, name="deployment")


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
