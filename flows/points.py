"""Points in a CSV file, carried from one image to others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.errors import UserError


def carry(collection: Any, source: str, targets: Sequence[str], points: Path) -> tuple[dict[str, Any], str]:
    """The rows of the CSV file with x and y in the target instead, and confidence and visible.

    Other columns are carried along. With several targets, or "all", the rows come once for each, after a
    column target. Returns the facts and the CSV text.
    """
    import pandas as pd

    table = read_points(points)
    target: str | Sequence[str] = targets[0] if len(targets) == 1 else list(targets)
    if "all" in targets and len(targets) > 1:
        raise UserError("Say --to all, or name the images; not both.")
    moved = collection.transfer(source, table[["x", "y"]].to_numpy(), target)
    if "target" in moved:
        count = len(moved) // max(len(table), 1)
        table = pd.concat([table] * count, ignore_index=True) if count else table.iloc[:0].copy()
        table.insert(0, "target", moved["target"].to_numpy(), allow_duplicates=True)
    for name in ("x", "y", "confidence", "visible"):
        table[name] = moved[name].to_numpy()
    facts: dict[str, Any] = {"from": source, "to": target, "points": len(table)}
    facts["visible"] = int(moved["visible"].sum())
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return facts | {"rows": rows}, table.to_csv(index=False, lineterminator="\n")


def read_points(path: Path) -> Any:
    """A CSV file with the numeric columns x and y (any case of the header) as a DataFrame.

    Raises UserError, naming file and row, for everything that is not that.
    """
    import numpy as np
    import pandas as pd

    try:
        table = pd.read_csv(path, skipinitialspace=True, dtype=object, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"The file {path} does not exist: check --points.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"The file {path} is no CSV with a header: {error}.") from error
    table.columns = [
        name.strip().lower() if name.strip().lower() in ("x", "y") else name for name in table.columns
    ]
    missing = [name for name in ("x", "y") if name not in table.columns]
    if missing:
        raise UserError(f"The file {path} has no column {missing[0]}: its header must name x and y.")
    for name in ("x", "y"):
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if wrong.size:
            value = table[name].iloc[wrong[0]]
            raise UserError(
                f"The file {path} has {name}={value!r} in row {wrong[0] + 1}: it must be a number."
            )
        table[name] = numbers
    return table
