from __future__ import annotations

import threading
from typing import Any

import pytest

from infra.storage.location import Location
from infra.storage.read_only_files import PublishedFiles, Sized

DATA = bytes(range(256)) * 10


@pytest.fixture
def files(location: Location) -> Any:
    (location / "t.bin").write_bytes(DATA)
    (location / "other.bin").write_bytes(b"other")
    return PublishedFiles({"t/0.bin": Sized(location / "t.bin", len(DATA))})


def test_what_is_there_is_read_in_ranges(files: Any) -> None:
    with files.open("published://t/0.bin") as file:
        file.seek(100)
        assert file.read(7) == DATA[100:107]
        assert file.tell() == 107
        file.seek(-3, 2)
        assert file.read() == DATA[-3:]
        assert file.read(5) == b""
    assert files.info("published://t/0.bin")["size"] == len(DATA)
    assert files.exists("published://t/0.bin")
    assert files.glob("published://t/0.bin") == ["t/0.bin"]


def test_nothing_else_is(files: Any) -> None:
    for path in ("published://other.bin", "published://t/1.bin", "t.bin", "published://t/*.bin"):
        assert not files.exists(path)
        assert files.glob(path) == []
        with pytest.raises(FileNotFoundError):
            files.open(path)


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "xb"])
def test_nothing_is_written(files: Any, location: Location, mode: str) -> None:
    for path in ("published://t/0.bin", "published://t/new.bin"):
        with pytest.raises(PermissionError):
            files.open(path, mode)
    for change in (files.rm, files.rm_file, files.touch):
        with pytest.raises((NotImplementedError, OSError)):
            change("published://t/0.bin")
    assert (location / "t.bin").read_bytes() == DATA


def test_every_thread_has_its_own_place(files: Any) -> None:
    file = files.open("published://t/0.bin")
    file.seek(10)

    def other() -> None:
        file.seek(500)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert file.read(4) == DATA[10:14]
    file.close()
