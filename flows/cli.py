"""The command line: thin, lazy, one sentence for what the user can cure."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

app = typer.Typer(
    name="congeal",
    help="Joint alignment of image collections: from photographs to atlases, dense maps and tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Destination = Annotated[str, typer.Argument(metavar="DEST", help="Where a run has put its results.")]
Json = Annotated[bool, typer.Option("--json", help="One machine-readable line on stdout at the end.")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings, a TOML or YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; may be repeated.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]

INTERRUPTED = 130


def answers(command: Callable[..., tuple[dict[str, Any], Callable[[Console], None]]]) -> Callable[..., None]:
    """Turn a command that returns (facts, how to show them) into one that prints and exits as it should."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        outcome = _attempt(command, args, kwargs)
        # Outside of any except block: an error that is still being handled would keep what it holds alive.
        if isinstance(outcome, Failure):
            Console(stderr=True, soft_wrap=True).print(outcome.sentence, markup=False, highlight=False)
            if kwargs.get("as_json") and outcome.code == 1:
                _line({"ok": False, "error": outcome.sentence.removeprefix("error: ")})
            raise typer.Exit(outcome.code)
        facts, show = outcome
        if kwargs.get("as_json"):
            _line({"ok": not facts.get("faults"), **facts})
        elif not kwargs.get("quiet"):
            show(Console())
        if facts.get("faults"):
            raise typer.Exit(1)

    return wrapped


class Failure(NamedTuple):
    """Why a command did not come to its end, in one line, and its exit code."""

    sentence: str
    code: int


def _attempt(command: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from congeal.errors import CongealError
    from infra.errors import UserError

    try:
        return command(*args, **kwargs)
    except (UserError, CongealError) as error:
        # Prefect keeps the error until the end of the process; what its frames hold must go before that.
        traceback.clear_frames(error.__traceback__)
        return Failure(f"error: {error}", 1)
    except KeyboardInterrupt:
        return Failure(
            "interrupted: what is done is kept, and the same command takes up from there.", INTERRUPTED
        )


def _line(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, default=str) + "\n")
    sys.stdout.flush()


@app.command()
@answers
def run(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The photographs: a folder, or an fsspec URL.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="Where the results go: a folder or URL.")
    ],
    config: Config = None,
    overrides: Overrides = None,
    engine: Annotated[str | None, typer.Option("--engine", help="auto, dask or loop.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Any:
    """Everything, from images to tables. What is done already is not done again; a killed run is taken up."""
    from flows.prepare import prepare
    from flows.report import nothing_to_do
    from flows.summary import show_run
    from infra.settings import load_settings, recorded

    chosen = [*(overrides or ()), *([f"engine.kind={engine}"] if engine else ())]
    job = prepare(source, destination, load_settings(config, chosen))
    if job.current is not None:
        job.survey.close()
        facts = nothing_to_do(job)
    else:
        _quiet_prefect()
        from flows.collection import collection, hand_over
        from infra.progress import Progress

        hand_over(job, Progress(quiet=quiet))
        facts = collection(job.source.url, job.destination.url, recorded(job.settings))
    return facts, functools.partial(show_run, facts)


def _quiet_prefect() -> None:
    """Settle how Prefect behaves on a command line, where the user has not; before it is imported."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The first start makes a database; two busy cores need longer than the default.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "HF_HUB_VERBOSITY": "critical",
        "DASK_LOGGING__DISTRIBUTED": "error",
        # Its sampling of other threads' frames can hang a worker for good on Python 3.11 (cpython#106883).
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@app.command()
@answers
def status(
    destination: Destination, config: Config = None, overrides: Overrides = None, as_json: Json = False
) -> Any:
    """What is done, missing and failed, per stage."""
    from flows.summary import show_status
    from tasks.status import status as look

    facts = look(*_opened(destination, config, overrides))
    return facts, functools.partial(show_status, facts)


@app.command()
@answers
def verify(
    destination: Destination,
    config: Config = None,
    overrides: Overrides = None,
    shallow: Annotated[bool, typer.Option("--shallow", help="Sizes only, no checksums.")] = False,
    as_json: Json = False,
) -> Any:
    """Check every marker, checksum, schema and reference; name each fault; exit 1 if there is one."""
    from tasks.verify import verify as check

    place, _ = _opened(destination, config, overrides)
    facts = check(place, deep=not shallow)

    def show(console: Console) -> None:
        for fault in facts["faults"]:
            console.print(fault, markup=False, highlight=False, soft_wrap=True)
        sound = f"sound: {facts['units']:,} units, {facts['files']:,} files of version {facts['version']}"
        found = f"{len(facts['faults']):,} faults"
        console.print(found if facts["faults"] else sound, highlight=False)

    return facts, show


@app.command()
@answers
def transfer(
    destination: Destination,
    source: Annotated[
        str, typer.Option("--from", metavar="IMAGE", help="Image id, or path relative to SOURCE.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="IMAGE", help="Image id, or path relative to SOURCE.")
    ],
    points: Annotated[Path, typer.Option("--points", help="CSV with the columns x and y, in pixels.")],
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write; stdout if absent.")] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Carry points of one image to another: x, y, confidence, visible."""
    from flows.points import carry

    place, _ = _opened(destination, config, overrides)
    facts, text = carry(place, source, target, points)
    if out is not None:
        out.write_text(text)
    elif not as_json:
        sys.stdout.write(text)

    def show(console: Console) -> None:
        if out is not None:
            console.print(f"{facts['points']} points written to {out}", highlight=False, soft_wrap=True)

    return facts, show


@app.command()
@answers
def sql(
    destination: Destination,
    query: Annotated[
        str, typer.Argument(help="DuckDB SQL over images, clusters, alignments, correspondences.")
    ],
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Query the published tables with DuckDB; nothing can be written."""
    from congeal.collection import Collection
    from flows.summary import show_rows

    place, _ = _opened(destination, config, overrides)
    frame = Collection(place).query(query)
    columns, rows = frame.column_names, [tuple(row.values()) for row in frame.to_pylist()]
    return {"columns": columns, "rows": rows}, functools.partial(show_rows, columns, rows)


def _opened(destination: str, config: Path | None, overrides: list[str] | None) -> tuple[Any, Any]:
    from infra.settings import load_settings
    from infra.storage import Location

    settings = load_settings(config, overrides or ())
    return Location.parse(destination, settings.storage), settings


def main() -> None:
    """The entry point `congeal`."""
    app()


if __name__ == "__main__":
    main()
