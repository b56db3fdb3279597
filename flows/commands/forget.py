"""`congeal forget`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened


@answers
def forget(
    destination: Destination,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]...", help="Ids or paths; absent: what was begun and killed."),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Take images out of every version, picture, feature, map and table; no run takes them in again."""
    from tasks.maintenance.forget import forget as remove

    place, _ = opened(destination, config, overrides)
    facts = remove(place, images or ())

    def show(console: Console) -> None:
        if not facts["images"]:
            said = (
                "What is named was forgotten before: nothing is left to do."
                if images
                else "Nothing to do: no forgetting was begun, and no image is named."
            )
            console.print(said, markup=False, highlight=False, soft_wrap=True)
            return
        images_, files, units = (counted(facts[f"{what}s"], what) for what in ("image", "file", "unit"))
        line = f"{images_} ({files}) forgotten, {units} rewritten"
        lines = [line, "The report is gone: the next run, or `congeal report`, makes it anew."]
        if facts["clusters_to_solve"]:
            named = ", ".join(facts["clusters_to_solve"])
            lines.append(
                f"The next run solves anew, without them: {named}; until then these have no pictures."
            )
        for text in lines:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    return facts, show
