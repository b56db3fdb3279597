from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import DamagedError
from infra.storage import zarr_groups, zarr_shards
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, array_at, encode_group
from infra.storage.zarr_shards import ShardedRows, is_sharded_by_row

DATA = np.random.default_rng(0).normal(size=(40, 6, 7)).astype(np.float32)
OBJECT = "group/maps/rows/c/0/0/0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Location:
    return write(Location.parse(tmp_path_factory.mktemp("shards")))


def write(place: Location) -> Location:
    specs = {
        "maps/rows": ArraySpec(DATA, ("image", "v", "u"), (1, 6, 7)),
        "maps/halves": ArraySpec(DATA.astype(np.float16), ("image", "v", "u"), (1, 6, 7)),
        "bytes": ArraySpec((DATA * 9).astype(np.uint8), ("image", "v", "u"), (1, 6, 7)),
        "whole": ArraySpec(DATA, ("image", "v", "u")),
        "pairs": ArraySpec(DATA, ("image", "v", "u"), (2, 6, 7)),
    }
    for path, data in encode_group(specs, {}).items():
        (place / "group" / path).write_bytes(data)
    return place


def found_in(place: Location, path: str) -> zarr.Array[Any]:
    array = array_at(place / "group", path)
    assert array is not None
    return array


def rows_of(place: Location, path: str = "maps/rows") -> ShardedRows:
    return ShardedRows(found_in(place, path), place / "group" / path)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, int | None]]]:
    """The ranges of every reading; [] for one of the whole."""
    seen: list[list[tuple[int, int | None]]] = []
    ranges, whole = Location.read_ranges, Location.read_bytes

    def counted(self: Location, asked: Any) -> list[bytes]:
        seen.append(list(asked))
        return ranges(self, asked)

    def counted_whole(self: Location) -> bytes:
        seen.append([])
        return whole(self)

    monkeypatch.setattr(Location, "read_ranges", counted)
    monkeypatch.setattr(Location, "read_bytes", counted_whole)
    return seen


@given(st.lists(st.integers(0, 39), max_size=50), st.sampled_from(("maps/rows", "maps/halves", "bytes")))
def test_rows_are_those_that_zarr_reads(place: Location, rows: list[int], path: str) -> None:
    reader, array = rows_of(place, path), found_in(place, path)
    for _ in range(2):  # with the index not yet known, and with it
        got = reader.read(rows)
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, np.asarray(array[:])[rows])


@given(st.permutations(range(12)), st.sampled_from(("maps/rows", "bytes")))
def test_rows_are_put_into_their_places(place: Location, places: list[int], path: str) -> None:
    array = np.asarray(found_in(place, path)[:])
    found = np.zeros((12, *array.shape[1:]), array.dtype)
    rows = [3 * row for row in range(9)]
    rows_of(place, path).read_into(rows, found, places[:9])
    expected = np.zeros_like(found)
    expected[places[:9]] = array[rows]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("shape", "dtype"), [((2, 6, 7), np.int32), ((2, 7, 6), np.float32)])
def test_rows_are_not_put_among_others(place: Location, shape: tuple[int, ...], dtype: type) -> None:
    found = np.zeros(shape, dtype)
    with pytest.raises(DamagedError, match="its bytes are not those that were written"):
        rows_of(place).read_into([1], found, [0])
    assert not found.any()


@given(st.lists(st.integers(0, 39), min_size=1, max_size=5), st.integers(0, 4000))
def test_rows_are_the_same_whatever_is_fetched_together(place: Location, rows: list[int], gap: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_shards, "GAP", gap)
        patch.setattr(zarr_shards, "WHOLE", 0)
        np.testing.assert_array_equal(rows_of(place).read(rows), DATA[rows])


def test_only_arrays_of_one_shard_with_a_chunk_a_row_are_read_so(place: Location) -> None:
    paths = ("maps/rows", "bytes", "whole", "pairs")
    kinds = {path: is_sharded_by_row(found_in(place, path)) for path in paths}
    assert kinds == {"maps/rows": True, "bytes": True, "whole": False, "pairs": False}


DTYPES = ("float16", "float32", "float64", ">f4", "int32", "uint8", "bool")


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from(DTYPES),
    st.sampled_from((1, 3)),
    st.sampled_from((0, 9)),
    st.booleans(),
)
def test_an_object_has_the_bytes_that_zarr_gives_it(
    shape: list[int], dtype: str, level: int, spread: int, by_row: bool
) -> None:
    data = np.random.default_rng(shape[0]).normal(size=shape) * spread
    data = np.asfortranarray(data.astype(dtype))
    chunks = (1, *shape[1:]) if by_row else None
    spec = ArraySpec(data, [f"axis_{axis}" for axis in range(len(shape))], chunks)
    with pytest.MonkeyPatch.context() as patch:
        for known in ("is_sharded_by_row", "is_one_chunk"):
            patch.setattr(zarr_groups, known, lambda _: False)
        expected = encode_group({"data": spec}, {}, level)
    assert encode_group({"data": spec}, {}, level) == expected


def test_the_index_is_asked_for_once_and_neighbours_together(
    place: Location, requests: list[list[tuple[int, int | None]]]
) -> None:
    reader = rows_of(place)
    reader.read([3])
    reader.read([30, 3, 5, 4])
    assert [len(asked) for asked in requests] == [1, 1, 1]
    assert requests[0] == [(-(40 * 16 + 4), None)]


