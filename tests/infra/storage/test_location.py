from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import MissingError, StorageError
from infra.settings import StorageSettings
from infra.storage.location import Location


class TestContract:
    """What every store does."""

    def test_what_is_written_is_read(self, location: Location) -> None:
        place = location / "a/b.bin"
        place.write_bytes(b"one")
        place.write_bytes(b"second")
        assert place.read_bytes() == b"second"
        assert place.size() == 6
        with place.open() as file:
            file.seek(3)
            assert file.read() == b"ond"

    def test_empty_objects(self, location: Location) -> None:
        (location / "empty").write_bytes(b"")
        assert (location / "empty").read_bytes() == b""
        assert (location / "empty").exists()
        assert [info.bytes for info in location.objects()] == [0]

    def test_readers_do_not_share_a_position(self, location: Location) -> None:
        (location / "x").write_bytes(b"0123456789")
        with (location / "x").open() as first, (location / "x").open() as second:
            assert first.read(5) == b"01234"
            assert second.read(5) == b"01234"

    def test_exists(self, location: Location) -> None:
        assert not location.exists()
        (location / "folder/x").write_bytes(b"1")
        assert (location / "folder/x").exists()
        assert (location / "folder").exists()
        assert not (location / "folder/y").exists()
        assert not (location / "fold").exists()

    def test_is_prefix(self, location: Location) -> None:
        assert not location.is_prefix()
        (location / "folder/x").write_bytes(b"1")
        assert location.is_prefix()
        assert (location / "folder").is_prefix()
        assert not (location / "fold").is_prefix()

    def test_put_if_absent_writes_once(self, location: Location) -> None:
        place = location / "marker.json"
        assert place.put_if_absent(b"first")
        assert not place.put_if_absent(b"second")
        assert place.read_bytes() == b"first"

    def test_only_one_of_racing_threads_puts(self, location: Location) -> None:
        start = threading.Barrier(8)

        def put(number: int) -> bool:
            start.wait()
            return (location / "marker").put_if_absent(str(number).encode())

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(put, range(8)))
        assert sum(won) == 1
        assert (location / "marker").read_bytes() == str(won.index(True)).encode()

    def test_objects_are_listed_at_every_depth(self, location: Location) -> None:
        for path in ("a", "b/c", "b/d/e"):
            (location / path).write_bytes(path.encode())
        (Location(location.url + "x", location.options) / "stranger").write_bytes(b"")
        found = {info.path: info.bytes for info in location.objects()}
        assert found == {"a": 1, "b/c": 3, "b/d/e": 5}
        assert {info.path for info in (location / "b").objects()} == {"c", "d/e"}

    def test_the_token_changes_with_the_object(self, location: Location) -> None:
        (location / "x").write_bytes(b"one")
        before = [info.token for info in location.objects()]
        assert before == [info.token for info in location.objects()]
        (location / "x").write_bytes(b"another")
        assert before != [info.token for info in location.objects()]

    def test_nothing_there_lists_nothing(self, location: Location) -> None:
        assert list(location.objects()) == []
        assert location.children() == []

    def test_children(self, location: Location) -> None:
        for path in ("b/c", "b/d", "a", "c.txt"):
            (location / path).write_bytes(b"")
        assert location.children() == ["a", "b", "c.txt"]

    def test_delete(self, location: Location) -> None:
        for path in ("a/b", "a/c/d", "ab"):
            (location / path).write_bytes(b"1")
        (location / "a").delete()
        assert [info.path for info in location.objects()] == ["ab"]
        (location / "ab").delete()
        assert not (location / "ab").exists()
        (location / "ab").delete()

    def test_what_is_missing_is_named(self, location: Location) -> None:
        place = location / "nothing.bin"
        for act in (place.read_bytes, place.size, place.open):
            with pytest.raises(MissingError, match=r"nothing\.bin does not exist"):
                act()

    def test_parts_are_those_of_the_whole(self, location: Location) -> None:
        place, data = location / "parts.bin", bytes(range(200))
        place.write_bytes(data)
        ranges = [(0, 3), (150, 151), (-5, None), (3, 3), (190, 200)]
        assert place.read_ranges(ranges) == [data[0:3], data[150:151], data[-5:], b"", data[190:]]
        assert place.read_ranges([]) == []
        with pytest.raises(MissingError, match=r"nothing\.bin does not exist"):
            (location / "nothing.bin").read_ranges([(0, 3)])

    def test_survives_pickling(self, location: Location) -> None:
        (location / "x").write_bytes(b"1")
        copy = pickle.loads(pickle.dumps(location))
        assert copy == location
        assert (copy / "x").read_bytes() == b"1"

    def test_zarr_store(self, location: Location) -> None:
        array = zarr.create_array((location / "z").zarr_store(read_only=False), shape=(4,), dtype="i4")
        array[:] = [1, 2, 3, 4]
        read: Any = zarr.open_array((location / "z").zarr_store(), mode="r")
        assert read[1:3].tolist() == [2, 3]

    def test_arrow_filesystem(self, location: Location) -> None:
        (location / "t.csv").write_bytes(b"a\n1\n2\n")
        filesystem, path = (location / "t.csv").arrow_filesystem()
        table = pyarrow.dataset.dataset(path, filesystem=filesystem, format="csv").to_table()
        assert table.column("a").to_pylist() == [1, 2]


