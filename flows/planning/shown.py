"""A plan as a person reads it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from congeal_floors.plurals import counted
from flows.console.terminal import shown_place


def show_plan(facts: dict[str, Any], console: Console) -> None:
    """Images, clusters, times, memory, bytes, requests and price."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if facts["up_to_date"]:
        say(
            f"Nothing to do: {shown_place(facts['destination'])} is up to date with "
            f"{shown_place(facts['source'])} "
            f"(version {facts['version']}, {counted(facts['images'], 'image')})."
        )
        return
    left = f", {facts['left_out']:,} left out" if facts["left_out"] else ""
    passed = f", {facts['passed_over']['total']:,} passed over" if facts["passed_over"]["total"] else ""
    say(f"images: {facts['images']:,} ({_bytes(facts['source_bytes'])}{left}{passed})")
    sample = facts["sample"]
    least, most = facts["sets_between"]
    seen = sample["looked_at"] or sample["ok"]
    about = "" if least == most else f" ({least:,} to {most:,}, by a sample of {counted(seen, 'image')})"
    say(f"clusters expected: {facts['sets']:,}{about}; images in no cluster: {facts['without_set']:,}")
    done = facts["done"]
    if any(done.values()):
        say(
            f"done already: {counted(done['catalog'], 'image')} catalogued, {done['features']:,} "
            "with features, "
            f"{done['atlases']:,} atlases"
        )
    table = Table("stage", Column("time", justify="right"), box=None, pad_edge=False)
    for stage in facts["stages"]:
        table.add_row(stage["stage"], _time(stage["seconds"]))
    table.add_row("start and end", _time(facts["start_seconds"]))
    table.add_row("all", _time(facts["seconds"]), style="bold")
    console.print(table)
    workers = counted(facts["workers"], "worker")
    say(f"on {facts['device']}, {workers}, as measured on this machine just now")
    say(f"peak memory: {_bytes(facts['peak_memory_bytes'])}")
    say(f"read: {_bytes(facts['read_bytes'])} · written: {_bytes(facts['written_bytes'])}")
    for side, kinds in facts["requests"].items():
        said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
        say(f"requests to the {side}: {said or 'none'}")
    price = facts["price"]
    say(
        f"price: {price['once']:,.2f} {price['currency']} once (requests {price['requests']:,.2f}, reading "
        f"{price['reading']:,.2f}, computing {price['computing']:,.2f}), {price['storage_per_month']:,.2f} a "
        "month for storage; by the settings of the section plan"
    )
    for note in facts["notes"]:
        say(note)


def _time(seconds: float) -> str:
    """In the unit that a person would say it in."""
    if seconds < 100:
        return f"{seconds:,.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 6_000 else f"{seconds / 3600:,.1f} h"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"
