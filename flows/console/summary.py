"""What a person sees at the end of a command."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from congeal.backbones.stronger import stronger
from congeal_floors.plurals import counted
from flows.console.terminal import shown_place
from tasks.execution.cost import shown_cost

MOST_DRIFTING = 5  # clusters that are named
MOST_REASONS = 10  # why something was passed over
MOST_DOUBTFUL = 5  # clusters that are named, likewise of those that are not aligned


def show_run(report: dict[str, Any], console: Console) -> None:
    """The facts of a run: a table of stages, the images, where to look next."""
    if report["up_to_date"]:
        console.print(
            f"Nothing to do: {shown_place(report['destination'])} is up to date with "
            f"{shown_place(report['source'])} "
            f"(version {report['version']}, {report['seconds']:.1f} s).",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    else:
        console.print(_stages(report))
        if report.get("cost"):
            console.print(shown_cost(report["cost"]), markup=False, highlight=False, soft_wrap=True)
    _counts(report, console)
    if report["iceberg_fault"]:
        console.print(report["iceberg_fault"], markup=False, highlight=False, soft_wrap=True)
    if report.get("report_fault"):
        console.print(report["report_fault"], markup=False, highlight=False, soft_wrap=True)
    destination = shown_place(report["destination"])
    console.print("Where to look:", highlight=False)
    if report.get("report"):
        place = shown_place(report["report"])
        console.print(
            f"  {place}: the report, to open in a browser", markup=False, highlight=False, soft_wrap=True
        )
    failures = report["images"]["failed"] + report.get("failed_clusters", 0)
    for command in _commands(destination, failures, report["clusters"]):
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def show_status(report: dict[str, Any], console: Console) -> None:
    """What is done, missing and failed, per stage."""
    table = Table("stage", _right("done"), _right("missing"), _right("damaged"), box=None, pad_edge=False)
    for stage in report["stages"]:
        table.add_row(stage["stage"], *(f"{stage[key]:,}" for key in ("done", "missing", "damaged")))
    console.print(table)
    if report["version"] is None:
        console.print("Nothing is published yet: `congeal run` takes up where it was left.", highlight=False)
        return
    console.print(
        f"version {report['version']} of {shown_place(report['source'])}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    _counts(report, console)
    if report["failures"] or report["cluster_failures"]:
        console.print("what failed, and why:", highlight=False)
    for reason in report["failures"]:
        console.print(f"  {reason['uri']}: {reason['error']}", markup=False, highlight=False, soft_wrap=True)
    for reason in report["cluster_failures"]:
        text = f"  cluster {_called(reason)}: {reason['error']}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    hidden = report["images"]["failed"] - len(report["failures"])
    if hidden > 0:
        console.print(f"  … and {hidden:,} more: see status and error in the table images", highlight=False)


def _counts(report: dict[str, Any], console: Console) -> None:
    images = report["images"]
    excluded = f", {report['excluded']:,} excluded" if report.get("excluded") else ""
    failed = f" ({report['failed_clusters']:,} failed)" if report.get("failed_clusters") else ""
    console.print(
        f"images: {images['ok']:,} ok, {images['failed']:,} failed, {images['duplicate']:,} duplicate"
        f"{excluded} · clusters: {report['clusters']:,}{failed} · outliers: {_outliers(report)}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    _none_alike(report, console)
    _maps(report, console)
    _fixed_cameras(report, console)
    _further_instances(report, console)
    _doubtful(report, console)
    _not_aligned(report, console)
    _passed_over(report, console)
    _owner(report, console)
    _drifting(report, console)


def _none_alike(report: dict[str, Any], console: Console) -> None:
    """Why there is no cluster, and what helps."""
    if report["images"]["ok"] and not report["clusters"]:
        console.print(
            "no cluster: too few of the images are enough alike (setting clusters.smallest); if all show one "
            "kind of thing, say --set clusters.method=single",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _outliers(report: dict[str, Any]) -> str:
    """How many outliers there are, and of which kind."""
    count, misfits = report["outliers"], report.get("misfits")
    if not count or misfits is None:
        return f"{count:,}"
    kinds = (count - misfits, "in no cluster"), (misfits, "not fitting their cluster")
    return f"{count:,} ({', '.join(f'{number:,} {kind}' for number, kind in kinds if number)})"


def _maps(report: dict[str, Any], console: Console) -> None:
    """How freely the clusters' maps bend; what rigid ones cannot carry."""
    found = report["deformation"]
    if not found:
        return
    said = ", ".join(f"{count:,} {kind}" for kind, count in found.items())
    console.print(f"maps of the clusters: {said}", highlight=False)
    if found.get("rigid"):
        console.print(
            "  rigid ones move, turn and scale: what they carry keeps the shape of what was marked "
            "(column deformation of the table clusters)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _fixed_cameras(report: dict[str, Any], console: Console) -> None:
    """Which clusters are not aligned by what their images share in place."""
    count = report["fixed_camera"]
    if count:
        console.print(
            f"frames of a fixed camera: {count:,} {'cluster' if count == 1 else 'clusters'}; what moves is "
            "aligned, the scene is background (column fixed_camera of the table clusters)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _further_instances(report: dict[str, Any], console: Console) -> None:
    """How many images show several of their kind."""
    found = report.get("further_instances") or {}
    if found.get("found"):
        images = f"{counted(found['images'], 'image')} {'shows' if found['images'] == 1 else 'show'}"
        each = "a row" if found["found"] == 1 else "rows"
        console.print(
            f"several of a kind: {images} {found['found']:,} more besides the first, with {each} of their "
            "own (column instance_id of alignments and correspondences)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _doubtful(report: dict[str, Any], console: Console) -> None:
    """Which clusters' maps are not borne out by matching."""
    found = report.get("doubtful") or []
    if found:
        more = ", …" if len(found) > MOST_DOUBTFUL else ""
        console.print(
            f"doubtful: {len(found):,} {'cluster' if len(found) == 1 else 'clusters'} "
            f"({', '.join(found[:MOST_DOUBTFUL])}{more}); matching does not bear the maps out: look at them "
            "in the report before you rely on them (column match_agreement of the table clusters)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _not_aligned(report: dict[str, Any], console: Console) -> None:
    """Which clusters have no maps to speak of, and the features that would show more of them."""
    found = report.get("not_aligned") or []
    if not found:
        return
    more = ", …" if len(found) > MOST_DOUBTFUL else ""
    next_one = stronger(report["backbone"])
    cure = (
        "correct who belongs to them (`congeal clusters`)"
        if next_one is None
        else "stronger ones may: run the images to another destination with "
        f"--set features.backbone={next_one}"
    )
    console.print(
        f"not aligned: {len(found):,} {'cluster' if len(found) == 1 else 'clusters'} "
        f"({', '.join(found[:MOST_DOUBTFUL])}{more}); the features of the backbone {report['backbone']} show "
        f"nothing that their images share; {cure}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _passed_over(report: dict[str, Any], console: Console) -> None:
    """What looks like a picture and was not read: how many, why, and the first names."""
    passed_over = report["passed_over"]
    if not passed_over["total"]:
        return
    console.print(f"passed over: {passed_over['total']:,}", highlight=False)
    for entry in passed_over["reasons"][:MOST_REASONS]:
        more = ", …" if entry["count"] > len(entry["first"]) else ""
        console.print(
            f"  {entry['count']:,}: {entry['reason']} ({', '.join(entry['first'])}{more})",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    hidden = len(passed_over["reasons"]) - MOST_REASONS
    if hidden > 0:
        console.print(f"  … and {counted(hidden, 'more reason')}: `congeal status --json`", highlight=False)


def _owner(report: dict[str, Any], console: Console) -> None:
    """What the owner of the collection has left out, and which columns images have of theirs."""
    lines = []
    if report.get("left_out"):
        lines.append(f"left out by source.include and source.exclude: {report['left_out']:,}")
    own = report.get("own_columns")
    if own:
        lines.append(f"further columns of images: {', '.join(name for name, _ in own['columns'])}")
        for key, what in (
            ("without_row", "images without a row"),
            ("without_images", "rows without an image"),
        ):
            if own[key]["count"]:
                more = ", …" if own[key]["count"] > len(own[key]["first"]) else ""
                lines.append(f"  {what}: {own[key]['count']:,} ({', '.join(own[key]['first'])}{more})")
    for line in [*lines, *report.get("notes", ())]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _drifting(report: dict[str, Any], console: Console) -> None:
    """Clusters whose newcomers fit worse than the images before them, and the cure."""
    drifting = report["drifting"]
    if not drifting:
        return
    shown = [f"{_called(row)} ({row['n_new']:,} new, {row['drift']:.2f})" for row in drifting[:MOST_DRIFTING]]
    more = f" and {len(drifting) - MOST_DRIFTING:,} more" if len(drifting) > MOST_DRIFTING else ""
    source, destination = shown_place(report["source"]), shown_place(report["destination"])
    console.print(
        f"drifting, newcomers fit worse than those before: {', '.join(shown)}{more}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"  congeal run {source} {destination} --set atlases.resolve=drifted",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _called(row: dict[str, Any]) -> str:
    """A cluster's id, its name before it where it has one."""
    return f"{row['name']} ({row['cluster_id']})" if row.get("name") else str(row["cluster_id"])


def _stages(report: dict[str, Any]) -> Table:
    headings = ("made", "there already", "items", "seconds", "peak memory")
    table = Table("stage", *map(_right, headings), box=None, pad_edge=False)
    for stage in report["stages"]:
        memory = f"{stage['peak_memory_bytes'] / 2**20:,.0f} MiB" if stage["peak_memory_bytes"] else "–"
        counts = (stage["units_made"], stage["units_skipped"], stage["items_made"])
        table.add_row(stage["stage"], *(f"{count:,}" for count in counts), f"{stage['seconds']:,.1f}", memory)
    table.add_row("all", "", "", "", f"{report['seconds']:,.1f}", "", style="bold")
    return table


def _commands(destination: str, failed: int, clusters: int) -> list[str]:
    lines = [
        f"congeal pictures {destination}: where the pictures of every cluster are",
        f'congeal sql {destination} "SELECT cluster_id, n_images, n_outliers, confidence, match_agreement '  # noqa: S608 - shown, not run
        'FROM clusters ORDER BY match_agreement": the least trustworthy clusters first',
        f"congeal transfer {destination} --from IMAGE --to IMAGE --points IN.csv",
        f"python -c 'import congeal; print(congeal.open(\"{destination}\"))'",
    ]
    if not clusters:
        lines = [f'congeal sql {destination} "FROM images"', lines[-1]]
    if failed:
        lines.insert(1, f"congeal status {destination}: what failed, and why")
    return lines


def _right(heading: str) -> Any:
    from rich.table import Column

    return Column(heading, justify="right", overflow="fold")
