"""How a collection shows itself, in a terminal and in a notebook."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator
from typing import NamedTuple

from infra.ledger.publications import Publication


class MethodSummary(NamedTuple):
    """A public method or property of a class: its name, its call, the first line of its docstring."""

    name: str
    call: str
    about: str


def methods(of: type) -> Iterator[MethodSummary]:
    """What a class offers, in the order in which it and its bases define it."""
    for base in reversed(of.__mro__[:-1]):
        for name, member in vars(base).items():
            if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                about = (inspect.getdoc(member) or "").partition("\n")[0]
                yield MethodSummary(name, f".{name}{_parameters(member)}", about)


def _parameters(member: object) -> str:
    """The parameters of a method: `(name, columns=)`; of a property nothing."""
    if not inspect.isfunction(member):
        return ""
    _, *parameters = inspect.signature(member).parameters.values()
    shown = [one.name if one.default is one.empty else f"{one.name}=" for one in parameters]
    return f"({', '.join(shown)})"


def text(of: type, place: str, about: Publication, outliers: int | None = None) -> str:
    """One line, as `repr` shows it. of: the class. outliers: how many; None: as the publication counts."""
    names = " ".join(f".{method.name}" for method in methods(of))
    holds = _counts(about, outliers)
    return f"<congeal collection {place}, version {about.number} of {about.source}: {holds}; {names}>"


def page(of: type, place: str, about: Publication, outliers: int | None = None) -> str:
    """A small HTML table, as a notebook shows it; everything in it is escaped. See `text`."""
    facts = (
        ("source", about.source),
        ("version", f"{about.number}, {about.created}"),
        ("holds", _counts(about, outliers)),
        ("backbone", about.backbone),
    )
    rows = "".join(_row(name, html.escape(value)) for name, value in facts)
    rows += "".join(
        _row(f"<code>{html.escape(method.call)}</code>", html.escape(method.about), raw=True)
        for method in methods(of)
    )
    return f"<table><caption><b>congeal</b> {html.escape(place)}</caption><tbody>{rows}</tbody></table>"


def _row(name: str, value: str, raw: bool = False) -> str:
    head = name if raw else html.escape(name)
    return f'<tr><th style="text-align:left">{head}</th><td style="text-align:left">{value}</td></tr>'


def _counts(about: Publication, outliers: int | None) -> str:
    counts = about.counts
    apart = counts.get("outliers", 0) if outliers is None else outliers
    numbers = {"image": counts.get("ok", 0), "cluster": counts.get("clusters", 0), "outlier": apart}
    return ", ".join(f"{number:,} {what}{'' if number == 1 else 's'}" for what, number in numbers.items())
