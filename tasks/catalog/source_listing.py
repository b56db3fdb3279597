"""What lies under the source: the listing, streamed once into a temporary file, with a digest of the whole.

The digest does not depend on the order of the listing and needs no memory: it is what tells a second run,
before anything else is started, that nothing has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from congeal.settings import CatalogSettings
from infra.errors import UserError
from infra.ledger.publications import NAME as DESTINATION
from infra.ledger.publications import is_destination
from infra.storage.location import Location, ObjectInfo, Skipped
from tasks.catalog.skipped_files import (
    MOST_LOOKED_INTO,
    NOT_LOOKED_INTO,
    PassedOver,
    companion,
    look_into,
    needs_extra,
    reason_by_name,
    worth_a_look,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MODULUS = 1 << 128
MOST_NAMED = 100  # of what is passed over; the rest is only counted
SLICE_STRETCH = 4  # a slice that meets no boundary ends at this many times its usual size

IN_MEMORY = 20_000  # of a listing that is kept in memory; beyond, it goes to the temporary file


class ListingEntry(NamedTuple):
    """One object of the source whose name ends like an image's. `fault`: why it cannot be read at all."""

    path: str
    bytes: int
    token: str
    etag: str | None
    fault: str | None


class Survey:
    """The listing of a source, until closed: in memory while it is short, else in a temporary file."""

    def __init__(self, source: Location, settings: CatalogSettings) -> None:
        self.source = source
        self.images = 0
        self.others = 0
        self.passed_over: list[Skipped] = []  # the first MOST_NAMED
        self.passed_over_count = 0
        self.counted = PassedOver()
        self._sum = 0
        self._stack = ExitStack()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._listing: list[ListingEntry] = []  # what is not in the file yet
        self._others: list[tuple[str, str | None]] = []  # what looks like a picture, or may do
        try:
            self._read_listing(settings)
        except BaseException:
            self.close()
            raise

    def _read_listing(self, settings: CatalogSettings) -> None:
        endings = {ending.lower() for ending in settings.extensions}
        marked: list[str] = []  # folders that may be destinations
        for item in self.source.objects(self.pass_over, settings.follow_links):
            folder, _, name = item.path.rpartition("/")
            if name == DESTINATION:
                marked.append(folder)
            suffix = PurePosixPath(item.path).suffix.lower()
            if suffix not in endings or companion(item.path) or needs_extra(item.path):
                self.others += 1
                reason = reason_by_name(item.path)
                if reason is not None or (item.bytes and worth_a_look(item.path)):
                    self._others.append((item.path, reason))
            else:
                entry = _entry(item)
                self._count(entry)
                self._listing.append(entry)
            if max(len(self._listing), len(self._others)) == IN_MEMORY:
                self._file()
        for folder in marked:
            self._without_destination(folder)
        self._tell_others()

    def _file(self) -> duckdb.DuckDBPyConnection:
        """The temporary file, with all that has been listed."""
        from tasks.execution.duckdb_workspace import insert, workspace

        if self._connection is None:
            self._connection = self._stack.enter_context(workspace())
            self._connection.execute(
                "CREATE TABLE listing "
                "(path VARCHAR, bytes BIGINT, token VARCHAR, etag VARCHAR, fault VARCHAR)"
            )
            self._connection.execute("CREATE TABLE others (path VARCHAR, reason VARCHAR)")
        if self._listing:
            insert(self._connection, "listing", _table(self._listing))
            self._listing.clear()
        if self._others:
            insert(self._connection, "others", _others_table(self._others))
            self._others.clear()
        return self._connection

    def _tell_others(self) -> None:
        """Count what looks like a picture by its name, and look into some of what may be one."""
        if self._connection is None:
            others: Iterable[tuple[str, str | None]] = sorted(self._others, key=itemgetter(0))
        else:
            from tasks.execution.duckdb_workspace import rows

            found = rows(self._file(), "SELECT path, reason FROM others ORDER BY path")
            others = ((path, reason) for path, reason in found)
        unknown = []
        for path, reason in others:
            if reason is None:
                unknown.append(path)
            else:
                self.pass_over(Skipped(path, reason))
        for path, reason in look_into(self.source, unknown[:MOST_LOOKED_INTO]):
            self.pass_over(Skipped(path, reason))
        for path in unknown[MOST_LOOKED_INTO:]:
            self.pass_over(Skipped(path, NOT_LOOKED_INTO))

    def _without_destination(self, folder: str) -> None:
        """Leave out a folder that holds results, not photographs. Raises UserError if it is the source."""
        if not is_destination(self.source, folder):
            return
        if not folder:
            raise UserError(
                f"The source {self.source.url} is a destination of congeal: name the photographs' place."
            )
        self.pass_over(Skipped(folder, "a destination of congeal: results are no photographs"))
        self.images = self._sum = 0
        lead = folder + "/"
        if self._connection is None:
            self._listing = [entry for entry in self._listing if not entry.path.startswith(lead)]
            self._others = [other for other in self._others if not other[0].startswith(lead)]
            for entry in self._listing:
                self._count(entry)
            return
        from tasks.execution.duckdb_workspace import rows

        for table in ("listing", "others"):
            self._file().execute(f"DELETE FROM {table} WHERE starts_with(path, ?)", [lead])  # noqa: S608
        for row in rows(self._file(), "SELECT path, bytes, token, etag, fault FROM listing"):
            self._count(ListingEntry(*row))

    def _count(self, entry: ListingEntry) -> None:
        self.images += 1
        self._sum = (self._sum + _number(f"{entry.path}\0{entry.bytes}\0{entry.token}", 16)) % MODULUS

    def pass_over(self, skipped: Skipped) -> None:
        """Note something of the source that is left out, and why."""
        self.passed_over_count += 1
        if len(self.passed_over) < MOST_NAMED:
            self.passed_over.append(skipped)
        self.counted.add(skipped.path, skipped.reason)

    @property
    def digest(self) -> str:
        """Identity of the listing (source, names, sizes, tokens): 32 hex."""
        text = f"{self.source.url}\0{self.images}\0{self._sum:032x}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def require_images(self, settings: CatalogSettings) -> None:
        """Raise UserError, naming source and cure, unless there is at least one candidate image."""
        if self.images:
            return
        if self.passed_over:
            first = self.passed_over[0]
            count = self.passed_over_count
            counted = "1 object was" if count == 1 else f"{count} objects were"
            raise UserError(
                f"The source {self.source.url} holds no image: {counted} passed over, the first {first.path} "
                f"({first.reason})."
            )
        if self.others == 0:
            if not self.source.is_prefix() and not self.source.exists():
                raise UserError(f"The source {self.source.url} does not exist: check the path or URL.")
            raise UserError(
                f"The source {self.source.url} is empty: put the photographs there or name another."
            )
        endings = ", ".join(settings.extensions)
        counted = "1 other object" if self.others == 1 else f"{self.others} other objects"
        raise UserError(
            f"The source {self.source.url} holds no image: {counted}, but no name ends in {endings}; "
            f"set catalog.extensions if the images are called differently."
        )

    def slices(self, slice_size: int) -> Iterator[list[ListingEntry]]:
        """The listing in order of path, cut where the paths themselves say so.

        A slice ends after a path whose digest is a multiple of `slice_size` (so about that many entries), or
        at four times that: an image that comes or goes changes one slice, and no other.
        """
        from tasks.execution.duckdb_workspace import rows

        entries: list[ListingEntry] = []
        for row in rows(self._file(), "SELECT path, bytes, token, etag, fault FROM listing ORDER BY path"):
            entry = ListingEntry(*row)
            entries.append(entry)
            if _number(entry.path, 8) % slice_size == 0 or len(entries) == SLICE_STRETCH * slice_size:
                yield entries
                entries = []
        if entries:
            yield entries

    @contextmanager
    def planning(self, keep: Collection[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """The temporary file, for tables of whoever plans a stage; only those to keep are left there."""
        from tasks.execution.duckdb_workspace import scratch

        connection = self._file()
        with scratch(connection, {"listing", "others", *keep}):
            yield connection

    def close(self) -> None:
        """Remove the temporary file."""
        self._stack.close()
        self.__dict__.pop("_connection", None)

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_places(source: Location, destination: Location) -> None:
    """Raise UserError if one of the two lies inside the other: results must not become photographs."""
    if source.contains(destination) or destination.contains(source):
        relation = (
            "is the same place as"
            if source.contains(destination) and destination.contains(source)
            else ("lies inside" if source.contains(destination) else "contains")
        )
        raise UserError(
            f"The destination {destination.url} {relation} the source {source.url}: "
            "choose a destination beside the source."
        )


def _table(entries: list[ListingEntry]) -> pa.Table:
    import pyarrow as pa

    kinds = {"path": pa.string(), "bytes": pa.int64()}
    columns = zip(ListingEntry._fields, zip(*entries, strict=True), strict=True)
    return pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns})


def _others_table(others: list[tuple[str, str | None]]) -> pa.Table:
    import pyarrow as pa

    paths, reasons = zip(*others, strict=True)
    return pa.table({"path": pa.array(paths, pa.string()), "reason": pa.array(reasons, pa.string())})


def _entry(item: ObjectInfo) -> ListingEntry:
    # Names that are no UTF-8 are listed with escapes, and nothing is read by a name with a backslash.
    fault = "its name holds a backslash or is not valid UTF-8: rename it" if "\\" in item.path else None
    return ListingEntry(item.path, item.bytes, item.token, item.etag, fault)


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")
