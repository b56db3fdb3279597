"""`congeal clusters`: what the owner of a collection corrects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.terminal import Config, Destination, Json, Overrides, answers, opened

if TYPE_CHECKING:
    from congeal.results.published_version import Published
    from congeal.settings import Settings

# Each action, and how it is written.
ACTIONS = {
    "list": "list",
    "merge": "merge A B",
    "split": "split A [IMAGE]...",
    "move": "move IMAGE... --to A",
    "exclude": "exclude IMAGE...",
    "pin": "pin A --reference IMAGE",
    "name": "name A TEXT",
    "undo": "undo NUMBER",
}


@answers
def clusters(
    destination: Destination,
    action: Annotated[str, typer.Argument(metavar="ACTION", help=", ".join(ACTIONS))] = "list",
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="merge A B: B comes to A. split A [IMAGE…]: these images leave it, or its smaller half. "
            "move IMAGE… --to A. exclude IMAGE… from all clusters. pin A --reference IMAGE. name A TEXT. "
            "undo NUMBER.",
        ),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="A", help="Cluster that images move to.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="IMAGE", help="As it lies there, the atlas lies.")
    ] = None,
    why: Annotated[str | None, typer.Option("--why", metavar="TEXT", help="Recorded beside it.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Who corrects; absent: who is logged in.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Merge clusters that have little in common, too.")
    ] = False,
    apply: Annotated[
        bool,
        typer.Option(
            "--run",
            help="And run at once, as the current version was made: what is concerned is solved.",
        ),
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> Any:
    """Correct the clusters: merge, split, move, exclude, pin, name, list, undo; the next run applies it."""
    if apply:
        from infra.compute.numeric_libraries import settle_threads

        settle_threads()  # before NumPy is imported
    from congeal.results.published_version import Published
    from tasks.maintenance import correct

    place, settings = opened(destination, config, overrides)
    published = Published(place, None, settings.storage)
    given = _checked(action, list(names or ()), to, reference)
    # Asked before anything is recorded: what cannot be run is refused whole.
    again = _again(action, published, config, overrides or ()) if apply else None
    if action == "list":
        rows = correct.listed(published)
        return {"corrections": rows}, lambda console: _show_list(rows, console)
    who = correct.given(why, by)
    first, *rest = given
    if action == "merge":
        facts = correct.merge(published, given, who, force=force)
    elif action == "split":
        facts = correct.split(published, first, rest, who)
    elif action == "move":
        facts = correct.move(published, given, str(to), who)
    elif action == "exclude":
        facts = correct.exclude(published, given, who)
    elif action == "pin":
        facts = correct.pin(published, first, str(reference), who)
    elif action == "name":
        facts = correct.name(published, first, rest[0], who)
    else:
        facts = correct.undo(published, int(first), who)

    if again is not None:
        return _applied(facts, *again)

    def show(console: Console) -> None:
        source, there = (str(facts[name]).removeprefix("file://") for name in ("source", "destination"))
        _line(console, f"{_sentence(facts)}; `congeal run {source} {there}` applies it.")

    return facts, show


def _again(
    action: str, published: Published, config: Any, overrides: Sequence[str]
) -> tuple[str, str, Settings]:
    """Source, destination and settings of another run like that of the current version."""
    from flows.runs.prepare import prepare
    from flows.whole_run import settings_of
    from infra.errors import UserError
    from infra.ledger.moved_sources import present_url

    if action == "list":
        raise UserError("--run goes with a correction, and list is none: give `congeal run` without one.")
    place = published.place
    source = present_url(place, published.publication.source)
    settings = settings_of(published.publication, config, overrides)
    prepare(source, place.url, settings, writing=False).survey.close()
    return source, place.url, settings


def _applied(facts: dict[str, Any], source: str, destination: str, settings: Settings) -> Any:
    """Run, and show the correction before what the run has done."""
    from flows.console.summary import show_run
    from flows.whole_run import whole_run

    done = whole_run(source, destination, settings, quiet=False)

    def show(console: Console) -> None:
        _line(console, _sentence(facts))
        show_run(done, console)

    return facts | {"run": done}, show


def _checked(action: str, names: list[str], to: str | None, reference: str | None) -> list[str]:
    """The names that an action takes. Raises UserError for another action, too few or too many."""
    from infra.errors import UserError

    if action not in ACTIONS:
        raise UserError(f"There is no action {action!r}: give one of {', '.join(ACTIONS)}.")
    least, most = {
        "list": (0, 0),
        "merge": (2, None),
        "split": (1, None),
        "move": (1, None),
        "exclude": (1, None),
        "pin": (1, 1),
        "name": (2, 2),
        "undo": (1, 1),
    }[action]
    if len(names) < least or (most is not None and len(names) > most):
        wanted = counted(least, "name") if most == least else f"{least} or more names"
        there = "1 is" if len(names) == 1 else f"{len(names)} are"
        raise UserError(
            f"{action} takes {wanted}, and {there} given: congeal clusters DEST {ACTIONS[action]}."
        )
    if (to is not None) != (action == "move"):
        raise UserError("--to A goes with move, and move with it: name the cluster that the images move to.")
    if (reference is not None) != (action == "pin"):
        raise UserError("--reference IMAGE goes with pin, and pin with it: name an image of the cluster.")
    if action == "undo" and not (names[0].isascii() and names[0].isdigit()):
        raise UserError(
            f"{names[0]!r} is no number of a correction: `congeal clusters DEST list` shows them."
        )
    return names


def _sentence(row: dict[str, Any]) -> str:
    """A correction in a few words."""
    named = " ".join(row["clusters"])
    images = counted(row["images"], "image")
    comes, goes = ("comes", "goes") if row["images"] == 1 else ("come", "go")
    what = {
        "merge": f"merge {named}, {images} {comes} to the first",
        "split": f"split {named}, {images} {goes} to the second",
        "move": f"move {images} to {named}",
        "exclude": f"exclude {images}",
        "pin": f"pin {named} to a reference image",
        "name": f"name {named} {row['name']!r}",
        "undo": f"undo {row['undoes']}",
    }[row["kind"]]
    return f"correction {row['number']}: {what}"


def _show_list(rows: list[dict[str, Any]], console: Console) -> None:
    for row in rows:
        why = f" ({row['why']})" if row["why"] else ""
        _line(console, f"{_sentence(row)}; {row['state']}; {row['by']}, {row['at'][:16]}{why}")
    if not rows:
        _line(console, "There is no correction.")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
