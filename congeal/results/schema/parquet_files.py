"""The tables as Parquet files: encoded so that readers find things, checked when they are opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.history import as_of, lacking
from congeal.results.schema.own_fields import own_fields, with_own
from infra.errors import DamagedError
from infra.storage.location import Location, arrow_files
from infra.storage.seals import damaged
from infra.threads import in_threads

if TYPE_CHECKING:
    import pyarrow.dataset

ROW_GROUP = 65_536
STREAMED = 16_384  # rows that are read at once of a table that is read in order
_TEXT = pa.string()
_CATEGORY = pa.dictionary(pa.int32(), pa.string())

# Few values that repeat, and measurements whose bytes compress better apart.
_REPEATED = ("point_id", "u", "v", "instance_id")
_SPLIT = ("x", "y", "confidence")
# In row groups that are not sorted by it, a reader finds an image without reading its column.
_SOUGHT = {"correspondences": "image_id", "alignments": "image_id", "images": "image_id"}


def encode_table(table: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema) -> bytes:
    """Parquet bytes of ``table`` with exactly the columns of ``schema``, in its order.

    The rows come sorted as the schema says. The same rows give the same bytes, however they are cut into
    batches; beside these, memory holds one row group. Raises ``ValueError`` for a missing or extra column and
    ``pa.ArrowInvalid`` for a value that does not fit its column.
    """
    batches = table.to_batches(max_chunksize=ROW_GROUP) if isinstance(table, pa.Table) else table
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **_layout(schema)) as writer:
        for group in _row_groups(_cast(batch, schema) for batch in batches):
            writer.write_table(group, row_group_size=ROW_GROUP)
    return bytes(sink.getvalue())


def _layout(schema: pa.Schema) -> dict[str, Any]:
    facts = schema.metadata or {}
    table = facts.get(b"congeal.table", b"").decode()
    order = [name for name in facts.get(b"congeal.sorted_by", b"").decode().split(", ") if name]
    repeated = [
        field.name
        for field in schema
        if field.type in (_TEXT, _CATEGORY) or (table == "correspondences" and field.name in _REPEATED)
    ]
    options: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": repeated,
        "write_page_index": True,
        "write_page_checksum": True,
    }
    if table == "correspondences":
        options["use_byte_stream_split"] = list(_SPLIT)
    if order:
        ordering = [(name, "ascending") for name in order]
        options["sorting_columns"] = pq.SortingColumn.from_ordering(schema, ordering)
    if table in _SOUGHT:
        # As many values as a row group can have, but for correspondences, where an image has many rows.
        values = ROW_GROUP // 64 if table == "correspondences" else ROW_GROUP
        options["bloom_filter_options"] = {_SOUGHT[table]: {"ndv": values, "fpp": 0.01}}
    return options


def dataset(
    locations: Sequence[Location], schema: pa.Schema, contents: Mapping[str, bytes] | None = None
) -> pyarrow.dataset.Dataset:
    """One dataset over Parquet files of the same schema; those of an older version lack what is new (null).

    contents: what the files hold, by URL, where all of it is at hand already. The dataset's schema says what
    the columns mean in the oldest of the files (`congeal.results.schema.history`). Raises ``DamagedError``
    for a file that is no Parquet, of another table, or of a newer schema version; so does whoever reads rows
    that are not those that were written, where the files are sealed (see `infra.storage.seals`).
    """
    import pyarrow.dataset  # and with it pandas

    if not locations:
        return pyarrow.dataset.dataset(schema.empty_table())
    held = [(contents or {}).get(location.url) for location in locations]
    pairs = list(zip(locations, held, strict=True))
    checked = list(in_threads(lambda pair: _check(*pair, schema), pairs))
    oldest = min(version for version, _ in checked)
    if oldest < int(schema.metadata[b"congeal.schema_version"]):
        schema = as_of(schema, oldest)
    schema = with_own(schema, {field.name: field for _, own in checked for field in own}.values())
    pages = pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=pages)
    if None not in held:
        fragments = [form.make_fragment(pa.py_buffer(data)) for data in held]
        return pyarrow.dataset.FileSystemDataset(fragments, schema, form)
    filesystem, paths = arrow_files(locations)
    return pyarrow.dataset.dataset(paths, schema=schema, filesystem=filesystem, format=form)


def record_batches(
    location: Location,
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    content: bytes | None = None,
) -> pa.RecordBatchReader:
    """Rows of one Parquet file, some columns of them, a few thousand at a time, however large it is.

    content: what the file holds, where that is at hand. Older versions and faults are as of `dataset`, which
    reads far ahead.
    """
    version, own = _check(location, content, schema)
    if version < int(schema.metadata[b"congeal.schema_version"]):
        schema = as_of(schema, version)
    schema = with_own(schema, own)
    fields = [field for field in schema if columns is None or field.name in columns]
    some = pa.schema(fields, metadata=schema.metadata)

    def batches() -> Iterator[pa.RecordBatch]:
        with (
            _opened(location, content) as file,
            pq.ParquetFile(file, page_checksum_verification=True) as table,
        ):
            there = [name for name in some.names if name in table.schema_arrow.names]
            for batch in table.iter_batches(STREAMED, columns=there, use_threads=False):
                missing = pa.nulls(batch.num_rows)
                arrays = [
                    batch.column(field.name) if field.name in there else missing.cast(field.type)
                    for field in some
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=some)

    return pa.RecordBatchReader.from_batches(some, batches())


def small_rows(
    locations: Sequence[Location], schema: pa.Schema, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """All rows of small Parquet files, some columns of them; null where an older version lacks a column.

    Raises as `dataset` does, which costs a quarter of a second of imports.
    """

    def read(location: Location) -> list[dict[str, Any]]:
        data = pa.BufferReader(location.read_bytes())
        _require(location, data, schema)
        try:
            file = pq.ParquetFile(data, page_checksum_verification=True)
            present = [name for name in columns if name in file.schema_arrow.names]
            nothing = dict.fromkeys(columns)
            return [nothing | row for row in file.read(columns=present).to_pylist()]
        except (pa.ArrowException, OSError) as fault:
            raise damaged(location.url) from fault

    return [row for rows in in_threads(read, list(locations)) for row in rows]


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    table = pa.Table.from_batches([batch])
    missing = [name for name in schema.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in schema.names]
    if missing or extra:
        raise ValueError(f"columns do not fit the schema: missing {missing}, extra {extra}")
    return table.select(schema.names).cast(schema)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Cut a stream of tables anew, so that every row group but the last is full."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROW_GROUP:
            whole = _joined(waiting)
            yield _joined([whole.slice(0, ROW_GROUP)])
            waiting = [whole.slice(ROW_GROUP)]
            rows -= ROW_GROUP
    if rows:
        yield _joined(waiting)


def _joined(tables: list[pa.Table]) -> pa.Table:
    # One chunk a column and one dictionary: how rows were cut before must not show in the bytes.
    table = pa.concat_tables(tables).combine_chunks()
    columns = [
        column.cast(_TEXT).combine_chunks().dictionary_encode().cast(_CATEGORY)
        if pa.types.is_dictionary(column.type)
        else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _check(location: Location, content: bytes | None, schema: pa.Schema) -> tuple[int, list[pa.Field]]:
    """The schema version of a file, and its owner's columns; ``DamagedError`` if it is none of these."""
    with _opened(location, content) as file:
        return _require(location, file, schema)


def _opened(location: Location, content: bytes | None) -> Any:
    return location.open() if content is None else pa.BufferReader(content)


def _require(location: Location, file: Any, schema: pa.Schema) -> tuple[int, list[pa.Field]]:
    """The same of its opened content."""
    try:
        found = pq.read_schema(file)
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise damaged(location.url, "it is no Parquet file") from fault
    facts = found.metadata or {}
    expected = schema.metadata[b"congeal.table"]
    if facts.get(b"congeal.table") != expected:
        raise damaged(location.url, f"it does not hold the table {expected.decode()}")
    version = facts.get(b"congeal.schema_version", b"")
    if not version.isdigit() or int(version) > int(schema.metadata[b"congeal.schema_version"]):
        raise DamagedError(f"{location} has the newer schema version {version.decode()}: upgrade congeal.")
    missing = lacking(expected.decode(), int(version))
    own = own_fields(found) if expected == b"images" else []
    expected_fields = [field for field in schema if field.name not in missing]
    if not found.equals(pa.schema([*expected_fields, *own])):
        raise damaged(location.url, f"it has not the columns of {expected.decode()}")
    return int(version), own
