"""What lies under the source: the listing, streamed once into a temporary file, with a digest of the whole.

The digest does not depend on the order of the listing and needs no memory: it is what tells a second run,
before anything else is started, that nothing has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from congeal.settings import CatalogSettings, SourceSettings
from congeal_floors.plurals import counted
from infra.compute.temporary_folders import temporary_folder
from infra.errors import UserError
from infra.ledger.publications import NAME as DESTINATION
from infra.ledger.publications import is_destination
from infra.storage.clip_source import Clip
from infra.storage.image_source import ImageSource, is_list, places_of
from infra.storage.location import Location, Skipped
from infra.threads import in_threads
from tasks.catalog.listing_entries import ListingEntry, ending_of, entry_of, number_of, others_table, table_of
from tasks.catalog.path_patterns import PathFilter
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

    from tasks.catalog.own_columns import OwnColumns

MODULUS = 1 << 128
MOST_NAMED = 100  # of what is passed over; the rest is only counted
SLICE_STRETCH = 4  # a slice that meets no boundary ends at this many times its usual size

IN_MEMORY = 20_000  # of a listing that is kept in memory; beyond, it goes to the temporary file


class Survey:
    """The listing of a source, until closed: in memory while it is short, else in a temporary file.

    own: the columns that lists and `source.columns` have. notes: what is to be said of these. left_out: how
    many images `source.include` and `source.exclude` leave out. frames: how many images are a video's.

    columns: the table of `source.columns`.
    """

    def __init__(
        self,
        source: Location,
        settings: CatalogSettings,
        asked: SourceSettings | None = None,
        columns: Location | None = None,
    ) -> None:
        self.source = source
        self._asked = asked = asked or SourceSettings()
        self.wanted = PathFilter(asked.include, asked.exclude)
        self._columns = columns
        self.left_out = 0
        self.frames = 0
        self.own: list[OwnColumns] = []
        self._own_digests: list[str] = []
        self.images = 0
        self.bytes = 0
        self.others = 0
        self.passed_over: list[Skipped] = []  # the first MOST_NAMED
        self.passed_over_count = 0
        self.counted = PassedOver()
        self._sum = 0
        self._stack = ExitStack()
        self._home: Path | None = None  # of the file, once there is one
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._listing: list[ListingEntry] = []  # what is not in the file yet
        self._others: list[tuple[str, str | None]] = []  # what looks like a picture, or may do
        try:
            self._read_listing(settings)
        except BaseException:
            self.close()
            raise

    def _read_listing(self, settings: CatalogSettings) -> None:
        folders = [place for place in places_of(self.source) if not is_list(place)]
        for place in folders:
            self._read_folder(place, settings)
        if isinstance(self.source, ImageSource) and len(folders) < len(self.source.places):
            self._read_lists(self.source, settings)
        self._tell_others()
        self._know_frames()
        if self._columns is not None:
            from tasks.catalog.image_list import load_columns

            self._keep_own(load_columns(self._file(), self._columns, self.source, self.own))

    def _know_frames(self) -> None:
        """Which images are frames of a video, where some may be."""
        asked = self._asked
        clips = any(isinstance(place, Clip) for place in places_of(self.source))
        if asked.video == "off" or not (clips or asked.video == "frames"):
            return
        from tasks.catalog.frame_columns import load_frames
        from tasks.execution.duckdb_workspace import rows

        paths = [path for (path,) in rows(self._file(), "SELECT path FROM listing ORDER BY path")]
        fps = asked.fps if asked.video == "frames" else None
        known = load_frames(self._file(), self.source, paths, fps, self.own)
        self.frames = known.rows
        if known.rows:
            self._keep_own(known)

    def _read_folder(self, place: Location, settings: CatalogSettings) -> None:
        endings = {ending.lower() for ending in settings.extensions}
        marked: list[str] = []  # folders that may be destinations
        # Only the first of several places has short names.
        first = not isinstance(self.source, ImageSource) or place == self.source.roots[0]
        lead = "" if first else f"{place.url}/"
        skip = (
            self.pass_over
            if first
            else (lambda skipped: self.pass_over(Skipped(lead + skipped.path, skipped.reason)))
        )
        for item in place.objects(skip, settings.follow_links):
            folder, _, name = item.path.rpartition("/")
            if name == DESTINATION:
                marked.append((lead + folder).rstrip("/"))
            if ending_of(item.path) not in endings or companion(item.path) or needs_extra(item.path):
                self.others += 1
                reason = reason_by_name(item.path)
                if (reason is not None or (item.bytes and worth_a_look(item.path))) and (
                    not self.wanted or self.wanted(item.path)
                ):
                    self._others.append((lead + item.path, reason))
            elif self.wanted and not self.wanted(item.path):
                self.left_out += 1
            else:
                self._add(entry_of(item, lead))
            if len(self._others) == IN_MEMORY:
                self._file()
        for folder in marked:
            self._without_destination(folder)

    def _add(self, entry: ListingEntry) -> None:
        self._count(entry)
        self._listing.append(entry)
        if len(self._listing) == IN_MEMORY:
            self._file()

    def _read_lists(self, source: ImageSource, settings: CatalogSettings) -> None:
        """The images that lists name, each looked at where the list does not say what a listing would."""
        from tasks.catalog.image_list import LOOKING, listed_images, load_lists, look

        connection = self._file()
        before = self.images
        self._keep_own(load_lists(connection, source, self.pass_over))
        wanted = (image for image in listed_images(connection) if self._is_wanted(image.uri))
        local = source.local_path() is not None
        found = (
            (look(source, image, settings.follow_links) for image in wanted)
            if local
            else in_threads(lambda image: look(source, image, settings.follow_links), wanted, threads=LOOKING)
        )
        for item in found:
            if isinstance(item, Skipped):
                self.pass_over(item)
            else:
                self._add(entry_of(item))
        if before:
            self._without_doubles()

    def _is_wanted(self, uri: str) -> bool:
        if not self.wanted:
            return True
        # A whole URL is compared from its root on, as the paths of a folder are.
        roots = self.source.roots if isinstance(self.source, ImageSource) else ()
        path = next((uri[len(root.url) + 1 :] for root in roots if uri.startswith(f"{root.url}/")), uri)
        if self.wanted(path):
            return True
        self.left_out += 1
        return False

    def _without_doubles(self) -> None:
        """Take what a list names and a folder holds once."""
        from tasks.catalog.image_list import TWICE
        from tasks.execution.duckdb_workspace import rows

        connection = self._file()
        doubled = "rowid NOT IN (SELECT min(rowid) FROM listing GROUP BY path)"
        for (path,) in rows(connection, f"SELECT path FROM listing WHERE {doubled} ORDER BY path"):  # noqa: S608
            self.pass_over(Skipped(path, TWICE))
        connection.execute(f"DELETE FROM listing WHERE {doubled}")  # noqa: S608 - our own words
        self._recount()

    def _keep_own(self, own: OwnColumns) -> None:
        self.own.append(own)
        self._own_digests.append(own.digest(self._file()))

    @property
    def notes(self) -> list[str]:
        """What is to be said of the lists and tables, a sentence each."""
        return [note for own in self.own for note in own.notes]

    def _file(self) -> duckdb.DuckDBPyConnection:
        """The temporary file, with all that has been listed."""
        from tasks.execution.duckdb_workspace import insert, planning_connection

        if self._connection is None:
            new = self._home is None
            if self._home is None:
                self._home = self._stack.enter_context(temporary_folder())
                self._stack.callback(self.rest)
            self._connection = planning_connection(self._home)
            if new:
                self._connection.execute(
                    "CREATE TABLE listing "
                    "(path VARCHAR, bytes BIGINT, token VARCHAR, etag VARCHAR, fault VARCHAR)"
                )
                self._connection.execute("CREATE TABLE others (path VARCHAR, reason VARCHAR)")
        if self._listing:
            insert(self._connection, "listing", table_of(self._listing))
            self._listing.clear()
        if self._others:
            insert(self._connection, "others", others_table(self._others))
            self._others.clear()
        return self._connection

    def _tell_others(self) -> None:
        """Count what looks like a picture by its name, and look into some of what may be one."""
        if self._home is None:
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
        if not folder or folder in [place.url for place in places_of(self.source)]:
            raise UserError(
                f"The source {folder or self.source.url} is a destination of congeal: name the photographs' "
                "place."
            )
        self.pass_over(Skipped(folder, "a destination of congeal: results are no photographs"))
        lead = folder + "/"
        if self._home is None:
            self.images = self.bytes = self._sum = 0
            self._listing = [entry for entry in self._listing if not entry.path.startswith(lead)]
            self._others = [other for other in self._others if not other[0].startswith(lead)]
            for entry in self._listing:
                self._count(entry)
            return
        for table in ("listing", "others"):
            self._file().execute(f"DELETE FROM {table} WHERE starts_with(path, ?)", [lead])  # noqa: S608
        self._recount()

    def _recount(self) -> None:
        from tasks.execution.duckdb_workspace import rows

        self.images = self.bytes = self._sum = 0
        for row in rows(self._file(), "SELECT path, bytes, token, etag, fault FROM listing"):
            self._count(ListingEntry(*row))

    def _count(self, entry: ListingEntry) -> None:
        self.images += 1
        self.bytes += entry.bytes
        self._sum = (self._sum + number_of(f"{entry.path}\0{entry.bytes}\0{entry.token}", 16)) % MODULUS

    def pass_over(self, skipped: Skipped) -> None:
        """Note something of the source that is left out, and why."""
        self.passed_over_count += 1
        if len(self.passed_over) < MOST_NAMED:
            self.passed_over.append(skipped)
        self.counted.add(skipped.path, skipped.reason)

    @property
    def digest(self) -> str:
        """Identity of the listing (source, names, sizes, tokens): 32 hex."""
        text = "\0".join([self.source.url, str(self.images), f"{self._sum:032x}", *self._own_digests])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def require_images(self, settings: CatalogSettings) -> None:
        """Raise UserError, naming source and cure, unless there is at least one candidate image."""
        if self.images:
            return
        if self.left_out:
            those = "the only image is" if self.left_out == 1 else f"all {self.left_out:,} images are"
            raise UserError(
                f"Of the source {self.source.url} nothing is left: {those} left out by source.include or "
                "source.exclude."
            )
        if self.passed_over:
            first = self.passed_over[0]
            count = self.passed_over_count
            those = f"{counted(count, 'object')} {'was' if count == 1 else 'were'}"
            raise UserError(
                f"The source {self.source.url} holds no image: {those} passed over, the first {first.path} "
                f"({first.reason})."
            )
        if self.others == 0:
            if not self.source.is_prefix() and not self.source.exists():
                raise UserError(f"The source {self.source.url} does not exist: check the path or URL.")
            if all(is_list(place) for place in places_of(self.source)):
                raise UserError(
                    f"The list {self.source.url} names no image: give it one a row, in the column uri."
                )
            raise UserError(
                f"The source {self.source.url} is empty: put the photographs there or name another."
            )
        endings = ", ".join(settings.extensions)
        those = counted(self.others, "other object")
        raise UserError(
            f"The source {self.source.url} holds no image: {those}, but no name ends in {endings}; "
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
            if number_of(entry.path, 8) % slice_size == 0 or len(entries) == SLICE_STRETCH * slice_size:
                yield entries
                entries = []
        if entries:
            yield entries

    @contextmanager
    def planning(self, keep: Collection[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """The temporary file, for tables of whoever plans a stage; only those to keep are left there."""
        from tasks.execution.duckdb_workspace import scratch

        connection = self._file()
        with scratch(connection, {"listing", "others", *(own.table for own in self.own), *keep}):
            yield connection

    def rest(self) -> None:
        """Let go of memory, as far as a temporary file holds what is in it; asked again, it is read again."""
        if self._connection is not None:
            import pyarrow as pa

            self._connection.close()
            self._connection = None
            pa.default_memory_pool().release_unused()

    def close(self) -> None:
        """Remove the temporary file."""
        self._stack.close()

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
