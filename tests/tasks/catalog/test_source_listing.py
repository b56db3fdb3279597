from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sample_runs import folder, put

from congeal.settings import CatalogSettings
from infra.errors import UserError
from infra.ledger.publications import claim
from infra.storage.location import Location, ObjectInfo
from tasks.catalog import source_listing
from tasks.catalog.source_listing import MOST_NAMED, Survey
from tasks.catalog.source_places import check_places

SETTINGS = CatalogSettings()


def survey(path: Path, settings: CatalogSettings = SETTINGS) -> Survey:
    return Survey(Location.parse(path), settings)


def test_only_names_that_end_like_an_image_are_candidates(tmp_path: Path) -> None:
    folder(tmp_path, {"a.JPG": b"1", "b.png": b"2", "c.txt": b"3", "d": b"4", "e/f.webp": b"5"})
    with survey(tmp_path) as found:
        assert (found.images, found.others) == (3, 2)
        assert [entry.path for part in found.slices(512) for entry in part] == ["a.JPG", "b.png", "e/f.webp"]


def test_the_endings_are_a_setting(tmp_path: Path) -> None:
    folder(tmp_path, {"a.jpg": b"1", "b.photo": b"2"})
    with survey(tmp_path, CatalogSettings(extensions=(".photo",))) as found:
        assert [entry.path for part in found.slices(512) for entry in part] == ["b.photo"]


def test_the_digest_tells_a_change_of_one_object(tmp_path: Path) -> None:
    folder(tmp_path, {f"{number}.jpg": b"1" for number in range(20)})
    with survey(tmp_path) as first, survey(tmp_path) as again:
        assert first.digest == again.digest
    (tmp_path / "7.jpg").write_bytes(b"22")
    with survey(tmp_path) as changed:
        assert changed.digest != first.digest
    (tmp_path / "8.jpg").unlink()
    with survey(tmp_path) as fewer:
        assert fewer.digest != changed.digest


def test_the_digest_does_not_depend_on_the_order_of_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, {f"{number}.jpg": b"1" for number in range(5)})
    with survey(tmp_path) as straight:
        listed = list(Location.parse(tmp_path).objects())
    monkeypatch.setattr(Location, "objects", lambda *_: iter(listed[::-1]))
    with survey(tmp_path) as backwards:
        assert straight.digest == backwards.digest


def test_an_inserted_image_changes_one_slice(tmp_path: Path) -> None:
    folder(tmp_path, {f"{number:04}.jpg": b"1" for number in range(200)})
    with survey(tmp_path) as found:
        before = {tuple(part) for part in found.slices(8)}
    folder(tmp_path, {"0100a.jpg": b"1"})
    with survey(tmp_path) as found:
        after = {tuple(part) for part in found.slices(8)}
    assert len(before) > 10
    assert len(after - before) <= 2
    assert sum(map(len, after)) == 201


def test_a_slice_has_an_end_whatever_the_names(tmp_path: Path) -> None:
    folder(tmp_path, {f"{number:04}.jpg": b"1" for number in range(100)})
    with survey(tmp_path) as found:
        assert max(len(part) for part in found.slices(1_000_000)) == 100
        assert max(len(part) for part in found.slices(3)) <= 12


def test_no_source(tmp_path: Path) -> None:
    with (
        survey(tmp_path / "nowhere") as found,
        pytest.raises(UserError, match="nowhere does not exist: check"),
    ):
        found.require_images(SETTINGS)


def test_an_empty_source(tmp_path: Path) -> None:
    with survey(tmp_path) as found, pytest.raises(UserError, match="is empty: put"):
        found.require_images(SETTINGS)


def test_a_source_without_images_says_what_it_looked_for(tmp_path: Path) -> None:
    folder(tmp_path, {"a.txt": b"", "b.csv": b""})
    with (
        survey(tmp_path) as found,
        pytest.raises(UserError, match=r"2 other objects, but no name ends in \.jpg, .*catalog\.extensions"),
    ):
        found.require_images(SETTINGS)


def test_a_name_that_is_no_text_is_kept_as_a_failure(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"1")
    with survey(tmp_path) as found:
        (entry,) = next(iter(found.slices(512)))
    assert entry.path == "caf\\xe9.jpg"
    assert entry.fault is not None
    assert "rename it" in entry.fault


@pytest.mark.parametrize(
    ("source", "destination", "relation"),
    [("a", "a/b", "lies inside"), ("a/b", "a", "contains"), ("a", "a", "is the same place as")],
)
def test_source_and_destination_lie_side_by_side(
    tmp_path: Path, source: str, destination: str, relation: str
) -> None:
    with pytest.raises(UserError, match=relation):
        check_places(Location.parse(tmp_path / source), Location.parse(tmp_path / destination))
    check_places(Location.parse(tmp_path / "a"), Location.parse(tmp_path / "ab"))


