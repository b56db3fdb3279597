"""How a collection shows itself, in a terminal and in a notebook."""

from __future__ import annotations

import html

from infra.ledger.publications import Publication

METHODS = (
    (".images .clusters .alignments", "DataFrames"),
    (".table(name, columns=, where=)", "one table, filtered at the store"),
    (".correspondences(cluster=, image=)", "where the atlas' points are"),
    (".transfer(source, points, target)", "points of one image in others"),
    (".landmarks(points, source)", "points of one or more images in all of their cluster"),
    (".propagate(edit, source)", "an edit, mask or label map on all others"),
    (".nearest(image)", "images that look alike"),
    (".atlas(cluster) .maps(image) .image(image)", "arrays"),
    (".sql(query)", "DuckDB"),
)


def text(place: str, about: Publication, outliers: int | None = None) -> str:
    """One line, as `repr` shows it. outliers: how many; absent, as the publication counts them."""
    names = " ".join(name.split("(")[0].split(" ")[0] for name, _ in METHODS)
    holds = _counts(about, outliers)
    return f"<congeal collection {place}, version {about.number} of {about.source}: {holds}; {names}>"


def page(place: str, about: Publication, outliers: int | None = None) -> str:
    """A small HTML table, as a notebook shows it; everything in it is escaped. outliers: as of `text`."""
    facts = (
        ("source", about.source),
        ("version", f"{about.number}, {about.created}"),
        ("holds", _counts(about, outliers)),
        ("backbone", about.backbone),
    )
    rows = "".join(_row(name, html.escape(value)) for name, value in facts)
    rows += "".join(
        _row(f"<code>{html.escape(name)}</code>", html.escape(what), raw=True) for name, what in METHODS
    )
    return f"<table><caption><b>congeal</b> {html.escape(place)}</caption><tbody>{rows}</tbody></table>"


def _row(name: str, value: str, raw: bool = False) -> str:
    head = name if raw else html.escape(name)
    return f'<tr><th style="text-align:left">{head}</th><td style="text-align:left">{value}</td></tr>'


def _counts(about: Publication, outliers: int | None) -> str:
    counts = about.counts
    apart = counts.get("outliers", 0) if outliers is None else outliers
    return f"{counts.get('ok', 0):,} images, {counts.get('clusters', 0):,} clusters, {apart:,} outliers"
