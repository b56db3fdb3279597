"""Lists of images: which images a CSV or Parquet file names, and tables that say more of images.

Everything goes through the workspace, so that memory does not grow with the list. A row that names no image
stops nothing: it is passed over, with the reason.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from infra.errors import MissingError, UserError
from infra.storage.folder_listing import NOT_FOLLOWED
from infra.storage.image_source import ImageSource, folder_of, is_list, resolved
from infra.storage.location import Location, ObjectInfo, Skipped
from tasks.catalog.listed_rows import TEXT, ListedRows, listed_rows
from tasks.catalog.own_columns import IMAGE_ID, URI, OwnColumn, OwnColumns, typed, united
from tasks.execution.duckdb_workspace import insert, rows

if TYPE_CHECKING:
    import duckdb

PATHS = (URI, "path")  # what the column of paths may be called
FACTS = ("bytes", "etag")  # where a list has both, its images need not be looked at
TWICE = "named more than once in the list: the first row counts"
OUTSIDE = "it lies outside the list's folder: name its place in source.roots"
GONE = "there is no such file"
NO_ACCESS = "it may not be read (or, in a bucket that may not be listed, is not there)"
A_FOLDER = "a folder, not an image"
NO_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EINVAL}
LOOKING = 64  # objects of a store that are asked for at once


class ListedImage(NamedTuple):
    """An image of a list: what it is called in the source, and what the list says of its object, if that."""

    uri: str
    bytes: int | None
    etag: str | None


def load_lists(
    connection: duckdb.DuckDBPyConnection, source: ImageSource, pass_over: Callable[[Skipped], None]
) -> OwnColumns:
    """Read the lists of a source into the table `listed`, and their further columns into one of their own.

    Raises UserError for a list that cannot be read or has no column of paths.
    """
    connection.execute(
        "CREATE TABLE listed (n BIGINT, uri VARCHAR, name VARCHAR, fault VARCHAR, bytes BIGINT, etag VARCHAR)"
    )
    parts, notes, rows_before = [], [], 0
    for number, place in enumerate(place for place in source.places if is_list(place)):
        given = listed_rows(place)
        key = _named(given, PATHS)
        if key is None:
            raise UserError(
                f"The list {place} has no column uri: call the column of paths so (there are "
                f"{', '.join(given.names) or 'none'})."
            )
        folder = folder_of(place)

        def name(text: str | None, folder: Location = folder) -> tuple[str | None, str | None]:
            return _uri(text, folder, source)

        table = f"list_{number}"
        columns, rows_before = _load(connection, table, given, key, name, rows_before)
        parts.append((table, columns))
        notes += _notes(given)
    _tell_faults(connection, pass_over)
    own = united(connection, "list", parts, URI)
    own.notes += notes
    for table, _ in parts:
        connection.execute(f"DROP TABLE {table}")
    return own


def load_columns(
    connection: duckdb.DuckDBPyConnection, place: Location, source: Location, known: Iterable[OwnColumns] = ()
) -> OwnColumns:
    """Read a table that says more of images, joined by their paths or ids.

    Paths are those of the table of images: relative to the source. Raises UserError for a table that cannot
    be read, has neither, or a column that a list has, too.
    """
    given = listed_rows(place)
    key = _named(given, (*PATHS, IMAGE_ID))
    if key is None:
        raise UserError(
            f"The table {place} of source.columns has neither a column uri nor image_id, by which its rows "
            f"would be joined: add one (there are {', '.join(given.names) or 'none'})."
        )
    by = IMAGE_ID if given.names[key].lower() == IMAGE_ID else URI
    root = source.roots[0] if isinstance(source, ImageSource) else source

    def name(text: str | None) -> tuple[str | None, str | None]:
        if by == IMAGE_ID or text is None:
            return text, None
        try:
            url = resolved(text, root)
        except ValueError:
            return text, None
        if isinstance(source, ImageSource):
            return source.name_of(url) or url, None
        return (url[len(root.url) + 1 :] if url.startswith(f"{root.url}/") else url), None

    connection.execute(
        "CREATE OR REPLACE TABLE listed "
        "(n BIGINT, uri VARCHAR, name VARCHAR, fault VARCHAR, bytes BIGINT, etag VARCHAR)"
    )
    columns, count = _load(connection, "more", given, key, name, 0)
    connection.execute("DROP TABLE listed")
    names = [one.name for own in known for one in own.columns]
    own = united(connection, "columns", [("more", columns)], by, names)
    connection.execute("DROP TABLE more")
    own.notes += _notes(given)
    if count > own.rows:
        own.notes.append(
            f"Rows of {place} that name no image, or one that an earlier row has named: "
            f"{count - own.rows:,}; they are not used."
        )
    return own


def listed_images(connection: duckdb.DuckDBPyConnection) -> Iterator[ListedImage]:
    """The images that the lists name, each once, in the order of the rows."""
    for row in rows(connection, "SELECT uri, bytes, etag FROM listed WHERE fault IS NULL ORDER BY n"):
        yield ListedImage(*row)


def look(source: Location, image: ListedImage, follow_links: bool = True) -> ObjectInfo | Skipped:
    """What the store says of an image, or why it is passed over; a list that says it saves the request.

    follow_links: whether a link on its path may lead anywhere; else it is passed over.
    """
    if image.bytes is not None and image.etag is not None:
        return ObjectInfo(image.uri, image.bytes, image.etag, image.etag)
    try:
        place = source / image.uri
        local = place.local_path()
        if not follow_links and local is not None and local.resolve() != local.absolute():
            return Skipped(image.uri, NOT_FOLLOWED)
        found = place.info()
    except MissingError:
        return Skipped(image.uri, GONE)
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, PermissionError):
            return Skipped(image.uri, NO_ACCESS)
        if cause is None or (isinstance(cause, OSError) and cause.errno in NO_NAME):
            return Skipped(image.uri, str(error).rstrip("."))
        raise  # a store that fails says nothing of the image
    if found is None:
        return Skipped(image.uri, A_FOLDER)
    return ObjectInfo(image.uri, found.bytes, found.token, found.etag)


def _named(given: ListedRows, names: tuple[str, ...]) -> int | None:
    lower = [name.lower() for name in given.names]
    return next((lower.index(name) for name in names if name in lower), None)


def _uri(text: str | None, folder: Location, source: ImageSource) -> tuple[str | None, str | None]:
    """What a row's image is called, or why it is none."""
    if text is None:
        return None, "the row has no uri"
    try:
        uri = source.name_of(resolved(text, folder))
    except ValueError as error:
        return None, str(error)
    return (uri, None) if uri is not None else (None, OUTSIDE)


