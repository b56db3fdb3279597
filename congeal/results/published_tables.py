"""The tables of one publication: the files they lie in, which a cluster needs, what the markers add."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads

from congeal.results.outlier_counts import outliers
from congeal.results.schema.date_limits import columns_beyond, within
from congeal.results.schema.parquet_files import dataset, record_batches
from congeal.results.schema.tables import TABLES
from infra.errors import DamagedError, UserError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.ledger.publications import Publication, published
from infra.storage.location import Location
from infra.storage.read_only_files import Sized
from infra.threads import in_threads

SMALL = 2**20  # bytes of a file that is read whole
ALL_SMALL = 16 * SMALL  # and of all such files
SMALL_TABLES = ("images", "clusters", "alignments")  # correspondences are not asked for as often
OPEN = 128  # datasets of some of a table's files that are kept
MADE = pa.schema([("seconds", pa.float64()), ("device", pa.string())])


class PublishedTables:
    """The four tables of a publication, each opened when it is first asked for."""

    def __init__(self, place: Location, publication: Publication) -> None:
        self.place = place
        self.publication = publication
        self._opened: dict[tuple[str, tuple[str, ...] | None], pads.Dataset] = {}
        self._small: dict[str, dict[str, bytes]] = {}  # contents by table and URL
        self._lock = threading.Lock()

    def dataset(self, table: str, cluster: str | None = None) -> pads.Dataset:
        """One of TABLES, unread; of the files only those that hold `cluster`, if one is named.

        Raises DamagedError for a file that is not what was published, or of a newer schema.
        """
        files = self.files(table, cluster)
        # Clusters share files; a dataset that is kept keeps their footers.
        key = table, None if cluster is None else tuple(file.url for file in files)
        with self._lock:
            found = self._opened.get(key)
        if found is None:
            self.fetch(table)
            found = dataset(files, TABLES[table], self._small.get(table))
            with self._lock:
                self._opened[key] = found
                parts = [one for one in self._opened if one[1] is not None]
                for oldest in parts[:-OPEN]:
                    del self._opened[oldest]
        return found

    def batches(self, table: str, columns: Sequence[str]) -> pa.RecordBatchReader:
        """The rows of one of TABLES in their order, some columns of them, a few thousand at a time.

        However large its files are, little of them is in memory. Raises as `dataset` does.
        """
        whole = self.dataset(table).schema
        schema = pa.schema([whole.field(name) for name in columns])
        held = self._small.get(table, {})

        def found() -> Iterator[pa.RecordBatch]:
            for file in self.files(table):
                for batch in record_batches(file, TABLES[table], columns, held.get(file.url)):
                    there = batch.schema.names
                    arrays = [
                        batch.column(field.name)
                        if field.name in there
                        else pa.nulls(batch.num_rows, field.type)
                        for field in schema
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, found())

    def fetch(self, *tables: str) -> None:
        """Have the files of some of SMALL_TABLES at hand, if the store is elsewhere and they are small: each
        whole, all at the same time, and once. `dataset` does it for the one table that it opens.

        A small file takes a store as long to answer for as its footer does.
        """
        if self.place.local_path() is not None:
            return
        with self._lock:
            wanted = [name for name in SMALL_TABLES if name in tables and name not in self._small]
            if not wanted:
                return
            small = {
                name: [file for file in self.sized(name) if file.bytes <= SMALL] for name in SMALL_TABLES
            }
            few = sum(file.bytes for files in small.values() for file in files) <= ALL_SMALL
            files = [(name, file.place) for name in wanted for file in small[name] if few]
            held: dict[str, dict[str, bytes]] = {name: {} for name in wanted}
            read = in_threads(lambda file: file[1].read_bytes(), files)
            for (name, place), data in zip(files, read, strict=True):
                held[name][place.url] = data
            self._small |= held

    def files(self, table: str, cluster: str | None = None) -> list[Location]:
        """The Parquet files of a table, in the order of their clusters, or those that hold one cluster."""
        return [file.place for file in self.sized(table, cluster)]

    def sized(self, table: str, cluster: str | None = None) -> list[Sized]:
        """The same with their sizes, as the markers have them."""
        name = f"{table}.parquet"
        markers = self._index if cluster is None else self._units_of.get(cluster, [])
        return [
            Sized(outputs_location(self.place, found) / name, found.outputs[name].bytes)
            for found in markers
            if name in found.outputs
        ]

    def clusters(self) -> pa.Table:
        """The table of clusters, with the seconds that each atlas took and the device that computed it."""
        return self._clusters

    @cached_property
    def dates_beyond(self) -> tuple[str, ...]:
        """Columns of the table images with dates that Python does not know, which count as missing."""
        return columns_beyond(self.dataset("images"))

    def without_dates_beyond(self, images: pa.Table) -> pa.Table:
        """Rows of the table images, such dates as missing; if there are any, a UserWarning says so."""
        if not {*images.column_names} & {*self.dates_beyond}:
            return images
        self.warn_of_dates()
        return within(images)

    def warn_of_dates(self) -> None:
        """A UserWarning where there are such dates, once for each place that calls for it."""
        if note := self.note_on_dates:
            warnings.warn(note, stacklevel=2)

    @property
    def note_on_dates(self) -> str | None:
        """A sentence about those; None if there are none."""
        names = self.dates_beyond
        if not names:
            return None
        columns = (
            f"The column {names[0]} holds" if len(names) == 1 else f"The columns {', '.join(names)} hold"
        )
        return (
            f"{columns} dates before year 1 or after year 9999, which count as missing: mend the list or "
            "table that they come from, and run again."
        )

    @cached_property
    def outliers(self) -> int:
        """How many images are outliers, see `congeal.results.outlier_counts`; reads nothing but in old
        versions."""
        if "misfits" in self.publication.counts:
            return outliers(self.publication.counts, ())
        rows = self.dataset("clusters").to_table(columns=["n_outliers"]).to_pylist()
        return outliers(self.publication.counts, rows)

    def marker(self, stage: str, unit: str) -> Marker:
        """The marker of a unit that the publication names; DamagedError if it is gone."""
        marker = find_marker(self.place, stage, unit)
        if marker is None:
            # If the version itself is gone by now, that is what there is to say.
            self._require_kept()
            raise DamagedError(
                f"The unit {stage}/{unit} of {self.place} is gone: `congeal run` makes it anew from "
                f"{self.publication.source}."
            )
        return marker

    def _require_kept(self) -> None:
        try:
            published(self.place, str(self.publication.number))
        except UserError as error:
            raise DamagedError(f"{error} It was open here when that happened: open it anew.") from error

    @cached_property
    def _clusters(self) -> pa.Table:
        table = self.dataset("clusters").to_table()
        made = {name: facts for marker in self._index for name, facts in _made(marker).items()}
        names = table["cluster_id"].to_pylist()
        for field in MADE:
            values = pa.array((made[name].get(field.name) for name in names), field.type)
            table = table.append_column(field.name, values)
        return table

    @cached_property
    def _units_of(self) -> dict[str, list[Marker]]:
        units: dict[str, list[Marker]] = {}
        for marker in self._index:
            for cluster in _made(marker):
                units.setdefault(cluster, []).append(marker)
        return units

    @cached_property
    def _index(self) -> list[Marker]:
        units = self.publication.units["index"]
        markers = list(in_threads(lambda unit: self.marker("index", unit), units))
        # A publication lists units by their names; the rows go on from file to file in the tables' order.
        return sorted(markers, key=lambda marker: list(marker.record.get("first", ())))


def _made(marker: Marker) -> dict[str, Any]:
    return dict(marker.record.get("made", {}))