class TestNames:
    @pytest.mark.parametrize(
        "part", ["..", "../x", "a/../../b", "/etc/passwd", "", ".", "a//b", "a\\b", "a\0b", "a/"]
    )
    def test_a_path_that_leads_out_is_refused(self, part: str) -> None:
        with pytest.raises(StorageError, match="cannot be used below memory://root"):
            Location.parse("memory://root") / part

    @given(st.text())
    def test_whatever_is_accepted_stays_inside(self, part: str) -> None:
        root = Location.parse("/some/root")
        try:
            place = root / part
        except StorageError:
            return
        path = place.local_path()
        assert path is not None
        assert Path(os.path.normpath(path)).is_relative_to("/some/root")

    def test_parts_join(self) -> None:
        place = Location.parse("s3://bucket/prefix/", StorageSettings()) / "a b/ü.jpg"
        assert place.url == "s3://bucket/prefix/a b/ü.jpg"
        assert place.name == "ü.jpg"


class TestParse:
    def test_plain_paths_become_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert Location.parse("images/").url == f"file://{tmp_path}/images"
        assert Location.parse("../x").url == f"file://{tmp_path.parent}/x"
        assert Location.parse(f"file://{tmp_path}/y/").local_path() == tmp_path / "y"
        monkeypatch.setenv("HOME", "/home/someone")
        assert Location.parse("~/z").local_path() == Path("/home/someone/z")

    def test_s3a_is_s3(self) -> None:
        assert Location.parse("S3A://bucket/x").url == "s3://bucket/x"

    def test_an_unknown_protocol_gets_the_nearest(self) -> None:
        with pytest.raises(StorageError, match=r"no protocol s33://: did you mean s3://\?"):
            Location.parse("s33://bucket/x")

    @pytest.mark.parametrize("text", ["", "  ", "s3://", "s3:///key", "memory://"])
    def test_no_place(self, text: str) -> None:
        with pytest.raises(StorageError, match="no place"):
            Location.parse(text)

    def test_the_usual_variables_name_the_endpoint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://one:1")
        assert Location.parse("s3://b").options["endpoint_url"] == "http://one:1"
        settings = StorageSettings(endpoint_url="http://two:2")
        assert Location.parse("s3://b", settings).options["endpoint_url"] == "http://two:2"

    def test_storage_options_are_for_object_stores_only(self) -> None:
        settings = StorageSettings(options={"max_concurrency": 3}, anonymous=True)
        assert Location.parse("s3://b", settings).options["max_concurrency"] == 3
        assert Location.parse("s3://b", settings).options["anon"] is True
        assert Location.parse("/x", settings).options == {}

    def test_secrets_never_show(self) -> None:
        settings = StorageSettings.model_validate({"key": "KEYKEY", "secret": "SECRET", "token": "TOKEN"})
        place = Location.parse("s3://bucket/x", settings)
        for text in (repr(place), str(place), repr(place / "y"), repr(place.options), repr(settings)):
            assert "SECRET" not in text
            assert "KEYKEY" not in text
            assert "TOKEN" not in text


class TestContains:
    def test_by_whole_names(self) -> None:
        root = Location.parse("s3://bucket/a")
        assert root.contains(root)
        assert root.contains(root / "b/c")
        assert not root.contains(Location.parse("s3://bucket/ab"))
        assert not (root / "b").contains(root)
        assert not root.contains(Location.parse("/bucket/a"))

    def test_through_links(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        real = Location.parse(tmp_path / "real")
        assert real.contains(Location.parse(tmp_path / "link/inner"))
        assert not Location.parse(tmp_path / "rea").contains(real)
        assert Location.parse("/").contains(real)


def test_only_memory_is_not_shared(tmp_path: Path) -> None:
    assert not Location.parse("memory://x").shared
    assert Location.parse(tmp_path).shared
    assert Location.parse("s3://bucket").shared


def test_opening_is_for_reading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reading only"):
        Location.parse(tmp_path / "x").open("wb")


@pytest.mark.s3
def test_a_bucket_that_does_not_exist(s3_settings: StorageSettings) -> None:
    place = Location.parse("s3://no-such-bucket/x", s3_settings)
    assert not place.exists()
    with pytest.raises(StorageError, match="bucket of s3://no-such-bucket/x does not exist: create it"):
        place.write_bytes(b"1")
    with pytest.raises(StorageError, match="bucket of s3://no-such-bucket/x does not exist"):
        list(place.objects())


@pytest.mark.s3
def test_the_root_of_a_bucket(s3_bucket: str, s3_settings: StorageSettings) -> None:
    root = Location.parse(f"s3://{s3_bucket}", s3_settings)
    (root / "top").write_bytes(b"1")
    assert root.exists()
    assert "top" in root.children()
    assert "top" in {info.path for info in root.objects()}


@pytest.mark.s3
def test_etags_are_the_stores_and_unquoted(s3_location: Location) -> None:
    (s3_location / "x").write_bytes(b"hello")
    assert [info.etag for info in s3_location.objects()] == ["5d41402abc4b2a76b9719d911017c592"]


def test_ways_to_one_place_differ_by_endpoint_and_credentials_and_tell_neither() -> None:
    def way(**more: Any) -> str:
        return Location.parse("s3://bucket/dest", StorageSettings(**more)).way

    one = {"endpoint_url": "http://127.0.0.1:1", "key": "me", "secret": "hush"}
    ways = [way(**one | more) for more in ({}, {"endpoint_url": "http://127.0.0.1:2"}, {"secret": "new"})]
    assert len(set(ways)) == 3
    assert way(**one) == ways[0]
    assert not any(word in text for text in ways for word in ("hush", "127.0.0.1"))
