"""Apache Iceberg tables over Parquet files that are there: nothing is copied, readers need no congeal.

A table is a folder with ``metadata/``. ``v<number>.metadata.json`` describes the table as it was published
under that number; it is written once, after the manifests that it names. ``version-hint.text`` says which of
them is current: the layout of Iceberg's Hadoop tables, found by path alone. A snapshot's id is the number of
the version, so that time travel asks for the number that everything else goes by. Format version 2; Parquet
files without field ids are read through the table's name mapping.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.exceptions import ValidationError
from pyiceberg.io.pyarrow import parquet_file_to_data_file, pyarrow_to_schema
from pyiceberg.manifest import (
    DataFile,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil, TableMetadataV2
from pyiceberg.table.name_mapping import MappedField, NameMapping
from pyiceberg.table.refs import SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotLogEntry, Summary
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

from congeal_floors.plurals import counted
from infra.errors import MissingError
from infra.iceberg.file_io import LocationFiles
from infra.storage.location import Location
from infra.storage.read_only_files import Sized
from infra.threads import in_threads

FORMAT: Final = 2
CODEC: Final = "deflate"


@dataclass(frozen=True)
class TableVersion:
    """A table as one version has it.

    number, name: of the version, and what its files are called ("00003-ab12cd34"). created: milliseconds
    since 1970. files: Parquet files of one schema. empty: the schema, for where there is no file.
    """

    number: int
    name: str
    created: int
    files: Sequence[Sized]
    empty: pa.Schema


@dataclass(frozen=True)
class Table:
    """A table's folder below a destination, whose files it names by their whole URLs."""

    destination: Location
    path: str

    @property
    def place(self) -> Location:
        """The folder."""
        return self.destination / self.path

    def write(self, version: TableVersion, earlier: Iterable[int]) -> None:
        """Describe a version: its manifest, its list of manifests, then its metadata.

        earlier: versions whose snapshots are kept on as history, where their metadata is there.
        """
        history = sorted(number for number in earlier if number < version.number)
        base = next((found for number in reversed(history) if (found := self.metadata(number))), None)
        fresh = self._with_schema(version, base)
        files = LocationFiles(self.destination)
        before = {} if base is None else {entry.data_file.file_path: entry for entry in self._live(base)}
        there = {file.place.url for file in version.files}
        new = [file.place.url for file in version.files if file.place.url not in before]
        with _without_notes():
            added = list(in_threads(lambda url: parquet_file_to_data_file(files, fresh, url), new))
        kept = [entry for url, entry in before.items() if url in there]
        gone = [entry for url, entry in before.items() if url not in there]
        manifests = self._manifest(version, fresh, added, kept, gone)
        snapshot = self._snapshot(version, fresh, base, manifests, [added, kept, gone])
        past = [] if base is None else [one for one in base.snapshots if one.snapshot_id in history]
        log = [] if base is None else [one for one in base.snapshot_log if one.snapshot_id in history]
        whole = TableMetadataV2.model_validate(
            fresh.model_copy(
                update={
                    "last_updated_ms": snapshot.timestamp_ms,
                    "last_sequence_number": version.number,
                    "current_snapshot_id": version.number,
                    "snapshots": [*past, snapshot],
                    "snapshot_log": [
                        *log,
                        SnapshotLogEntry.model_validate(
                            {"snapshot_id": version.number, "timestamp_ms": snapshot.timestamp_ms}
                        ),
                    ],
                    "refs": _main(version.number),
                }
            ).model_dump(by_alias=True)
        )
        ToOutputFile.table_metadata(whole, files.new_output(self.described(version.number).url), True)

    def point(self, number: int) -> None:
        """Make a version the current one: one small file, replaced at once."""
        (self.place / "metadata/version-hint.text").write_bytes(str(number).encode())

    def described(self, number: int) -> Location:
        """Where the metadata of a version lies."""
        return self.place / f"metadata/v{number}.metadata.json"

    def metadata(self, number: int) -> TableMetadata | None:
        """The metadata of a version; None if it is not there, is damaged, or is of another place."""
        try:
            found = TableMetadataUtil.parse_raw(self.described(number).read_bytes().decode())
        except (MissingError, ValidationError, UnicodeDecodeError):
            return None
        return found if found.location == self.place.url else None

    def trim(self, number: int, kept: set[int]) -> None:
        """Drop the snapshots of versions that are not kept from a kept version's metadata."""
        found = self.metadata(number)
        if found is None or all(one.snapshot_id in kept for one in found.snapshots):
            return
        update: dict[str, Any] = {
            "snapshots": [one for one in found.snapshots if one.snapshot_id in kept],
            "snapshot_log": [one for one in found.snapshot_log if one.snapshot_id in kept],
        }
        files = LocationFiles(self.destination)
        trimmed = found.model_copy(update=update)
        ToOutputFile.table_metadata(trimmed, files.new_output(self.described(number).url), True)

    def faults(self, number: int, files: Sequence[Sized]) -> Iterator[str]:
        """What is wrong with the description of a version that is made of these files, a sentence each."""
        found = self.metadata(number)
        place, cure = self.described(number), f"delete {self.place} and run again."
        if found is None:
            yield f"{place} is missing, damaged or of another place: {cure}"
            return
        expected = {file.place.url: file.bytes for file in files}
        for snapshot in found.snapshots:
            try:
                named = {one.data_file.file_path: one.data_file for one in self._entries(snapshot)}
            except (OSError, MissingError, ValueError, KeyError, AssertionError) as error:
                yield f"{snapshot.manifest_list} or what it names cannot be read ({error}): {cure}"
                continue
            sizes = {url: file.file_size_in_bytes for url, file in named.items()}
            if snapshot.snapshot_id == number:
                if sizes != expected:
                    yield f"{place} does not name the files of version {number}: {cure}"
            else:
                known = [(url, size) for url, size in sizes.items() if url not in expected]
                yield from (fault for fault in in_threads(self._misfit, known) if fault)
        if found.current_snapshot_id != number:
            yield f"{place} does not say that version {number} is current: {cure}"

    def _misfit(self, named: tuple[str, int]) -> str | None:
        url, size = named
        try:
            found = len(LocationFiles(self.destination).new_input(url))
        except (MissingError, FileNotFoundError):
            return f"{self.place} names {url}, which is missing."
        return (
            None
            if found == size
            else f"{url} has {counted(found, 'byte')} instead of the {size} that {self.place} names."
        )

    def _with_schema(self, version: TableVersion, base: TableMetadata | None) -> TableMetadataV2:
        """Metadata without a snapshot: what the columns are, under the ids that they have had before."""
        arrow = version.empty
        if version.files:
            with version.files[0].place.open() as file:
                arrow = pq.read_schema(file)
        ids = (
            {}
            if base is None
            else {field.name: field.field_id for one in base.schemas for field in one.fields}
        )
        last = 0 if base is None else base.last_column_id
        for field in arrow:
            own = (field.metadata or {}).get(b"PARQUET:field_id")
            # Files of before there were numbers in them have their columns in the numbers' order.
            ids[field.name] = int(own) if own else ids.get(field.name, last + 1)
            last = max(last, ids[field.name])
        # Of all columns that there have been: older versions are read through it, too.
        mapping = NameMapping(
            [
                MappedField.model_validate({"field_id": number, "names": [name]})
                for name, number in ids.items()
            ]
        )
        schema = pyarrow_to_schema(_documented(arrow), mapping)
        schemas = [] if base is None else list(base.schemas)
        same = next((one for one in schemas if one.fields == schema.fields), None)
        if same is None:
            same = Schema(*schema.fields, schema_id=1 + max((one.schema_id for one in schemas), default=-1))
            schemas.append(same)
        facts = {key.decode(): value.decode() for key, value in (arrow.metadata or {}).items()}
        properties = {key: value for key, value in facts.items() if key.startswith("congeal.")}
        return TableMetadataV2.model_validate(
            {
                "location": self.place.url,
                "table_uuid": uuid.uuid5(uuid.NAMESPACE_URL, self.place.url)
                if base is None
                else base.table_uuid,
                "last_column_id": last,
                "schemas": schemas,
                "current_schema_id": same.schema_id,
                "partition_specs": [UNPARTITIONED_PARTITION_SPEC],
                "default_spec_id": UNPARTITIONED_PARTITION_SPEC.spec_id,
                "last_partition_id": UNPARTITIONED_PARTITION_SPEC.last_assigned_field_id,
                "sort_orders": [UNSORTED_SORT_ORDER],
                "default_sort_order_id": UNSORTED_SORT_ORDER.order_id,
                "properties": {
                    **properties,
                    "comment": facts.get("congeal.description", ""),
                    "schema.name-mapping.default": mapping.model_dump_json(),
                    # The files belong to the destination: no engine's clean-up may take them away.
                    "gc.enabled": "false",
                },
                "last_updated_ms": version.created,
            }
        )

    def _manifest(
        self,
        version: TableVersion,
        metadata: TableMetadata,
        added: Sequence[DataFile],
        kept: Sequence[ManifestEntry],
        gone: Sequence[ManifestEntry],
    ) -> list[ManifestFile]:
        if not (added or kept or gone):
            return []
        url = f"{self.place.url}/metadata/{version.name}-m0.avro"
        output = LocationFiles(self.destination).new_output(url)
        writer = write_manifest(FORMAT, metadata.spec(), metadata.schema(), output, version.number, CODEC)
        with writer:
            for file in added:
                writer.add(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=version.number,
                        sequence_number=version.number,
                        file_sequence_number=version.number,
                        data_file=file,
                    )
                )
            for entry in kept:
                writer.existing(entry)
            for entry in gone:
                writer.delete(entry)
        return [writer.to_manifest_file()]

    def _snapshot(
        self,
        version: TableVersion,
        metadata: TableMetadata,
        base: TableMetadata | None,
        manifests: Sequence[ManifestFile],
        counted: Sequence[Sequence[Any]],
    ) -> Snapshot:
        parent = None if base is None else base.current_snapshot_id
        output = LocationFiles(self.destination).new_output(
            f"{self.place.url}/metadata/snap-{version.name}.avro"
        )
        with write_manifest_list(FORMAT, output, version.number, parent, version.number, CODEC) as writer:
            writer.add_manifests(list(manifests))
        added, kept, gone = counted
        rows = sum(one.record_count for one in added) + sum(one.data_file.record_count for one in kept)
        return Snapshot.model_validate(
            {
                "snapshot_id": version.number,
                "parent_snapshot_id": parent,
                "sequence_number": version.number,
                # Times go up from snapshot to snapshot, whatever the machines' clocks say.
                "timestamp_ms": max(version.created, 0 if base is None else base.last_updated_ms + 1),
                "manifest_list": output.location,
                "schema_id": metadata.current_schema_id,
                "summary": Summary(
                    Operation.OVERWRITE if gone else Operation.APPEND,
                    **{
                        "congeal.version": str(version.number),
                        "congeal.publication": version.name,
                        "added-data-files": str(len(added)),
                        "deleted-data-files": str(len(gone)),
                        "total-data-files": str(len(version.files)),
                        "total-files-size": str(sum(file.bytes for file in version.files)),
                        "total-records": str(rows),
                    },
                ),
            }
        )

    def _live(self, metadata: TableMetadata) -> list[ManifestEntry]:
        snapshot = metadata.current_snapshot()
        return [] if snapshot is None else self._entries(snapshot)

    def _entries(self, snapshot: Snapshot) -> list[ManifestEntry]:
        files = LocationFiles(self.destination)
        return [
            entry
            for manifest in read_manifest_list(files.new_input(snapshot.manifest_list))
            for entry in manifest.fetch_manifest_entry(files)
        ]


def _main(number: int) -> dict[str, SnapshotRef]:
    return {"main": SnapshotRef.model_validate({"snapshot_id": number, "type": SnapshotRefType.BRANCH})}


def _documented(schema: pa.Schema) -> pa.Schema:
    """The descriptions of columns where pyiceberg looks for them."""
    return pa.schema(
        pa.field(
            field.name,
            field.type.value_type if pa.types.is_dictionary(field.type) else field.type,
            metadata={b"doc": (field.metadata or {}).get(b"description", b"")},
        )
        for field in schema
    )


@contextmanager
def _without_notes() -> Iterator[None]:
    """Categories are text to Iceberg, which pyiceberg remarks for every column of every file."""

    def other(record: logging.LogRecord) -> bool:
        return "does not have a dictionary type" not in record.getMessage()

    logger = logging.getLogger("pyiceberg.io.pyarrow")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)
