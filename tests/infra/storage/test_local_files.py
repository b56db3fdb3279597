from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from infra.errors import StorageError
from infra.storage.location import Location


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    return Location.parse(tmp_path / "folder")


def _race(url: str, start: Barrier, results: Any) -> None:
    start.wait()
    results.put((os.getpid(), Location.parse(url).put_if_absent(str(os.getpid()).encode() * 1000)))


def test_only_one_of_racing_processes_puts(folder: Location) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=_race, args=(f"{folder}/marker", start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get() for _ in processes]
    for process in processes:
        process.join()
    winners = [pid for pid, won in outcomes if won]
    assert len(winners) == 1
    assert (folder / "marker").read_bytes() == str(winners[0]).encode() * 1000
    assert folder.children() == ["marker"]


def _die_while_writing(url: str, absent: bool) -> None:
    place = Location.parse(url)
    # The bytes are in the file, and the process goes before they get their name.
    os.fsync = lambda _: os._exit(9)
    place.put_if_absent(b"half") if absent else place.write_bytes(b"half")


@pytest.mark.parametrize("absent", [True, False])
def test_what_a_killed_writer_leaves_is_never_seen(folder: Location, absent: bool) -> None:
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_die_while_writing, args=(f"{folder}/x", absent))
    process.start()
    process.join()
    assert process.exitcode == 9
    path = folder.local_path()
    assert path is not None
    assert len(list(path.iterdir())) == 1
    assert not (folder / "x").exists()
    assert list(folder.objects()) == []
    assert folder.children() == []
    assert (folder / "x").put_if_absent(b"whole")
    assert (folder / "x").read_bytes() == b"whole"


@pytest.mark.parametrize("method", ["write_bytes", "put_if_absent"])
def test_a_failed_write_keeps_the_old_and_leaves_nothing(
    folder: Location, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "old").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    name = "old" if method == "write_bytes" else "new"
    with pytest.raises(StorageError, match="No space left on file://"):
        getattr(folder / name, method)(b"data")
    path = folder.local_path()
    assert path is not None
    assert [entry.name for entry in path.iterdir()] == ["old"]
    assert (folder / "old").read_bytes() == b"old"


def test_a_file_system_without_hard_links(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(StorageError, match="no hard links"):
        (folder / "x").put_if_absent(b"1")
    assert folder.children() == []


def test_files_get_the_usual_mode(folder: Location) -> None:
    (folder / "x").write_bytes(b"1")
    path = (folder / "x").local_path()
    assert path is not None
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_folder_reached_through_a_link(folder: Location, tmp_path: Path) -> None:
    (folder / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to("folder")
    assert [info.path for info in Location.parse(tmp_path / "link").objects()] == ["x"]


def test_a_name_that_is_no_utf8_is_listed_and_refused(folder: Location) -> None:
    (folder / "x").write_bytes(b"1")
    path = folder.local_path()
    assert path is not None
    (path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"2")
    names = sorted(info.path for info in folder.objects())
    assert names == ["caf\\xe9.jpg", "x"]
    with pytest.raises(StorageError, match="rename it"):
        _ = folder / names[0]


def test_an_empty_folder_exists_but_is_no_prefix(tmp_path: Path) -> None:
    place = Location.parse(tmp_path)
    assert place.exists()
    assert not place.is_prefix()


def test_a_folder_where_a_file_is_expected(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder where a file is expected"):
        Location.parse(tmp_path).read_bytes()


def test_a_file_where_a_folder_is_expected(folder: Location) -> None:
    (folder / "x").write_bytes(b"1")
    with pytest.raises(StorageError, match="something that is a file"):
        list((folder / "x").objects())
    with pytest.raises(StorageError, match="something that is a file"):
        (folder / "x/y").write_bytes(b"1")


def test_a_link_is_deleted_not_what_it_names(folder: Location, tmp_path: Path) -> None:
    (folder / "keep").write_bytes(b"1")
    (tmp_path / "link").symlink_to("folder")
    Location.parse(tmp_path / "link").delete()
    assert (folder / "keep").exists()
    assert not (tmp_path / "link").is_symlink()
