"""`congeal relocate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened

MOST_NAMED = 10


@answers
def relocate(
    destination: Destination,
    source: Annotated[
        str,
        typer.Option("--source", metavar="NEW", help="Where the photographs lie now: a folder, clip or URL."),
    ],
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Say that the source lies elsewhere now: its images are known again, none is computed anew."""
    from infra.storage.image_source import image_source
    from tasks.maintenance.relocate import relocate as move

    place, settings = opened(destination, config, overrides)
    facts = move(place, image_source(source, storage=settings.storage), settings)

    def show(console: Console) -> None:
        lines = [
            f"known again in {facts['source']}: {counted(facts['known'], 'image')} of {facts['before']}; "
            f"new: {facts['new']:,}; not the same any more, or gone: {facts['not_matched_count']:,}"
        ]
        if facts["forgotten"]:
            lines.append(f"  {facts['forgotten']:,} were forgotten, and stay out")
        lines += [f"  {one['uri']}: {one['reason']}" for one in facts["not_matched"][:MOST_NAMED]]
        if facts["not_matched_count"] > MOST_NAMED:
            lines.append(f"  and {facts['not_matched_count'] - MOST_NAMED:,} more (--json names up to 100)")
        source_, there = (facts[name].removeprefix("file://") for name in ("source", "destination"))
        lines.append(f"`congeal run {source_} {there}` makes a version of it.")
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return facts, show
