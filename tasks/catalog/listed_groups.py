"""Groups of images that are known: by folder, by a column of their owner's, by the clip they are from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from infra.errors import UserError
from tasks.catalog.source_listing import Survey

if TYPE_CHECKING:
    from tasks.catalog.own_columns import OwnColumn, OwnColumns

FOLDER, COLUMN, SHOTS = "folder", "column:", "shots"


def by_column(method: str) -> bool:
    """Whether `clusters.method` names a column."""
    return method.startswith(COLUMN)


def by_own_columns(method: str) -> bool:
    """Whether the groups come from what is known of the images beside their paths."""
    return method == SHOTS or by_column(method)


def group_column(survey: Survey, method: str) -> tuple[OwnColumns, OwnColumn]:
    """The column that images are grouped by; UserError, naming the nearest one, if there is none."""
    from tasks.catalog.own_columns import require_column

    return require_column(survey.own, method.removeprefix(COLUMN).strip())


def require_groups(survey: Survey, method: str) -> None:
    """Raise UserError if the images are to be grouped by what is not known of them."""
    if method == SHOTS and not survey.frames:
        raise UserError(
            "clusters.method=shots is for videos: name a clip as the source, or set source.video=frames for "
            "a folder of frames."
        )
    if by_column(method):
        group_column(survey, method)


def groups_digest(survey: Survey, method: str) -> str:
    """Identity of what the images are grouped by; nothing else of the lists is in it."""
    if method == SHOTS:
        known = next(own for own in survey.own if own.origin == "frames")
        with survey.planning(keep=()) as connection:
            return known.digest(connection)
    own, column = group_column(survey, method)
    with survey.planning(keep=()) as connection:
        return own.digest(connection, [column])


def grouped_by_id(survey: Survey, method: str) -> bool:
    """Whether the column of the groups says of images by their ids, not by their paths."""
    from tasks.catalog.own_columns import IMAGE_ID

    return by_column(method) and group_column(survey, method)[0].key == IMAGE_ID


def groups(survey: Survey, method: str, images: Collection[str]) -> dict[str, str] | None:
    """The group of some images, where groups are known (`clusters.method`); else None.

    images: their paths; their ids if they are `grouped_by_id`.
    """
    if method == FOLDER:
        return {path: path.rpartition("/")[0] for path in images}
    if not by_column(method):
        return None
    from tasks.execution.duckdb_workspace import rows

    wanted = set(images)
    with survey.planning(keep=()) as connection:
        found = rows(connection, _grouped(survey, method))
        return {name: group for name, group in found if name in wanted and group is not None}


def group_sizes(survey: Survey, method: str) -> list[int] | None:
    """How many images each known group has; None where groups are not known.

    Where they are `grouped_by_id`, all rows of the table are counted: whether an image lies in the source is
    not known before it is read.
    """
    if method != FOLDER and not by_column(method):
        return None
    from tasks.execution.duckdb_workspace import rows

    with survey.planning(keep=()) as connection:
        sizes = f"SELECT count(*) FROM ({_grouped(survey, method)}) WHERE grp IS NOT NULL GROUP BY grp"  # noqa: S608 - our own words
        return [int(count) for (count,) in rows(connection, sizes)]


def whole_groups(survey: Survey, method: str, most: int) -> set[str] | None:
    """Paths of the images of some groups, large and small ones by turns, of at most so many images in all; of
    the first, a part if it is larger than that. None where groups are not known by path.
    """
    if method != FOLDER and (not by_column(method) or grouped_by_id(survey, method)):
        return None
    from tasks.execution.duckdb_workspace import rows

    with survey.planning(keep=()) as connection:
        grouped = _grouped(survey, method)
        counted = f"SELECT grp, count(*) AS n FROM ({grouped}) WHERE grp IS NOT NULL GROUP BY grp"  # noqa: S608 - our own words
        known = list(rows(connection, f"{counted} ORDER BY n DESC, grp"))
        chosen = {known[number][0] for number in by_turns([size for _, size in known], most)}
        members = sorted(path for path, group in rows(connection, grouped) if group in chosen)
    return set(members[:most])


def by_turns(sizes: Sequence[int], most: int) -> list[int]:
    """Which sets, of sizes from the largest on, are taken: whole ones, large and small ones by turns, of at
    most so many images in all; the first even if it is larger than that.
    """
    waiting, left = list(enumerate(sizes)), most
    found: list[int] = []
    while waiting and left > 0:
        number, size = waiting.pop(0 if len(found) % 2 == 0 else -1)
        if size <= left or not found:
            found.append(number)
            left -= size
    return found


def _grouped(survey: Survey, method: str) -> str:
    """SQL for the name (see `groups`) and the group of every image."""
    if method == FOLDER:
        return "SELECT path, regexp_extract(path, '^(.*)/', 1) AS grp FROM listing"
    from tasks.catalog.own_columns import IMAGE_ID

    own, column = group_column(survey, method)
    group = f"nullif(CAST({column.physical} AS VARCHAR), '') AS grp"
    if own.key == IMAGE_ID:
        return f"SELECT key AS path, {group} FROM {own.table}"  # noqa: S608 - our own names
    return f"SELECT path, {group} FROM listing JOIN {own.table} ON key = path"  # noqa: S608 - our own names
