from __future__ import annotations

import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from infra.errors import StorageError
from infra.storage.location import Location
from infra.storage.object_store import S3Store


def test_memory_checks_and_writes_in_one_step(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_looked = threading.Barrier(2)
    exists = MemoryFileSystem.exists

    def slow(self: MemoryFileSystem, path: str) -> bool:
        found = bool(exists(self, path))
        # Passes at once if two writers look before either writes; else the first goes on alone.
        with contextlib.suppress(threading.BrokenBarrierError):
            both_have_looked.wait(timeout=0.2)
        return found

    monkeypatch.setattr(MemoryFileSystem, "exists", slow)
    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map((memory_location / "x").put_if_absent, [b"1", b"2"]))
    assert sorted(won) == [False, True]


def _store(location: Location) -> S3Store:
    store = location._store
    assert isinstance(store, S3Store)
    return store


@pytest.fixture
def requests(s3_location: Location, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Requests that are sent from here on; pages of a listing hold three keys."""
    sent: list[tuple[str, dict[str, Any]]] = []
    call = S3Store._call

    def recorded(self: S3Store, method: str, **arguments: Any) -> dict[str, Any]:
        sent.append((method, arguments))
        if method == "list_objects_v2":
            arguments.setdefault("MaxKeys", 3)
        return call(self, method, **arguments)

    monkeypatch.setattr(S3Store, "_call", recorded)
    return sent


def _fill(location: Location, count: int) -> set[str]:
    names = {f"{number:03}.jpg" for number in range(count)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: (location / name).write_bytes(b"1"), names))
    return names


@pytest.mark.s3
def test_a_flat_prefix_is_streamed_page_by_page(
    s3_location: Location, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    names = _fill(s3_location, 10)
    requests.clear()
    listing = s3_location.objects()
    found = {next(listing).path for _ in range(3)}
    assert len(requests) == 1
    found.add(next(listing).path)
    assert len(requests) == 2
    found |= {info.path for info in listing}
    assert found == names
    assert [method for method, _ in requests] == ["list_objects_v2"] * 4
    # Streamed means that no request groups by folder and that nothing was listed beforehand.
    assert all("Delimiter" not in arguments for _, arguments in requests)


@pytest.mark.s3
def test_children_over_several_pages(
    s3_location: Location, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    names = _fill(s3_location, 7)
    assert s3_location.children() == sorted(names)


@pytest.mark.s3
def test_deleting_over_several_pages(
    s3_location: Location, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    _fill(s3_location / "gone", 7)
    _fill(s3_location / "stays", 1)
    (s3_location / "gone").delete()
    assert s3_location.children() == ["stays"]


@pytest.mark.s3
def test_whether_something_is_there_takes_one_page(
    s3_location: Location, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    _fill(s3_location, 7)
    requests.clear()
    assert s3_location.is_prefix()
    assert len(requests) == 1


@pytest.mark.s3
def test_folder_marks_of_consoles_are_no_objects(s3_location: Location) -> None:
    filesystem = _store(s3_location).filesystem
    filesystem.call_s3(
        "put_object", Bucket=s3_location.url.split("/")[2], Key=f"{s3_location.name}/sub/", Body=b""
    )
    (s3_location / "sub/x").write_bytes(b"1")
    assert [info.path for info in s3_location.objects()] == ["sub/x"]


@pytest.mark.s3
def test_names_that_cannot_be_used_are_listed_and_refused(s3_location: Location) -> None:
    filesystem = _store(s3_location).filesystem
    bucket = s3_location.url.split("/")[2]
    filesystem.call_s3("put_object", Bucket=bucket, Key=f"{s3_location.name}/a//b.jpg", Body=b"1")
    [info] = s3_location.objects()
    assert info.path == "a//b.jpg"
    with pytest.raises(StorageError, match="rename it"):
        _ = s3_location / info.path


@pytest.mark.s3
def test_an_object_written_by_an_attempt_whose_answer_was_lost_is_ours(
    s3_location: Location, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem = _store(s3_location).filesystem
    put = filesystem.pipe_file
    lost: list[int] = []

    def lose_the_first_answer(*arguments: Any, **options: Any) -> Any:
        answer = put(*arguments, **options)
        if not lost:
            lost.append(1)
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(filesystem, "pipe_file", lose_the_first_answer)
    assert (s3_location / "marker").put_if_absent(b"ours")
    lost.clear()
    assert not (s3_location / "marker").put_if_absent(b"theirs")
    assert (s3_location / "marker").read_bytes() == b"ours"


@pytest.mark.s3
def test_an_old_listing_is_never_shown(s3_location: Location) -> None:
    (s3_location / "a").write_bytes(b"1")
    assert s3_location.children() == ["a"]
    _store(s3_location).filesystem.call_s3(
        "put_object", Bucket=s3_location.url.split("/")[2], Key=f"{s3_location.name}/b", Body=b"2"
    )
    assert s3_location.children() == ["a", "b"]
    assert {info.path for info in s3_location.objects()} == {"a", "b"}


@pytest.mark.s3
def test_threads_share_one_client(s3_location: Location) -> None:
    with ThreadPoolExecutor(4) as pool:
        clients = set(pool.map(lambda _: id(_store(s3_location).filesystem), range(16)))
    assert len(clients) == 1
    assert "s3fs" in sys.modules
