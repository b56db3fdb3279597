"""`congeal diff`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.console.answers import ENDLESS
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened

if TYPE_CHECKING:
    from rich.table import Table

    from congeal.results.version_comparison import ClusterChange, FigureChange, VersionDiff

MOST_NAMED = 5  # images that are named; --json has all


@answers
def diff(
    destination: Destination,
    earlier: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="By its number; absent: the one before.")
    ] = None,
    later: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="By its number; absent: the current one.")
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """What a version says otherwise than an earlier one: images, clusters, points, figures."""
    from congeal.results.collection import Collection

    place, settings = opened(destination, config, overrides)
    found = Collection(place, later, settings.storage).diff(earlier)

    def show(console: Console) -> None:
        _show(found, console)

    return asdict(found), show


def _show(found: VersionDiff, console: Console) -> None:
    if not console.is_terminal:  # a file or another program is given whole lines
        console = Console(file=console.file, width=ENDLESS)
    images = found.images
    _line(console, f"version {found.before} to version {found.after}")
    _line(
        console,
        f"images: {images.before:,} to {images.after:,}; {len(images.come):,} have come, "
        f"{len(images.gone):,} have gone, {len(images.renamed):,} have another path, "
        f"{len(images.other_cluster):,} another cluster",
    )
    _named(console, "come", images.come)
    _named(console, "gone", images.gone)
    _named(
        console,
        "another cluster",
        [f"{one.uri} ({one.before or 'none'} to {one.after or 'none'})" for one in images.other_cluster],
    )
    _line(
        console,
        f"clusters: {len(found.new):,} new, {len(found.gone):,} gone, {len(found.changed):,} changed, "
        f"{found.unchanged:,} as they were",
    )
    for word, clusters in (("new", found.new), ("gone", found.gone)):
        _named(console, word, [f"{_called(one.cluster_id, one.name)}, {one.n_images:,}" for one in clusters])
    if found.changed:
        console.print(_changes(found.changed))
    if any(one.before != one.after for one in found.figures.values()):
        console.print(_figures(found.figures))
    was, now = found.further_instances
    if was != now:
        _line(console, f"further instances of their kind in images: {was:,} to {now:,}")
    for note in found.notes:
        _line(console, note)


def _changes(changed: list[ClusterChange]) -> Table:
    from rich.table import Column, Table
    from rich.text import Text

    headings = (
        "images",
        "joined",
        "left",
        "atlas",
        "moved, px: median, 90 %",
        "frame",
        "residual",
        "cycle error",
    )
    table = Table(Column("cluster", no_wrap=True, overflow="fold"), *headings, box=None, pad_edge=False)
    for one in changed:
        points, figures = one.points, one.figures
        name = _called(one.cluster_id, one.name)
        if one.name != one.name_before:
            name += f" (was {one.name_before or 'without a name'})"
        cells = (
            name,
            f"{one.n_images_before:,} → {one.n_images:,}",
            f"{one.joined:,}",
            f"{one.left:,}",
            "solved anew" if one.solved_anew else "kept",
            "–" if points is None else f"{points.median:.2f}, {points.p90:.2f}",
            "–" if points is None else ("same" if points.same_frame else f"moved {points.frame_moved:.2f}"),
            _figure(figures.get("residual")),
            _figure(figures.get("cycle_error")),
        )
        # Names are anybody's text, and no markup.
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _figures(figures: dict[str, FigureChange]) -> Table:
    from rich.table import Table

    table = Table("median of all clusters", "before", "after", "", box=None, pad_edge=False)
    for name, one in figures.items():
        table.add_row(name, _number(one.before), _number(one.after), _better(one))
    return table


def _figure(change: FigureChange | None) -> str:
    if change is None:
        return "same"
    return f"{_number(change.before)} → {_number(change.after)} {_better(change)}".rstrip()


def _better(change: FigureChange) -> str:
    """In a word; what reads the same is neither."""
    if change.better is None or _number(change.before) == _number(change.after):
        return ""
    return "better" if change.better else "worse"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _called(cluster_id: str, name: str | None) -> str:
    return cluster_id if name is None else f"{name} ({cluster_id})"


def _named(console: Console, word: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
        _line(console, f"  {word}: {', '.join(names[:MOST_NAMED])}{more}")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
