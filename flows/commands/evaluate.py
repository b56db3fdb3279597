"""`congeal evaluate`."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer

from flows.console.terminal import Config, Json, Overrides, Quiet, answers


@answers
def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A folder with images/ and keypoints.json, or SPair-71k, CUB-200-2011, PF-WILLOW.",
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="spair, cub, pf-willow or landmarks; with -paper or -corrected, left and right change names "
            "where an image is mirrored. Absent: what is usual for the set.",
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="Which part of a download.")
    ] = None,
    alpha: Annotated[
        list[float] | None,
        typer.Option("--alpha", help="A threshold; may be repeated. Absent: the protocol's."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs, each with a seed of its own.")] = 1,
    dest: Annotated[
        str | None, typer.Option("--dest", metavar="DEST", help="Keep the results there, a folder or URL.")
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Any:
    """Align an annotated set and measure it, beside identity and nearest neighbour on the same features."""
    from infra.compute.numeric_libraries import settle_threads

    settle_threads()  # before NumPy is imported
    from congeal.settings import load_settings
    from flows.console.quiet_libraries import quiet_libraries
    from flows.evaluation.annotated_run import evaluate as measure
    from flows.evaluation.facts import show

    quiet_libraries()
    facts = measure(
        dataset,
        load_settings(config, overrides or ()),
        protocol=protocol,
        category=category,
        alphas=alpha or (),
        seeds=seeds,
        destination=dest,
        quiet=quiet or as_json,
    )
    return facts, functools.partial(show, facts)
