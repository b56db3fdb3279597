"""How often a store is asked: each request is a wait, however little it brings."""

from __future__ import annotations

from pathlib import Path
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
