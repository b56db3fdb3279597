"""What the page of a run shows when it has ended: a summary, failures, clusters, pictures, the report."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from rich.console import Console

from congeal_floors.plurals import counted
from flows.console.summary import show_run
from flows.deployments.destination_slots import slot_name
from flows.deployments.preview_pictures import linked, shown_within
from flows.runs.findings import MOST, Failures

if TYPE_CHECKING:
    from congeal.results.collection import Collection

CLUSTERS = 50  # in the table of clusters
PICTURED = 6  # of those, the largest
# Columns of the table of clusters, and what they are called on the page.
_QUALITY = (
    "cluster_id", "name", "status", "n_images", "n_outliers", "n_new", "margin", "confidence", "residual",
    "cycle_error", "fold_fraction", "coverage", "drift", "deformation", "seconds", "error",
)  # fmt: skip


def write_artifacts(
    facts: dict[str, Any], found: Failures, collection: Collection, why: str, address: str | None
) -> None:
    """Leave everything that the terminal would show, and more, on the page of the run.

    why: which backbone was used, and for what reason. address: where browsers find the destination.
    What cannot be left there is a warning: the run is done.
    """
    key = slot_name(facts["destination"])
    clusters = _clusters(collection)
    for name, write in (
        (
            "summary",
            lambda: _markdown(
                f"{key}-summary", summary(facts, why, address), f"What the run did in {_there(facts)}"
            ),
        ),
        ("failures", lambda: _failures(f"{key}-failures", facts, found, address)),
        ("clusters", lambda: _quality(f"{key}-clusters", clusters, facts)),
        ("pictures", lambda: _pictures(f"{key}-pictures", clusters, collection, address, _there(facts))),
        ("report", lambda: _report(f"{key}-report", facts, address)),
    ):
        _tried(name, write)


def summary(facts: dict[str, Any], why: str, address: str | None) -> str:
    """Markdown: the counts, the stages, the backbone, and what the terminal shows, word for word."""
    images = facts["images"]
    lines = [
        f"## Version {facts['version']} of {code(facts['destination'])}",
        "",
        "Nothing had to be done." if facts["up_to_date"] else f"Done in {facts['seconds']:,.0f} s.",
        "",
        "| | |",
        "| --- | ---: |",
        f"| images | {images['ok']:,} |",
        f"| failed | {images['failed']:,} |",
        f"| duplicates | {images['duplicate']:,} |",
        f"| passed over | {facts['passed_over_count']:,} |",
        f"| clusters | {facts['clusters']:,} |",
        f"| clusters that failed | {facts['failed_clusters']:,} |",
        f"| outliers | {facts['outliers']:,} |",
        f"| drifting clusters | {len(facts['drifting']):,} |",
        *_several(facts),
        "",
        f"**Source** {code(facts['source'])}",
        "",
        f"**Backbone** {cell(why.removeprefix('backbone: '))}",
        "",
        f"**Report** {_report_link(facts, address)}",
        "",
        *_stages(facts),
        "**As the terminal shows it**",
        "",
        "```text",
        terminal(facts).replace("```", "'''"),
        "```",
    ]
    return "\n".join(lines)


def _several(facts: dict[str, Any]) -> list[str]:
    found = facts["further_instances"]
    said = f"| further instances of their kind | {found['found']:,} in {counted(found['images'], 'image')} |"
    return [said] if found["found"] else []


def terminal(facts: dict[str, Any]) -> str:
    """What `congeal run` prints at its end."""
    console = Console(file=io.StringIO(), record=True, width=110, color_system=None)
    show_run(facts, console)
    return console.export_text(styles=False).rstrip()


def failure_list(facts: dict[str, Any], found: Failures, address: str | None) -> str:
    """Markdown: each image and cluster that failed, why, and links where browsers can follow them."""
    failed = (facts["images"]["failed"], "image"), (facts["failed_clusters"], "cluster")
    told = ", ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in failed)
    lines = [f"## Failed: {told}", ""]
    if address is not None:
        lines += [f"[All of them in the report]({_page(address, 'problems')})", ""]
    if found.images:
        # The page cuts what is too wide for it: last comes what matters least.
        lines += ["| image | why | id |", "| --- | --- | --- |"]
        lines += [
            f"| {_image(facts, row['uri'])} | {cell(row['error'])} | {code(row['image_id'] or '')} |"
            for row in found.images
        ]
    if found.clusters:
        lines += ["", "| cluster | why |", "| --- | --- |"]
        lines += [
            f"| {_cluster_link(row['cluster_id'], address)} | {cell(row['error'])} |"
            for row in found.clusters
        ]
    hidden = facts["images"]["failed"] - len(found.images)
    if hidden > 0:
        lines += [
            "",
            f"… and {counted(hidden, 'more image')}: `congeal status`, or the table images ({MOST} "
            "are shown).",
        ]
    return "\n".join(lines)


def code(text: object) -> str:
    """A name of somebody else's in Markdown, as it stands."""
    clean = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{clean}`" if clean else ""


def cell(text: object) -> str:
    """Text of somebody else's in a cell of a Markdown table: no mark-up of its own."""
    clean = " ".join(str(text).split())
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]()<>#+!|~" else mark for mark in clean)


def _stages(facts: dict[str, Any]) -> Iterator[str]:
    if not facts["stages"]:
        return
    yield "| stage | made | there already | items | seconds | peak memory |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for one in facts["stages"]:
        peak = f"{one['peak_memory_bytes'] / 2**20:,.0f} MiB" if one["peak_memory_bytes"] else "–"
        yield (
            f"| {one['stage']} | {one['units_made']:,} | {one['units_skipped']:,} | {one['items_made']:,} "
            f"| {one['seconds']:,.1f} | {peak} |"
        )
    yield ""


def _there(facts: dict[str, Any]) -> str:
    """The destination as people write it: the list of artifacts shows keys of digits alone."""
    return str(facts["destination"]).removeprefix("file://")


def _clusters(collection: Collection) -> list[dict[str, Any]]:
    """The largest clusters, as their table has them."""
    query = f"SELECT {', '.join(_QUALITY)} FROM clusters ORDER BY n_images DESC, cluster_id LIMIT {CLUSTERS}"  # noqa: S608
    return list(collection.query(query).to_pylist())


def _quality(key: str, clusters: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    table = [{name: _number(row[name]) for name in _QUALITY} for row in clusters]
    more = f"the largest {len(table):,} of {facts['clusters']:,}" if facts["clusters"] > len(table) else "all"
    create_table_artifact(
        table=table,
        key=key,
        description=f"Quality of the clusters in {_there(facts)} ({more}), as of docs/tables.md",
    )


def _failures(key: str, facts: dict[str, Any], found: Failures, address: str | None) -> None:
    if found.images or found.clusters:
        _markdown(key, failure_list(facts, found, address), f"What failed in {_there(facts)}, and why")


def _pictures(
    key: str, clusters: list[dict[str, Any]], collection: Collection, address: str | None, there: str
) -> None:
    pictured = [row for row in clusters if row["status"] not in ("single", "failed")][:PICTURED]
    where = None if address is None else linked(address, collection)
    lines = ["## The largest sets", "", "Before alignment, after it, and the images aligned.", ""]
    for row in pictured:
        shown = shown_within(collection.pictures(row["cluster_id"]), where)
        if shown:
            title = f"{cell(row['name'])} " if row["name"] else ""
            lines += [
                f"### {title}{_cluster_link(row['cluster_id'], address)}, "
                f"{counted(row['n_images'], 'image')}", "",
                f"| {' | '.join(name.replace('_', ' ') for name, _ in shown)} |", "| --- " * len(shown) + "|",
                f"| {' | '.join(f'![{name}]({url})' for name, url in shown)} |", "",
            ]  # fmt: skip
        if shown and where is not None:
            images = f"cluster {row['cluster_id']}, {counted(row['n_images'], 'image')}"
            create_image_artifact(
                image_url=shown[-1][1], key=f"{key}-{row['cluster_id']}", description=images
            )
    if len(lines) > 4:
        _markdown(key, "\n".join(lines), f"Pictures of the largest sets in {there}")


def _report(key: str, facts: dict[str, Any], address: str | None) -> None:
    if facts.get("report") and address is not None:
        create_link_artifact(
            link=f"{address}/report/index.html", link_text="The report on this version", key=key,
            description=f"All images of {_there(facts)} by likeness, every set before and after",
        )  # fmt: skip
    elif facts.get("report"):
        _markdown(
            key,
            f"The report lies at {code(facts['report'])}. With the setting `report.url` this is a link; "
            f"`congeal report {facts['destination'].removeprefix('file://')} --serve` shows it on a machine "
            "that reaches it.",
            f"Where the report on {_there(facts)} is",
        )


def _markdown(key: str, text: str, description: str) -> None:
    create_markdown_artifact(markdown=text, key=key, description=description)


def _report_link(facts: dict[str, Any], address: str | None) -> str:
    if not facts.get("report"):
        return cell(facts.get("report_fault") or "none was asked for")
    if address is None:
        return code(facts["report"])
    return f"[{cell(facts['report'])}]({address}/report/index.html)"


def _page(address: str, route: str) -> str:
    return f"{address}/report/index.html#/{route}"


def _cluster_link(cluster: str, address: str | None) -> str:
    return code(cluster) if address is None else f"[{cluster}]({_page(address, f'cluster/{cluster}')})"


def _image(facts: dict[str, Any], uri: str) -> str:
    return code(f"{facts['source'].removeprefix('file://').rstrip('/')}/{uri}")


def _number(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _tried(name: str, write: Callable[[], None]) -> None:
    try:
        write()
    except Exception as error:
        get_run_logger().warning(f"the artifact {name} could not be left ({type(error).__name__}: {error})")
