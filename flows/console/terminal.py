"""What all commands share: their common options, and how an answer or an error is shown."""

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

Destination = Annotated[str, typer.Argument(metavar="DEST", help="Where a run has put its results.")]
Version = Annotated[
    str | None, typer.Option("--version", metavar="VERSION", help="An older version, by its number.")
]
Json = Annotated[bool, typer.Option("--json", help="One machine-readable line on stdout at the end.")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings, a TOML or YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; may be repeated.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]


INTERRUPTED = 130
SPENT = 3  # the run stopped in good order, with work left, because its budget was spent


def answers(command: Callable[..., tuple[dict[str, Any], Callable[[Console], None]]]) -> Callable[..., None]:
    """Turn a command that returns (facts, how to show them) into one that prints and exits as it should."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        outcome = _attempt(command, args, kwargs)
        # Outside of any except block: an error that is still being handled would keep what it holds alive.
        if isinstance(outcome, Failure):
            Console(stderr=True, soft_wrap=True).print(outcome.sentence, markup=False, highlight=False)
            if kwargs.get("as_json") and outcome.code in (1, SPENT):
                _line({"ok": False, "error": outcome.sentence.removeprefix("error: ")})
            raise typer.Exit(outcome.code)
        facts, show = outcome
        try:
            if kwargs.get("as_json"):
                _line({"ok": not facts.get("faults"), **facts})
            elif not kwargs.get("quiet"):
                show(Console())
                sys.stdout.flush()
        except BrokenPipeError:
            raise  # whoever reads has had enough; the command line's own way out says nothing
        except OSError as error:
            _unwritable(error)
            raise typer.Exit(1) from None
        if facts.get("faults"):
            raise typer.Exit(1)

    return wrapped


class Failure(NamedTuple):
    """Why a command did not come to its end, in one line, and its exit code."""

    sentence: str
    code: int


def _attempt(command: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from congeal.errors import CongealError
    from infra.errors import BudgetSpentError, UserError

    try:
        return command(*args, **kwargs)
    except BudgetSpentError as error:
        traceback.clear_frames(error.__traceback__)
        return Failure(str(error), SPENT)
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


def _unwritable(error: OSError) -> None:
    """Say why the answer is not out, and drop the rest of it: the end of the process would try it again."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    sentence = (
        f"error: The answer cannot be written to standard output: {error.strerror}. What the command did is "
        "kept; call it again with room for its answer."
    )
    Console(stderr=True, soft_wrap=True).print(sentence, markup=False, highlight=False)


def opened(destination: str, config: Path | None, overrides: list[str] | None) -> tuple[Any, Any]:
    """The place that is named on the command line, and the settings it is opened with."""
    from congeal.settings import load_settings
    from infra.storage.location import Location

    settings = load_settings(config, overrides or ())
    return Location.parse(destination, settings.storage), settings


def shown_place(url: str) -> str:
    """A place as a person writes it: a path on this machine, or a URL."""
    return url.removeprefix("file://")
