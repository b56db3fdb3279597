"""`congeal deployment`: what a Prefect server is given, without a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.terminal import Json, answers

app = typer.Typer(
    help="Deployments on a Prefect server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def deployment() -> None:
    """Deployments on a Prefect server."""


@app.command()
@answers
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where prefect.yaml is written; made if absent.")
    ] = Path(),
    as_json: Json = False,
) -> Any:
    """Write a prefect.yaml with Congeal's deployments, which needs no checkout of Congeal."""
    from flows.deployment_file import write

    path = write(folder)

    def show(console: Console) -> None:
        console.print(f"{path} is written. With a server, a work pool and a worker (docs/deployment.md):",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip
        console.print(f"  cd {path.parent} && prefect --no-prompt deploy --all",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip

    return {"written": str(path)}, show
