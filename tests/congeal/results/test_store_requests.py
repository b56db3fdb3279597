"""How often a store is asked: each request is a wait, however little it brings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import s3fs
from known_collection import known

import congeal
from infra.settings import StorageSettings
from infra.storage.location import Location

__all__ = ["known"]

pytestmark = pytest.mark.s3
SOURCE, TARGETS = "a/0.png", ["a/1.png"]


@pytest.fixture
def on_s3(known: Path, s3_location: Location) -> str:
    for path in sorted(file for file in known.rglob("*") if file.is_file()):
        (s3_location / str(path.relative_to(known))).write_bytes(path.read_bytes())
    return s3_location.url


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of all requests, in order."""
    seen: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: s3fs.S3FileSystem, method: str, *arguments: Any, **options: Any) -> Any:
        seen.append(method)
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    return seen


def test_nothing_is_asked_for_its_size(
    on_s3: str, s3_settings: StorageSettings, requests: list[str], known: Path
) -> None:
    """A pointer, a version, a marker, tables, descriptions of arrays, rows: a GET each."""
    opened = congeal.open(on_s3, endpoint_url=s3_settings.endpoint_url)
    assert requests == ["get_object"] * 3
    points = [[20.0, 20.0], [25.0, 30.0]]
    found = opened.transfer(SOURCE, points, TARGETS, as_="arrow")
    assert set(requests) == {"get_object"}
    before = len(requests)
    again = opened.transfer(SOURCE, points, TARGETS, as_="arrow")
    # Both ways and their confidence for the source, one way for the target: no table and no index once more.
    assert len(requests) - before <= 6
    there = congeal.open(known).transfer(SOURCE, points, TARGETS, as_="arrow")
    assert found.equals(again)
    assert found.equals(there)


def test_small_tables_are_fetched_once(
    on_s3: str, s3_settings: StorageSettings, requests: list[str], known: Path
) -> None:
    opened = congeal.open(on_s3, endpoint_url=s3_settings.endpoint_url)
    for _ in range(3):
        assert len(opened.images) == len(congeal.open(known).images)
        assert len(opened.alignments) == len(congeal.open(known).alignments)
    # Three for the version, one for the marker of the index, and its three small tables.
    units = len(opened.publication.units["index"])
    assert len(requests) <= 3 + units + 3 * units
    assert np.array_equal(opened.images["uri"], congeal.open(known).images["uri"])


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read whole, in order."""
    seen: list[str] = []
    read = Location.read_bytes

    def counted(self: Location) -> bytes:
        seen.append(self.url.rpartition("/")[2])
        return read(self)

    monkeypatch.setattr(Location, "read_bytes", counted)
    return seen


@pytest.mark.parametrize("name", ["clusters", "images", "alignments"])
def test_a_table_that_is_asked_for_alone_comes_alone_and_once(
    on_s3: str, s3_settings: StorageSettings, read_whole: list[str], known: Path, name: str
) -> None:
    opened = congeal.open(on_s3, endpoint_url=s3_settings.endpoint_url)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: opened.table(name, as_="arrow"), range(8)))
    assert all(one.equals(congeal.open(known).table(name, as_="arrow")) for one in found)
    tables = [file for file in read_whole if file.endswith(".parquet")]
    here = congeal.open(known)._published.tables.files(name)
    assert tables == [f"{name}.parquet"] * len(here)


@pytest.mark.parametrize(
    ("ask", "tables"),
    [
        (lambda opened: opened.transfer(SOURCE, [[20.0, 20.0]], TARGETS), {"images", "clusters"}),
        (
            lambda opened: opened.transfer(SOURCE, [[20.0, 20.0]], "all"),
            {"images", "clusters", "alignments"},
        ),
        (lambda opened: opened.landmarks([[20.0, 20.0]], SOURCE), {"images", "clusters", "alignments"}),
        (lambda opened: opened.sql("FROM images"), {"images", "clusters", "alignments"}),
    ],
)
def test_tables_that_an_answer_needs_are_fetched_at_the_same_time(
    on_s3: str,
    s3_settings: StorageSettings,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Any], Any],
    tables: set[str],
) -> None:
    opened = congeal.open(on_s3, endpoint_url=s3_settings.endpoint_url)
    together = Barrier(len(tables))
    seen: list[str] = []
    read = Location.read_bytes

    def met(self: Location) -> bytes:
        if self.url.endswith(".parquet"):
            seen.append(self.url.rpartition("/")[2])
            together.wait(30)  # until as many are asked for at once
        return read(self)

    monkeypatch.setattr(Location, "read_bytes", met)
    ask(opened)
    assert sorted(seen) == sorted(f"{name}.parquet" for name in tables)
