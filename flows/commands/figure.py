"""`congeal figure`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.console.terminal import Config, Destination, Json, Overrides, Version, answers, opened


@answers
def figure(
    destination: Destination,
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="A cluster id.")],
    out: Annotated[str, typer.Argument(metavar="FILE", help="What to write: .png, .pdf or .svg.")],
    members: Annotated[int, typer.Option("--members", min=1, help="Images that are shown.")] = 12,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    version: Version = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """A figure of one cluster for a paper: averages, members as they are and aligned, points by colour."""
    from congeal.report.figures import FORMATS, encoded
    from congeal.results.collection import Collection
    from infra.errors import UserError
    from infra.storage.location import Location

    form = PurePosixPath(out).suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise UserError(f"{out} is no .png, .pdf or .svg file: name one.")
    place, settings = opened(destination, config, overrides)
    file = Location.parse(out, settings.storage)
    if place.contains(file):
        raise UserError(f"The file {file} would lie in the destination {place}: write somewhere else.")
    if file.exists() and not overwrite:
        raise UserError(f"The file {file} is there already: name another, or say --overwrite.")
    collection = Collection(place, version, settings.storage)
    file.write_bytes(encoded(collection.figure(cluster, members), form))
    facts = {"cluster_id": cluster, "out": file.url}

    def show(console: Console) -> None:
        console.print(file.url.removeprefix("file://"), markup=False, highlight=False, soft_wrap=True)

    return facts, show
