"""`congeal prune`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened

MOST_NAMED = 5


@answers
def prune(
    destination: Destination,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="Keep the newest N versions.")] = 1,
    older_than: Annotated[
        float,
        typer.Option("--older-than", metavar="DAYS", help="Keep whatever was made in the last DAYS days."),
    ] = 1.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Remove old versions, and what no version needs."""
    from tasks.maintenance.prune import prune as remove

    place, _ = opened(destination, config, overrides)
    facts = remove(place, keep=keep, older_than=older_than, dry_run=dry_run)

    def show(console: Console) -> None:
        versions, units = len(facts["removed_versions"]), sum(facts["units"].values())
        console.print(
            f"{counted(versions, 'version')} and {counted(units, 'unit')} {'would be ' if dry_run else ''}"
            f"removed, {facts['bytes'] / 2**20:,.1f} MiB; kept: {', '.join(facts['kept_versions'])}",
            highlight=False,
            soft_wrap=True,
        )
        if facts["too_young"]:
            console.print(
                f"{counted(facts['too_young'], 'unit')} that no version names "
                f"{'is' if facts['too_young'] == 1 else 'are'} younger than {older_than:g} days: they may "
                "belong to a run that is to be taken up (--older-than 0 removes them)",
                highlight=False,
                soft_wrap=True,
            )
            named = facts["young"][:MOST_NAMED]
            more = facts["too_young"] - len(named)
            rest = f" and {more:,} more" if more else ""
            console.print(f"  {', '.join(named)}{rest}", markup=False, highlight=False, soft_wrap=True)
        if facts["left_out_count"]:
            console.print(f"left out below stages: {facts['left_out_count']:,}", highlight=False)
            for item in facts["left_out"][:MOST_NAMED]:
                line = f"  {item['path']}: {item['reason']}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            if facts["left_out_count"] > MOST_NAMED:
                more = facts["left_out_count"] - MOST_NAMED
                console.print(f"  … and {more:,} more (--json names up to 100)", highlight=False)

    return facts, show