def test_what_lies_far_apart_is_fetched_apart(
    place: Location, requests: list[list[tuple[int, int | None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_shards, "GAP", 0)
    rows_of(place).read([0, 1, 20])
    assert [len(asked) for asked in requests] == [1, 2]


def test_many_rows_of_an_unknown_shard_come_in_one_request(
    place: Location, requests: list[list[tuple[int, int | None]]]
) -> None:
    rows_of(place).read(range(20))
    assert requests == [[]]


@pytest.mark.parametrize("fault", ["cut", "index", "chunk", "length", "empty"])
@pytest.mark.parametrize("rows", [[1], list(range(40))])
def test_a_damaged_shard_is_one_sentence(tmp_path: Path, fault: str, rows: list[int]) -> None:
    place = write(Location.parse(tmp_path))
    data = bytearray((place / OBJECT).read_bytes())
    size = 40 * 16 + 4
    reader = rows_of(place)
    if fault == "cut":
        data = data[100:-700]
    elif fault == "index":
        data[-size + 3] ^= 1
    elif fault == "chunk":
        data[: len(data) - size] = b"\0" * (len(data) - size)
    elif fault == "empty":
        data = bytearray()
    else:
        index = np.frombuffer(bytes(data[-size:-4]), "<u8").reshape(-1, 2).copy()
        index[:, 1] = 2**40
        body = index.tobytes()
        data[-size:] = body + zarr_shards.google_crc32c.value(body).to_bytes(4, "little")
    (place / OBJECT).write_bytes(bytes(data))
    with pytest.raises(DamagedError, match="is damaged, its bytes are not those"):
        reader.read(rows)


SOUND = DATA[3].tobytes()


def framed(data: bytes, *, stated: bool = True) -> bytes:
    """One zstd frame, with or without the size of its content in its header."""
    return bytes(zstandard.ZstdCompressor(level=1, write_content_size=stated).compress(data))


def with_frame(place: Location, row: int, frame: bytes) -> None:
    """Put a frame in the place of a row's, with a checksum and an index that fit."""
    frame += zarr_shards.google_crc32c.value(frame).to_bytes(4, "little")
    data = (place / OBJECT).read_bytes()
    body, tail = data[: -(40 * 16 + 4)], data[-(40 * 16 + 4) : -4]
    index = np.frombuffer(tail, "<u8").reshape(-1, 2).copy()
    index[row] = len(body), len(frame)
    tail = index.tobytes()
    (place / OBJECT).write_bytes(
        body + frame + tail + zarr_shards.google_crc32c.value(tail).to_bytes(4, "little")
    )


@pytest.mark.parametrize("rows", [[3], list(range(40))])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(
    "content",
    [SOUND[:-1], SOUND[:40], b"", SOUND + b"\0", SOUND * 2, b"\0" * 50_000_000],
    ids=["a byte less", "40 bytes", "nothing", "a byte more", "twice", "far more"],
)
def test_a_row_of_another_size_is_damage(
    tmp_path: Path, content: bytes, stated: bool, rows: list[int]
) -> None:
    place = write(Location.parse(tmp_path))
    with_frame(place, 3, framed(content, stated=stated))
    reader = rows_of(place)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"group/maps/rows/c/0/0/0 is damaged, "):
            reader.read(rows)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [40, len(SOUND) - 1, len(SOUND) + 1, 250])
def test_a_header_that_states_a_rows_size_falsely_is_damage(tmp_path: Path, size: int) -> None:
    frame = bytearray(framed(SOUND[:40].ljust(size, b"\0")))
    assert frame[4:6] == bytes([0x20, size])  # one segment, its size in a byte
    frame[5] = len(SOUND)
    place = write(Location.parse(tmp_path))
    with_frame(place, 3, bytes(frame))
    with pytest.raises(DamagedError, match="is damaged"):
        rows_of(place).read([3])


@pytest.mark.parametrize("stated", [True, False])
def test_a_sound_frame_is_read_whether_its_size_is_stated_or_not(tmp_path: Path, stated: bool) -> None:
    place = write(Location.parse(tmp_path))
    with_frame(place, 3, framed(SOUND, stated=stated))
    np.testing.assert_array_equal(rows_of(place).read([3, 4]), DATA[[3, 4]])


@given(st.binary(max_size=20))
def test_whatever_stands_in_a_header_is_a_size_or_none(rest: bytes) -> None:
    for head in (b"", zarr_shards._MAGIC):
        try:
            said = zstandard.get_frame_parameters(head + rest).content_size
        except zstandard.ZstdError:
            continue  # cut off, or a kind of frame that is refused in decoding
        found = zarr_shards._content_size(memoryview(head + rest))
        if head or rest.startswith(zarr_shards._MAGIC):
            assert found == (None if said == zstandard.CONTENTSIZE_UNKNOWN else said)


def test_arrays_of_one_axis_are_what_zarr_reads(tmp_path: Path) -> None:
    data = np.arange(100, 140, dtype=np.float64)
    place = Location.parse(tmp_path)
    spec = ArraySpec(data, ("image",), (1,))
    for path, content in encode_group({"numbers": spec}, {}).items():
        (place / "group" / path).write_bytes(content)
    assert is_sharded_by_row(found_in(place, "numbers"))
    for rows in ([7, 0, 7], list(range(40))):
        np.testing.assert_array_equal(rows_of(place, "numbers").read(rows), data[rows])


def test_what_was_not_written_is_the_fill_value(tmp_path: Path) -> None:
    group = zarr.create_group(zarr.storage.LocalStore(tmp_path / "group"), zarr_format=3)
    array = group.create_array(
        "rows", shape=(4, 3), chunks=(1, 3), shards=(4, 3), dtype="float32", fill_value=np.nan,
        compressors=zarr.codecs.ZstdCodec(level=1),
    )  # fmt: skip
    array[1] = np.ones(3, np.float32)
    got = rows_of(Location.parse(tmp_path), "rows").read([0, 1])
    np.testing.assert_array_equal(got, [[np.nan] * 3, [1.0] * 3])