def _load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    given: ListedRows,
    key: int,
    name: Callable[[str | None], tuple[str | None, str | None]],
    before: int,
) -> tuple[list[OwnColumn], int]:
    """Fill `listed`, and a table with the key and the further columns; how many rows there are by now."""
    facts = [_named(given, (one,)) for one in FACTS]
    told = [] if None in facts else [at for at in facts if at is not None]
    physical: list[str | None] = [
        None if at == key or at in told else f"c{at}" for at in range(len(given.names))
    ]
    kept = [at for at, column in enumerate(physical) if column is not None]
    declared = {at: given.types[at] or TEXT for at in kept}
    schema = pa.schema([("n", pa.int64()), ("key", TEXT), *((f"c{at}", declared[at]) for at in kept)])
    connection.register("incoming", schema.empty_table())
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")  # noqa: S608 - our own names
    connection.unregister("incoming")
    number = before
    for arrays in given.batches():
        texts = arrays[key].cast(TEXT).to_pylist()
        order = pa.array(range(number, number + len(texts)), pa.int64())
        number += len(texts)
        found = [name(text) for text in texts]
        keys = pa.array([uri for uri, _ in found], TEXT)
        sizes, tags = (arrays[at].cast(TEXT).to_pylist() for at in told) if told else ([], [])
        insert(
            connection,
            "listed",
            pa.table(
                {
                    "n": order,
                    "uri": keys,
                    "name": pa.array(texts, TEXT),
                    "fault": pa.array([fault for _, fault in found], TEXT),
                    "bytes": pa.array([_size(one) for one in sizes] or [None] * len(texts), pa.int64()),
                    "etag": pa.array([_tag(one) for one in tags] or [None] * len(texts), TEXT),
                }
            ),
        )
        insert(
            connection,
            table,
            pa.Table.from_arrays([order, keys, *(arrays[at] for at in kept)], schema=schema),
        )
    # Of rows with one key, also of another list, the first counts; what names nothing says nothing.
    first = "SELECT min(n) FROM listed WHERE uri IS NOT NULL GROUP BY uri"
    connection.execute(f"DELETE FROM {table} WHERE n NOT IN ({first})")  # noqa: S608 - our own names
    return typed(connection, table, given, physical), number


def _tell_faults(connection: duckdb.DuckDBPyConnection, pass_over: Callable[[Skipped], None]) -> None:
    connection.execute(
        "UPDATE listed SET fault = ? WHERE fault IS NULL AND n NOT IN "
        "(SELECT min(n) FROM listed WHERE fault IS NULL GROUP BY uri)",
        [TWICE],
    )
    query = "SELECT coalesce(name, 'row ' || (n + 1)), fault FROM listed WHERE fault IS NOT NULL ORDER BY n"
    for name, fault in rows(connection, query):
        pass_over(Skipped(name, fault))


def _notes(given: ListedRows) -> list[str]:
    notes = [f"Of {given.place} not taken: {reason}." for reason in given.left_out]
    if given.uneven:
        notes.append(
            f"Rows of {given.place} with more or fewer cells than its first line: {given.uneven:,}; what is "
            "missing is empty, what is too much is not used."
        )
    return notes


def _size(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _tag(text: str | None) -> str | None:
    return text.strip('" ') or None if text is not None else None
