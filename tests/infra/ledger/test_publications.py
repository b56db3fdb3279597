from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from infra.errors import DamagedError, StorageError, UserError
from infra.ledger.publications import (
    Publication,
    check_layout,
    claim,
    current_name,
    publish,
    published,
    versions,
    withdraw,
)
from infra.storage.location import Location
from infra.threads import in_threads


def publication(run_key: str = "key") -> Publication:
    return Publication(
        run_key=run_key,
        source="s3://bucket/source",
        settings={"seed": 0},
        backbone="vit",
        weights_fingerprint="sha256:0",
        units={"catalog": ["scope/unit"]},
        counts={"images": 3},
        created="2026-01-01T00:00:00+00:00",
        code_version="0.1.0",
    )


def _interrupted(self: Location, data: bytes) -> None:
    raise KeyboardInterrupt


def test_a_destination_is_claimed_once(location: Location) -> None:
    assert not check_layout(location)
    claim(location)
    claim(location)
    assert json.loads((location / "congeal.json").read_bytes()) == {"layout": 2}
    assert check_layout(location)


def test_a_destination_that_another_run_claims_at_the_same_moment(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = Location.objects

    def claimed_meanwhile(self: Location, **given: Any) -> Any:
        (self / "congeal.json").put_if_absent(b'{"layout": 1}')
        return listing(self, **given)

    monkeypatch.setattr(Location, "objects", claimed_meanwhile)
    claim(location)
    assert check_layout(location)


def test_a_newer_layout_is_refused(memory_location: Location) -> None:
    (memory_location / "congeal.json").write_bytes(b'{"layout": 3}')
    for act in (claim, check_layout):
        with pytest.raises(UserError, match=r"newer congeal \(layout 3\): upgrade"):
            act(memory_location)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"layout": "one"}', b"\xff"])
def test_a_damaged_layout(memory_location: Location, text: bytes) -> None:
    (memory_location / "congeal.json").write_bytes(text)
    with pytest.raises(DamagedError, match=r"congeal\.json is damaged"):
        claim(memory_location)


def test_readers_see_what_the_pointer_names(location: Location) -> None:
    assert published(location) is None
    assert versions(location) == []
    first = publish(location, publication("one"))
    second = publish(location, publication("two"))
    assert versions(location) == [first, second]
    assert first.startswith("00001-")
    assert second.startswith("00002-")
    current = published(location)
    assert current is not None
    assert (current.run_key, current.number) == ("two", 2)
    for version in (first, first.removesuffix(".json"), "1", "00001"):
        found = published(location, version)
        assert found is not None
        assert (found.run_key, found.number) == ("one", 1)


def test_a_run_that_did_not_get_to_the_pointer_is_not_seen(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(memory_location, publication("one"))
    monkeypatch.setattr(Location, "write_bytes", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(memory_location, publication("two"))
    current = published(memory_location)
    assert current is not None
    assert current.run_key == "one"


def test_a_version_that_does_not_exist(memory_location: Location) -> None:
    name = publish(memory_location, publication())
    with pytest.raises(UserError, match=f"has no version 7: the newest are {name.removesuffix('.json')}"):
        published(memory_location, "7")


def test_a_version_that_was_withdrawn(memory_location: Location) -> None:
    first = publish(memory_location, publication("one"))
    second = publish(memory_location, publication("two"))
    with pytest.raises(ValueError, match="is the current publication"):
        withdraw(memory_location, second)
    withdraw(memory_location, first)
    assert current_name(memory_location) == second
    with pytest.raises(UserError, match=f"Version 1 of .* was pruned: the newest are {second[:14]}"):
        published(memory_location, "1")
    # A number is never given twice.
    assert publish(memory_location, publication("three")).startswith("00003-")


def test_damage(memory_location: Location) -> None:
    name = publish(memory_location, publication())
    place = memory_location / f"published/versions/{name}"
    place.write_bytes(b"{}")
    with pytest.raises(DamagedError, match=r"is damaged, .*: `congeal repair"):
        published(memory_location)
    place.write_bytes(b'{"layout": 9}')
    with pytest.raises(UserError, match="newer congeal"):
        published(memory_location)
    place.delete()
    with pytest.raises(DamagedError, match=r"is damaged, it is missing: `congeal repair"):
        published(memory_location)
    (memory_location / "published/current.json").write_bytes(b"x")
    with pytest.raises(DamagedError, match="it is not the pointer"):
        published(memory_location)


class TestNested:
    def test_a_destination_inside_another_is_refused(self, location: Location) -> None:
        claim(location / "outer")
        for inside in ("outer/inner", "outer/stages/catalog/x"):
            with pytest.raises(UserError, match=r"(inner|x) lies inside the destination .*/outer: "):
                claim(location / inside)
            assert not (location / inside).exists()
        claim(location / "outer-too")

    def test_one_around_another_is_refused(self, location: Location) -> None:
        claim(location / "outer/deep/inner")
        with pytest.raises(UserError, match=r"/outer contains the destination .*/outer/deep/inner: choose"):
            claim(location / "outer")

    def test_those_that_are_nested_already_go_on(self, memory_location: Location) -> None:
        for place in (memory_location / "outer", memory_location / "outer/inner"):
            (place / "congeal.json").write_bytes(b'{"layout": 1}')
            claim(place)

    def test_links_are_followed(self, tmp_path: Path) -> None:
        claim(Location.parse(tmp_path / "outer"))
        (tmp_path / "outer/folder").mkdir()
        (tmp_path / "link").symlink_to("outer/folder")
        (tmp_path / "outer/out").symlink_to(tmp_path)
        for inside in ("link/inner", "outer/out/inner"):
            with pytest.raises(UserError, match="lies inside the destination"):
                claim(Location.parse(tmp_path / inside))

    @pytest.mark.parametrize("data", [b"{}", b"nothing", b'{"layout": "x"}'])
    def test_a_file_of_that_name_makes_no_destination(self, memory_location: Location, data: bytes) -> None:
        (memory_location / "congeal.json").write_bytes(data)
        (memory_location / "inner/x/congeal.json").write_bytes(data)
        claim(memory_location / "inner")

    def test_a_place_above_that_may_not_be_read_is_none(
        self, memory_location: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Location.read_bytes

        def refuse(place: Location) -> bytes:
            if place.url.count("/") < 5:
                raise StorageError(f"No permission to read {place}: grant it.")
            return real(place)

        monkeypatch.setattr(Location, "read_bytes", refuse)
        claim(memory_location / "a/b/c")


def test_runs_that_publish_the_same_make_one_version(location: Location) -> None:
    """Whichever of them looks for the next number before or after another has written its version."""
    barrier = threading.Barrier(4)

    def publish_at(hour: int) -> str:
        mine = publication().model_copy(update={"created": f"2026-01-01T{hour:02d}:00:00+00:00"})
        barrier.wait()
        return publish(location, mine)

    names = list(in_threads(publish_at, range(4), threads=4, ahead=4))
    assert versions(location) == sorted(set(names))
    assert len(set(names)) == 1
    assert publish(location, publication("another")).startswith("00002-")


def test_a_run_that_died_after_its_claim_costs_a_number_at_most(memory_location: Location) -> None:
    (memory_location / "published/claims/00001.json").write_bytes(b"{")
    assert publish(memory_location, publication()).startswith("00002-")
