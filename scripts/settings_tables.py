"""Writes docs/constants.md: every constant of the solver, from the fields of its configuration.

    python scripts/settings_tables.py

Each field says of itself, in its metadata: "about", what it does; "unit"; "set_on", the sets it was chosen
on; "held_out", whether what is reported was measured on others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "constants.md"
COLUMNS = ("constant", "value", "unit", "what it is", "how it was set", "held out")
HEAD = """# The constants of the solver
Every number that decides a result, by step ([method.md](method.md)): its value, its unit, how and on which
sets it was chosen, and whether the figures that are reported come from sets that played no part in that
("held out"; –: not recorded, or nothing was measured for it). A value without a unit is a share, a count or a
factor.

They are the fields of `congeal.alignment.config.SolverConfig`, from which this page is made
(`python scripts/settings_tables.py`). Each has its name there: `flow.finest_cells` is the first of the flow.
"""
PRESETS = """
## Presets
| preset | what it changes |
| --- | --- |
"""


def page(config: Any, presets: Mapping[str, Mapping[str, Any]]) -> str:
    """The page for a configuration, a dataclass whose fields are constants or groups of them.

    presets: by name, what each changes.
    """
    rows = [f"| `{name}` | {_changes(changes) or 'nothing'} |\n" for name, changes in presets.items()]
    return HEAD + "".join(_sections(config, 2)) + PRESETS + "".join(rows)


def _changes(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}` = {_shown(value)}" for name, value in changes.items())


def _sections(group: Any, level: int) -> Iterator[str]:
    own = [field for field in fields(group) if not is_dataclass(getattr(group, field.name))]
    if own:
        lines = [f"| {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * (len(COLUMNS) - 1)]
        yield "\n" + "\n".join([*lines, *(_row(field, getattr(group, field.name)) for field in own)]) + "\n"
    for field in fields(group):
        inner = getattr(group, field.name)
        if is_dataclass(inner):
            yield f"\n{'#' * level} `{field.name}`: {_title(inner)}\n"
            yield from _sections(inner, level + 1)


def _title(group: Any) -> str:
    return (type(group).__doc__ or "").strip().partition("\n")[0].rstrip(".").replace("``", "`")


def _row(field: Field[Any], value: Any) -> str:
    told = field.metadata
    held_out = {True: "yes", False: "**no**"}.get(told.get("held_out"), "–")
    cells = (
        f"`{field.name}`",
        _shown(value),
        told.get("unit") or "–",
        told["about"],
        told.get("set_on") or "–",
        held_out,
    )
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"({_shown(part)})" if isinstance(part, tuple) else _shown(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write the page."""
    from congeal.alignment import config

    PAGE.write_text(page(config.SolverConfig(), config.PRESETS))


if __name__ == "__main__":
    main()
