"""Copies on this machine's disk spare requests, and change nothing of what is read or found damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import DamagedError
from infra.ledger.commits import UnitAddress, commit_unit, outputs_location
from infra.ledger.provenance import Provenance, Stopwatch
from infra.storage import near_copies
from infra.storage.location import Location
from infra.storage.usage import GET, meter
from infra.storage.zarr_groups import ArraySpec, array_at, array_in, encode_group, open_group, read_whole
from infra.storage.zarr_shards import ShardedRows
from tasks.catalog.image_reading import Unreadable, content_id, copy_of, read_same

DATA = bytes(range(256)) * 4
ROWS = np.arange(96, dtype=np.float32).reshape(6, 16)


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Path]:
    with near_copies.used(near_copies.copies_of(tmp_path, 2**20)):
        yield tmp_path


def gets() -> int:
    return meter.total.requests.get("s3", {}).get(GET, 0)


def committed(destination: Location) -> Location:
    group = encode_group({"rows": ArraySpec(ROWS, ("image", "x"), chunks=(1, 16))}, {})
    outputs = {"a.bin": DATA} | {f"g.zarr/{path}": data for path, data in group.items()}
    address = UnitAddress(destination, "catalog", 1, "scope", "unit")
    return outputs_location(address, commit_unit(address, outputs, {}, Provenance.of(Stopwatch())))


@pytest.mark.s3
def test_what_a_run_has_written_is_not_asked_for(s3_location: Location, copies: Path) -> None:
    place = committed(s3_location)
    before = gets()
    assert (place / "a.bin").read_bytes() == DATA
    assert (place / "a.bin").read_ranges([(3, 9), (-4, None)]) == [DATA[3:9], DATA[-4:]]
    with (place / "a.bin").open() as file:
        assert file.read(5) == DATA[:5]
    group = open_group(place / "g.zarr")
    np.testing.assert_array_equal(read_whole(array_in(group, "rows")), ROWS)
    array = array_at(place / "g.zarr", "rows")
    assert array is not None
    np.testing.assert_array_equal(ShardedRows(array, place / "g.zarr/rows").read([4, 1]), ROWS[[4, 1]])
    assert gets() == before
    shutil.rmtree(copies)  # whatever becomes of them
    assert (place / "a.bin").read_bytes() == DATA
    np.testing.assert_array_equal(read_whole(array_in(open_group(place / "g.zarr"), "rows")), ROWS)
    assert gets() > before


@pytest.mark.s3
def test_a_copy_that_is_damaged_is_no_copy(s3_location: Location, copies: Path) -> None:
    place = committed(s3_location)
    for copy in copies.iterdir():
        copy.write_bytes(b"x" + copy.read_bytes()[1:])
    assert (place / "a.bin").read_bytes() == DATA
    assert open_group(place / "g.zarr").attrs.asdict() == {}


@pytest.mark.s3
def test_without_copies_damage_in_the_store_is_found(s3_location: Location) -> None:
    place = committed(s3_location)
    (place.sealed({}) / "a.bin").write_bytes(b"x" + DATA[1:])
    with pytest.raises(DamagedError, match="congeal repair"):
        (place / "a.bin").read_bytes()


@pytest.mark.s3
def test_an_original_is_read_as_it_was_catalogued(s3_location: Location, copies: Path) -> None:
    image = content_id(DATA)
    near_copies.keep(copy_of(image), DATA, "s3")
    before = gets()
    assert read_same(s3_location, (image, "a.jpg")) == DATA
    assert gets() == before
    assert isinstance(read_same(s3_location, (image, None)), Unreadable)  # no longer in the source
    (copies / copy_of(image)).write_bytes(b"something else")
    (s3_location / "a.jpg").write_bytes(DATA)
    assert read_same(s3_location, (image, "a.jpg")) == DATA


def test_stores_of_this_machine_need_no_copies(tmp_path: Path, copies: Path) -> None:
    committed(Location.parse(tmp_path / "destination"))
    assert [one.name for one in copies.iterdir()] == ["destination"]


def test_the_disk_of_another_machine_is_of_no_use(tmp_path: Path) -> None:
    with near_copies.used(near_copies.Copies(str(tmp_path / "elsewhere"), 1000)):
        assert near_copies.active() is None
        near_copies.keep("a", b"a", "s3")
        assert near_copies.read("a") is None


@given(sizes=st.lists(st.integers(0, 400), max_size=40))
def test_there_is_never_more_than_there_may_be(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    with near_copies.used(near_copies.Copies(str(folder), 1000)):
        for number, size in enumerate(sizes):
            near_copies.keep(str(number), b"x" * size, "s3")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1000
    assert not list(folder.glob("new-*"))
