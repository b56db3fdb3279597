"""`congeal repair`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened

MOST_SHOWN = 10


@answers
def repair(
    destination: Destination,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    only_damaged: Annotated[
        bool,
        typer.Option(
            "--only-damaged", help="Keep what came from damaged units where it was made from checked inputs."
        ),
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Remove what is damaged and what came from it; the next run makes it anew."""
    from tasks.maintenance.repair import repair as remove

    place, _ = opened(destination, config, overrides)
    facts = remove(place, dry_run=dry_run, only_damaged=only_damaged)

    def show(console: Console) -> None:
        def say(text: str) -> None:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        for fault in facts["faults"][:MOST_SHOWN]:
            say(fault)
        if len(facts["faults"]) > MOST_SHOWN:
            say(f"… and {len(facts['faults']) - MOST_SHOWN:,} more (--json names all)")
        if not facts["faults"]:
            say("nothing is damaged")
            return
        would = "would be " if dry_run else ""
        say(f"{facts['damaged']:,} damaged and {counted(facts['derived'], 'derived unit')} {would}removed")
        if facts["versions"]:
            say(f"versions {would}removed: {', '.join(facts['versions'])}")
        if facts["pointer"]:
            say(f"the pointer to the current version {'would be' if dry_run else 'was'} written anew")
        if not dry_run:
            say(f"`congeal run SOURCE {place}` makes anew what is missing")

    return facts, show
