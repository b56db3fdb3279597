"""`congeal deployment`: what a Prefect server is given, without a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.console.called import Command
from flows.console.terminal import Config, Json, Overrides, answers

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


@app.command(cls=Command)
@answers
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where prefect.yaml is written; made if absent.")
    ] = Path(),
    as_json: Json = False,
) -> Any:
    """Write a prefect.yaml with Congeal's deployments, which needs no checkout of Congeal."""
    from flows.deployments.deployment_file import write

    path = write(folder)

    def show(console: Console) -> None:
        console.print(f"{path} is written. With a server, a work pool and a worker (docs/deployment.md):",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip
        console.print(f"  cd {path.parent} && prefect --no-prompt deploy --all",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip

    return {"written": str(path)}, show


@app.command(cls=Command)
@answers
def check(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Where the photographs are.")
    ] = None,
    destination: Annotated[str | None, typer.Argument(metavar="[DEST]", help="Where the results go.")] = None,
    pool: Annotated[str, typer.Option("--pool", help="The work pool of the deployments.")] = "congeal-pool",
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Try what a deployment needs, a line each: server, pool, worker, deployments, credentials, source,
    destination, what its store promises, Dask scheduler, GPU; exit 1 if something is wrong."""  # fmt: skip
    from congeal.settings import load_settings
    from flows.console.quiet_libraries import quiet_libraries, quiet_prefect
    from flows.deployments.checks import checks

    quiet_libraries()
    quiet_prefect()
    settings = load_settings(config, overrides or ())
    done = list(checks(settings, source, destination, pool))
    wrong = [f"{one.name}: {one.says}" for one in done if one.passed is False]
    tried = [{"name": one.name, "passed": one.passed, "says": one.says} for one in done]

    def show(console: Console) -> None:
        width = max(len(one.name) for one in done)
        for one in done:
            mark = {True: "ok", False: "NO", None: "–"}[one.passed]
            console.print(f"{mark:<3} {one.name:<{width}}  {one.says}",
                          markup=False, highlight=False, soft_wrap=True)  # fmt: skip

    return {"checks": tried, "faults": wrong}, show
