from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import StorageError
from infra.storage.folder_listing import Skipped
from infra.storage.location import Location


def listed(root: Path, follow_links: bool = True) -> tuple[list[str], dict[str, str]]:
    """Names that the listing yields, sorted, and what it left out: reason by name."""
    skipped: list[Skipped] = []
    names = [info.path for info in Location.parse(root).objects(skipped.append, follow_links)]
    assert len(names) == len(set(names))
    assert len({item.path for item in skipped}) == len(skipped)
    return sorted(names), {item.path: item.reason for item in skipped}


def put(path: Path, data: bytes = b"1") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "root/own.png")
    put(tmp_path / "other/a.png")
    put(tmp_path / "other/deep/b.png")
    return tmp_path / "root"


class TestLinks:
    def test_linked_files_and_folders_are_followed_wherever_they_lead(self, root: Path) -> None:
        (root / "more").symlink_to("../other")
        (root / "x.png").symlink_to(root.parent / "other/a.png")
        names, skipped = listed(root)
        assert names == ["more/a.png", "more/deep/b.png", "own.png", "x.png"]
        assert skipped == {}
        assert (Location.parse(root) / "more/deep/b.png").read_bytes() == b"1"

    def test_a_folder_comes_once_under_its_own_path_if_it_has_one(self, root: Path) -> None:
        put(root / "real/r.png")
        (root / "a-link").symlink_to("real")
        (root / "one").symlink_to("../other")
        (root / "two").symlink_to("../other")
        names, skipped = listed(root)
        assert names == ["one/a.png", "one/deep/b.png", "own.png", "real/r.png"]
        assert skipped == {
            "a-link": "a link to a folder that is listed already",
            "two": "a link to a folder that is listed already",
        }

    @pytest.mark.parametrize(("outer", "inner"), [("a", "b"), ("b", "a")])
    def test_one_linked_folder_in_another(self, root: Path, outer: str, inner: str) -> None:
        (root / outer).symlink_to("../other")
        (root / inner).symlink_to("../other/deep")
        names, skipped = listed(root)
        assert sorted(name.rpartition("/")[2] for name in names) == ["a.png", "b.png", "own.png"]
        assert len(skipped) == 1

    def test_loops_end(self, root: Path) -> None:
        (root / "itself").symlink_to(".")
        (root / "above").symlink_to("..")
        (root.parent / "other/back").symlink_to(root)
        names, skipped = listed(root)
        assert names == ["above/other/a.png", "above/other/deep/b.png", "own.png"]
        assert set(skipped) == {"itself", "above/root", "above/other/back"}

    def test_links_that_lead_nowhere_are_named(self, root: Path) -> None:
        (root / "nowhere.png").symlink_to("nothing")
        (root / "circle.png").symlink_to("circle.png")
        names, skipped = listed(root)
        assert names == ["own.png"]
        assert skipped == {
            "nowhere.png": "a link that leads nowhere",
            "circle.png": "a link that leads round in a circle",
        }

    def test_without_following_every_link_is_named(self, root: Path) -> None:
        (root / "more").symlink_to("../other")
        (root / "x.png").symlink_to("own.png")
        (root / "nowhere").symlink_to("nothing")
        names, skipped = listed(root, follow_links=False)
        assert names == ["own.png"]
        assert set(skipped) == {"more", "x.png", "nowhere"}
        assert all("catalog.follow_links" in reason for reason in skipped.values())

    def test_a_root_that_is_a_link(self, root: Path) -> None:
        (root.parent / "link").symlink_to("root")
        (root / "back").symlink_to("../link")
        assert listed(root.parent / "link") == (
            ["own.png"],
            {"back": "a link to a folder that is listed already"},
        )

    def test_a_hard_link_is_a_file(self, root: Path) -> None:
        (root / "same.png").hardlink_to(root / "own.png")
        assert listed(root) == (["own.png", "same.png"], {})

    @given(links=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=6))
    def test_however_folders_are_linked_each_comes_once(
        self, tmp_path_factory: pytest.TempPathFactory, links: list[tuple[str, str]]
    ) -> None:
        base = tmp_path_factory.mktemp("linked")
        for name in "abcd":
            put(base / name / f"{name}.png")
        for number, (at, to) in enumerate(links):
            (base / at / f"link{number}").symlink_to(f"../{to}")
        names, _ = listed(base / "a")
        reached = {"a"}
        while more := {to for at, to in links if at in reached} - reached:
            reached |= more
        assert sorted(name.rpartition("/")[2] for name in names) == sorted(f"{name}.png" for name in reached)


@pytest.fixture
def closed(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Folders, by name, whose listing fails with an error number; a permission would not stop root."""
    numbers: dict[str, int] = {}
    scandir = os.scandir

    def refuse(path: str) -> object:
        number = numbers.get(Path(path).name)
        if number is not None:
            raise OSError(number, os.strerror(number), path)
        return scandir(path)

    monkeypatch.setattr("infra.storage.folder_listing.os.scandir", refuse)
    return numbers


class TestFolders:
    @pytest.mark.parametrize(
        ("number", "reason"),
        [(errno.EACCES, "no permission"), (errno.EPERM, "no permission"), (errno.EIO, "input/output error")],
    )
    def test_a_folder_that_cannot_be_listed_is_left_out_and_named(
        self, root: Path, closed: dict[str, int], number: int, reason: str
    ) -> None:
        put(root / "deep/lost+found/x.png")
        put(root / "deep/y.png")
        closed["lost+found"] = number
        names, skipped = listed(root)
        assert names == ["deep/y.png", "own.png"]
        assert skipped == {"deep/lost+found": f"a folder that cannot be listed: {reason}"}

    def test_the_source_itself_is_an_error_that_names_it(self, root: Path, closed: dict[str, int]) -> None:
        closed["root"] = errno.EACCES
        with pytest.raises(StorageError, match=rf"No permission to list file://{root}: grant it"):
            listed(root)

    def test_a_share_that_went_away_is_no_folder_to_leave_out(
        self, root: Path, closed: dict[str, int], no_waiting: None
    ) -> None:
        put(root / "share/x.png")
        closed["share"] = errno.ESTALE
        with pytest.raises(StorageError, match=rf"{root}/share failed 5 times to list"):
            listed(root)

    def test_what_is_no_file_is_named(self, root: Path) -> None:
        os.mkfifo(root / "pipe.png")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(root / "socket.png"))
            (root / "null.png").symlink_to("/dev/null")
            names, skipped = listed(root)
        assert names == ["own.png"]
        assert skipped == {
            "pipe.png": "a named pipe, not a file",
            "socket.png": "a socket, not a file",
            "null.png": "a device, not a file",
        }

    def test_names_that_are_no_utf8_are_shown_with_escapes(self, root: Path) -> None:
        os.mkfifo(os.fsencode(root) + b"/caf\xe9")
        assert set(listed(root)[1]) == {"caf\\xe9"}