class TestPassedOver:
    def test_what_is_left_out_is_counted_and_named(self, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        (tmp_path / "source/a.png").write_bytes(b"1")
        for number in range(MOST_NAMED + 5):
            (tmp_path / f"source/{number}.png").symlink_to("nothing")
        with survey(tmp_path / "source") as found:
            assert found.images == 1
            assert found.passed_over_count == MOST_NAMED + 5
            assert len(found.passed_over) == MOST_NAMED
            assert {item.reason for item in found.passed_over} == {"a link that leads nowhere"}

    def test_a_source_of_nothing_else_says_what_it_has(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").symlink_to("nothing")
        with (
            survey(tmp_path) as found,
            pytest.raises(
                UserError, match=r"holds no image: 1 object was .* a\.png \(a link that leads nowhere"
            ),
        ):
            found.require_images(CatalogSettings())

    def test_links_of_a_source_count_unless_the_settings_say_otherwise(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real/a.png").write_bytes(b"1")
        (tmp_path / "source").mkdir()
        (tmp_path / "source/more").symlink_to("../real")
        (tmp_path / "source/b.png").symlink_to("../real/a.png")
        with survey(tmp_path / "source") as found:
            assert (found.images, found.passed_over_count) == (2, 0)
        with survey(tmp_path / "source", CatalogSettings(follow_links=False)) as found:
            assert (found.images, found.passed_over_count) == (0, 2)
            with pytest.raises(UserError, match=r"2 objects were .*catalog\.follow_links"):
                found.require_images(CatalogSettings(follow_links=False))


class TestDestinations:
    def test_a_destination_in_the_source_is_no_photographs(self, location: Location) -> None:
        put(location / "source", {"a.png": b"1", "old/b.png": b"2", "old-ones/c.png": b"3"})
        with Survey(location / "source", CatalogSettings()) as before:
            digest = before.digest
        claim(location / "source/results")
        put(location / "source/results", {"stages/atlases/x.png": b"4", "y.png": b"5"})
        with Survey(location / "source", CatalogSettings()) as found:
            assert found.images == 3
            assert found.digest == digest
            (skipped,) = found.passed_over
            assert skipped.path == "results"
            assert "destination of congeal" in skipped.reason
            assert [entry.path for entries in found.slices(9) for entry in entries] == [
                "a.png", "old-ones/c.png", "old/b.png"
            ]  # fmt: skip

    def test_one_behind_a_link_neither(self, tmp_path: Path) -> None:
        put(Location.parse(tmp_path / "source"), {"a.png": b"1"})
        claim(Location.parse(tmp_path / "elsewhere/results"))
        put(Location.parse(tmp_path / "elsewhere/results"), {"stages/x.png": b"2"})
        (tmp_path / "source/link").symlink_to("../elsewhere")
        with survey(tmp_path / "source") as found:
            assert found.images == 1
            assert [item.path for item in found.passed_over] == ["link/results"]

    @pytest.mark.parametrize("data", [b"{}", b"nothing", b'{"images": []}'])
    def test_a_file_of_that_name_makes_no_destination(self, tmp_path: Path, data: bytes) -> None:
        put(Location.parse(tmp_path), {"a.png": b"1", "congeal.json": data, "b/congeal.json": data})
        with survey(tmp_path) as found:
            assert (found.images, found.passed_over_count) == (1, 0)

    def test_names_that_cannot_be_used_are_no_obstacle(
        self, memory_location: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ["a//congeal.json", "b\\\\c/congeal.json", "a//b.png"]
        listed = [ObjectInfo(name, 1, "t", None) for name in names]
        monkeypatch.setattr(Location, "objects", lambda *_: iter(listed))
        with Survey(memory_location, CatalogSettings()) as found:
            assert found.images == 1

    def test_a_destination_is_no_source(self, memory_location: Location) -> None:
        claim(memory_location)
        put(memory_location, {"a.png": b"1"})
        with pytest.raises(UserError, match="is a destination of congeal: name the photographs' place"):
            Survey(memory_location, CatalogSettings())

    @pytest.mark.parametrize("inside", ["link/dest", "link", "real/link/dest"])
    def test_a_destination_inside_the_source_by_a_link(self, tmp_path: Path, inside: str) -> None:
        (tmp_path / "source/real").mkdir(parents=True)
        (tmp_path / "other").mkdir()
        for link in ("source/link", "source/real/link"):
            (tmp_path / link).symlink_to(tmp_path / "other")
        source, destination = (
            Location.parse(tmp_path / "source"),
            Location.parse(tmp_path / "source" / inside),
        )
        with pytest.raises(UserError, match="lies inside the source"):
            check_places(source, destination)
        (tmp_path / "alias").symlink_to("source")
        with pytest.raises(UserError, match="lies inside the source"):
            check_places(Location.parse(tmp_path / "alias"), source / "new")
        with pytest.raises(UserError, match="is the same place as the source"):
            check_places(Location.parse(tmp_path / "alias"), source)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_listing_that_goes_to_the_file_is_that_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    files = {f"{name}.jpg": name.encode() for name in ("b", "é", "a", "ß/z", "ß", "漢")}
    files |= {"x.heics": b"no", "y.cr2": b"no", "q": b"\x89PNG\r\n\x1a\n", "notes.txt": b"words"}
    folder(tmp_path, files)
    (tmp_path / "old").mkdir()
    claim(Location.parse(tmp_path / "old"))
    folder(tmp_path / "old", {"picture.png": b"made"})

    def seen() -> tuple[list[Any], tuple[object, ...]]:
        with survey(tmp_path) as found:
            listed = [entry for part in found.slices(2) for entry in part]
            return listed, (found.digest, found.images, found.others, found.passed_over)

    in_memory = seen()
    monkeypatch.setattr(source_listing, "IN_MEMORY", batch)
    assert seen() == in_memory
    assert len(in_memory[0]) == 6
