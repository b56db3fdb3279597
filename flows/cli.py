"""The command line: thin, lazy, one sentence for what the user can cure."""

from __future__ import annotations

import typer

from flows.commands import deployment
from flows.commands.carry import propagate, transfer
from flows.commands.distill import distill
from flows.commands.evaluate import evaluate
from flows.commands.inspect import sql, status, verify
from flows.commands.prune import prune
from flows.commands.run import run

app = typer.Typer(
    name="congeal",
    help="Joint alignment of image collections: from photographs to atlases, dense maps and tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, status, verify, transfer, propagate, sql, evaluate, prune, distill):
    app.command()(command)
app.add_typer(deployment.app, name="deployment")


def main() -> None:
    """The entry point `congeal`."""
    app()


if __name__ == "__main__":
    main()
