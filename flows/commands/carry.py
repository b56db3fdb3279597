"""Commands that carry what is marked on one image to others: `congeal transfer`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.terminal import Config, Destination, Json, Overrides, answers, opened


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

    place, _ = opened(destination, config, overrides)
    facts, text = carry(place, source, target, points)
    if out is not None:
        out.write_text(text)
    elif not as_json:
        sys.stdout.write(text)

    def show(console: Console) -> None:
        if out is not None:
            console.print(f"{facts['points']} points written to {out}", highlight=False, soft_wrap=True)

    return facts, show
