"""Tables in a store that fails now and then: reads are tried again, and what stays is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from s3_stub import s3_stub, url_of

from congeal.results.schema.parquet_files import dataset, encode_table
from congeal.results.schema.tables import ALIGNMENTS
from infra.errors import StorageError
from infra.ledger.commits import OutputFile
from infra.settings import StorageSettings
from infra.storage.location import Location
from infra.storage.read_only_files import PublishedFiles, Sized

DATA = encode_table(pa.Table.from_pylist([], schema=ALIGNMENTS), ALIGNMENTS)


@pytest.fixture
def server(no_waiting: None) -> Iterator[Any]:
    with s3_stub("named") as running:
        yield running


@pytest.fixture
def table(server: Any) -> Location:
    place = Location.parse("s3://bucket/table.parquet", StorageSettings(endpoint_url=url_of(server)))
    place.write_bytes(DATA)
    return place.sealed({"": OutputFile.of("table.parquet", DATA)})


@pytest.mark.s3
@pytest.mark.parametrize("trouble", ["503", "reset", "cut"])
def test_what_passes_is_not_seen(server: Any, table: Location, trouble: str) -> None:
    server.trouble = [trouble, trouble]
    assert dataset([table], ALIGNMENTS).to_table().num_rows == 0
    assert server.trouble == []
    server.trouble = [trouble]
    file = PublishedFiles({"x": Sized(table, len(DATA))}).open("x", "rb")
    assert file.read(100) == DATA[:100]
    assert server.trouble == []


@pytest.mark.s3
@pytest.mark.parametrize("trouble", ["503", "reset", "cut"])
def test_what_stays_is_one_sentence(server: Any, table: Location, trouble: str) -> None:
    found = dataset([table], ALIGNMENTS)
    server.trouble = [trouble] * 100
    with pytest.raises(StorageError, match=r"The store of s3://bucket/table.parquet failed 5 times to read"):
        dataset([table], ALIGNMENTS)
    server.trouble = [trouble] * 100
    with pytest.raises(StorageError, match="failed 5 times to read"):
        found.to_table()
