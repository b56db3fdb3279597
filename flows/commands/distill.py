"""`congeal distill`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Json, Overrides, Quiet, answers


@answers
def distill(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The photographs: a folder, or an fsspec URL.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where the student goes: a folder or URL.")],
    config: Config = None,
    overrides: Overrides = None,
    engine: Annotated[str | None, typer.Option("--engine", help="auto, dask or loop.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Any:
    """Teach a small backbone what a large one sees in these images; a killed training is taken up."""
    from infra.compute.numeric_libraries import settle_threads

    settle_threads()  # before NumPy is imported
    from congeal.settings import load_settings
    from flows.console.quiet_libraries import quiet_libraries
    from flows.distill import distill as teach
    from flows.distill import prepare
    from infra.compute.progress import Progress

    quiet_libraries()
    chosen = [*(overrides or ()), *([f"engine.kind={engine}"] if engine else ())]
    facts = teach(prepare(source, out, load_settings(config, chosen)), Progress(quiet=quiet))

    def show(console: Console) -> None:
        agreed = facts["agreement"]
        console.print(
            f"A student of {facts['teacher']}, {facts['bytes'] / 1e6:.1f} MB: of the teacher's matches on "
            f"{counted(agreed['images'], 'image')} not learned from, {agreed['matches']:.0%} found again.",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        student = facts["student"].removeprefix("file://")
        console.print("Use it with:", highlight=False)
        console.print(
            f"  congeal run SOURCE DEST --set features.weights={student}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

    return facts, show
