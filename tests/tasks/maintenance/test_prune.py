from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sample_runs import folder, photographs, run, tiny

import congeal
from infra.errors import DamagedError, UserError
from infra.ledger.commits import UnitAddress, check_unit, commit_unit, find_marker
from infra.ledger.provenance import Provenance
from infra.ledger.publications import Publication, claim, publish, published, versions
from infra.ledger.run_lock import RUN, locked
from infra.storage.location import Location
from tasks.maintenance.prune import prune
from tasks.maintenance.verify import verify

NOW = datetime.now(UTC)


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="seconds")


def unit(place: Location, name: str, days: float = 30, stage: str = "features") -> str:
    """Commit a unit that was made so many days ago; its "scope/unit"."""
    made = Provenance("0", "host", "3", "os", ago(days), 1.0, {}, 0)
    address = UnitAddress(place, stage, 1, "scope", name)
    commit_unit(address, {"a.bin": name.encode() * 10, "group/b.bin": b"b"}, {}, made)
    return f"scope/{name}"


def version(place: Location, names: Iterable[str], days: float = 30) -> None:
    """Publish a version of these units, so many days ago."""
    publish(
        place,
        Publication(
            run_key="key",
            source="s3://bucket/source",
            settings={},
            backbone="vit",
            weights_fingerprint="0",
            units={"features": [unit(place, name) for name in names]},
            counts={},
            created=ago(days),
            code_version="0",
        ),
    )


def three_versions(place: Location) -> Location:
    """Versions 1, 2 and 3, of which neighbours share a unit; the last is ten days old."""
    claim(place)
    version(place, ["one", "both"], days=30)
    version(place, ["both", "two"], days=20)
    version(place, ["two", "three"], days=10)
    return place


def there(place: Location) -> set[str]:
    """The names of the units that are whole."""
    found = set()
    for name in (place / "stages/features/scope").children():
        marker = find_marker(place, "features", f"scope/{name}")
        if marker is not None and not check_unit(place, marker, deep=True):
            found.add(name)
    return found


def paths(place: Location) -> set[str]:
    return {item.path for item in place.objects()}


def test_what_no_kept_version_needs_goes(location: Location) -> None:
    place = three_versions(location)
    facts = prune(place)
    assert there(place) == {"two", "three"}
    assert [name.partition("-")[0] for name in versions(place)] == ["00003"]
    assert facts["units"]["features"] == 2
    assert [name.partition("-")[0] for name in facts["removed_versions"]] == ["00001", "00002"]
    assert not {path for path in paths(place) if "/one/" in path or "/both/" in path or "working" in path}
    again = prune(place)
    assert (again["removed_versions"], sum(again["units"].values()), again["bytes"]) == ([], 0, 0)


def test_bytes_are_those_that_go(tmp_path: Path) -> None:
    place = three_versions(Location.parse(tmp_path / "out"))

    def stored() -> int:
        return sum(item.bytes for item in (place / "stages").objects())

    before = stored()
    facts = prune(place)
    assert facts["bytes"] == before - stored() > 0


@pytest.mark.parametrize(
    ("keep", "older_than", "left"),
    [
        (2, 0, {"both", "two", "three"}),
        (3, 0, {"one", "both", "two", "three"}),
        (9, 0, {"one", "both", "two", "three"}),
        (1, 15, {"two", "three"}),
        (1, 25, {"both", "two", "three"}),
        (1, 40, {"one", "both", "two", "three"}),
    ],
)
def test_how_much_is_kept(memory_location: Location, keep: int, older_than: float, left: set[str]) -> None:
    place = three_versions(memory_location)
    prune(place, keep=keep, older_than=older_than)
    assert there(place) == left


def test_a_pruned_version_says_so(memory_location: Location) -> None:
    place = three_versions(memory_location)
    (first, _, third) = versions(place)
    prune(place)
    for name in ("1", "00001", first, first.removesuffix(".json")):
        with pytest.raises(UserError, match=f"Version {name} of .* was pruned: the newest are {third[:14]}"):
            published(place, name)
    with pytest.raises(UserError, match="has no version 4: the newest are"):
        published(place, "4")
    # The next version is not given a number that was used.
    version(place, ["four"])
    assert versions(place)[-1].startswith("00004-")


def test_the_current_version_stays_even_if_it_is_not_the_newest(memory_location: Location) -> None:
    place = three_versions(memory_location)
    (place / "published/current.json").write_bytes(json.dumps({"version": versions(place)[0]}).encode())
    prune(place)
    assert there(place) == {"one", "both", "two", "three"}
    assert len(versions(place)) == 2


def test_what_a_killed_run_left_is_kept_as_long_as_it_is_young(memory_location: Location) -> None:
    place = three_versions(memory_location)
    unit(place, "young", days=0.5)
    unit(place, "old", days=1.5)
    # Outputs without a marker are of no use to anybody, however young.
    (place / "stages/features/scope/unfinished/0123/a.bin").write_bytes(b"a")
    facts = prune(place)
    assert there(place) == {"two", "three", "young"}
    assert facts["too_young"] == 1
    assert not {path for path in paths(place) if "unfinished" in path}
    prune(place, older_than=0)
    assert there(place) == {"two", "three"}


def test_outputs_of_a_run_that_was_second_go(memory_location: Location) -> None:
    place = three_versions(memory_location)
    marker = find_marker(place, "features", "scope/three")
    assert marker is not None
    other = place / "stages/features/scope/three/0123456789abcdef/a.bin"
    other.write_bytes(b"12345")
    facts = prune(place, keep=3)
    assert (facts["leftovers"], facts["bytes"]) == (1, 5)
    assert not other.exists()
    assert there(place) == {"one", "both", "two", "three"}


def test_what_is_not_congeals_is_left_alone(memory_location: Location) -> None:
    place = three_versions(memory_location)
    mine = {"stages/mine/scope/unit/0123/a.bin", "notes.txt", "stages/README"}
    for path in mine:
        (place / path).write_bytes(b"mine")
    prune(place, older_than=0)
    assert mine <= paths(place)


def test_what_killed_writers_left_is_counted_and_removed(tmp_path: Path) -> None:
    place = three_versions(Location.parse(tmp_path))
    old, young = (tmp_path / "stages/features" / f".{digit * 16}.partial" for digit in "ab")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert prune(place, dry_run=True)["partial_files"] == 1
    assert old.exists()
    assert prune(place)["partial_files"] == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_a_dry_run_removes_nothing(location: Location) -> None:
    place = three_versions(location)
    before = paths(place)
    facts = prune(place, dry_run=True)
    assert paths(place) == before
    done = prune(place)
    assert {**facts, "dry_run": False} == done


def test_a_kill_at_any_moment_leaves_every_kept_version_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = three_versions(Location.parse(tmp_path / "undisturbed"))
    prune(undisturbed, keep=1)
    real = Location.delete
    for moment in range(100):
        place = three_versions(Location.parse(tmp_path / str(moment)))
        left = moment

        def delete(self: Location) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real(self)

        monkeypatch.setattr(Location, "delete", delete)
        try:
            prune(place, keep=1)
        except KeyboardInterrupt:
            pass
        else:
            assert moment > 5
            break
        finally:
            monkeypatch.setattr(Location, "delete", real)
        assert {"two", "three"} <= there(place)
        for name in versions(place):
            content = published(place, name)
            assert content is not None
            if content.number == 3:
                assert all(find_marker(place, "features", named) for named in content.units["features"])
            else:
                # The units go after the last of the versions that name them.
                assert there(place) == {"one", "both", "two", "three"}
        # The killed one is silent from now on.
        (place / "working").delete()
        prune(place, keep=1)
        assert there(place) == there(undisturbed)
        assert paths(place) == paths(undisturbed)
    else:
        pytest.fail("the pruning never came to its end")


def test_runs_and_pruning_keep_apart(memory_location: Location) -> None:
    place = three_versions(memory_location)
    before = paths(place)
    with (
        locked(place, RUN),
        pytest.raises(UserError, match=r"A run is at work in .* try again when it has ended"),
    ):
        prune(place)
    assert paths(place) == before
    prune(place)


@pytest.mark.parametrize("bad", [{"keep": 0}, {"keep": -1}, {"older_than": -1}, {"older_than": float("nan")}])
def test_what_cannot_be_meant(memory_location: Location, bad: dict[str, Any]) -> None:
    place = three_versions(memory_location)
    with pytest.raises(UserError, match=r"keep at least 1|0 or more"):
        prune(place, **bad)


def test_nothing_published(memory_location: Location) -> None:
    for _ in range(2):
        with pytest.raises(UserError, match="there is nothing to prune"):
            prune(memory_location)
        claim(memory_location)


def test_a_damaged_version_that_is_kept_stops_everything(memory_location: Location) -> None:
    place = three_versions(memory_location)
    (place / "published/versions" / versions(place)[1]).write_bytes(b"{}")
    before = paths(place)
    with pytest.raises(DamagedError, match="is damaged"):
        prune(place, keep=2)
    assert paths(place) == before
    # One that goes anyway is no obstacle.
    prune(place)
    assert there(place) == {"two", "three"}


def test_after_pruning_everything_is_sound(tmp_path: Path, weights: Path) -> None:
    source, destination = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    place = Location.parse(destination)
    run(source, destination, tiny(weights))
    old = congeal.open(destination)
    (source / "a/0.png").unlink()
    folder(source, {"c/new.png": photographs(3)["a/2.png"]})
    run(source, destination, tiny(weights))
    now = congeal.open(destination).correspondences()
    facts = prune(place, older_than=0)
    assert facts["units"]["atlases"] == 1
    assert facts["units"]["index"] == 2
    assert verify(place)["faults"] == []
    assert congeal.open(destination).correspondences().equals(now)
    assert run(source, destination, tiny(weights))["up_to_date"]
    with pytest.raises(UserError, match=r"Version 1 of .* was pruned"):
        congeal.open(destination, version="1")
    with pytest.raises(UserError, match=r"Version 1 of .* was pruned.* open it anew"):
        _ = old.images


def test_a_run_does_not_start_while_a_pruning_is_at_work(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(2))
    with (
        locked(Location.parse(tmp_path / "out"), "prune"),
        pytest.raises(UserError, match="A prune is at work in"),
    ):
        run(source, tmp_path / "out", tiny(weights))
    run(source, tmp_path / "out", tiny(weights))
    assert not (tmp_path / "out/working").exists() or not list((tmp_path / "out/working").iterdir())


class TestLeftOut:
    def test_what_is_no_unit_is_named_and_stays(self, tmp_path: Path) -> None:
        place = three_versions(Location.parse(tmp_path / "out"))
        precious = tmp_path / "precious"
        (precious / "unit").mkdir(parents=True)
        (precious / "unit/_commit.json").write_bytes(b"mine")
        (tmp_path / "out/stages/features/linked").symlink_to(precious)
        (tmp_path / "out/stages/features/scope/linked").symlink_to(precious / "unit")
        for name in ("notes.txt", "features/notes.txt", "later/scope/a/x", "later/scope/b/x"):
            (place / "stages" / name).write_bytes(b"1")
        facts = prune(place)
        assert (tmp_path / "out/stages/features/scope/linked").is_symlink()
        (tmp_path / "out/stages/features/scope/linked").unlink()
        assert there(place) == {"two", "three"}
        assert {item["path"]: item["reason"] for item in facts["left_out"]} == {
            "features/linked": "a link, and what it leads to may be anybody's",
            "features/scope/linked": "a link, and what it leads to may be anybody's",
            "notes.txt": "not in the folder of a unit",
            "features/notes.txt": "not in the folder of a unit",
            "later": "a stage that this congeal does not know",
        }
        assert facts["left_out_count"] == 5
        assert (precious / "unit/_commit.json").read_bytes() == b"mine"
        for name in ("notes.txt", "features/notes.txt", "later/scope/a/x"):
            assert (place / "stages" / name).exists()

    def test_many_are_counted_and_the_first_named(self, memory_location: Location) -> None:
        place = three_versions(memory_location)
        for number in range(120):
            (place / f"stages/{number}").write_bytes(b"1")
        facts = prune(place, dry_run=True)
        assert (len(facts["left_out"]), facts["left_out_count"]) == (100, 120)

    def test_units_that_are_too_young_are_named(self, memory_location: Location) -> None:
        place = three_versions(memory_location)
        unit(place, "fresh", days=0)
        facts = prune(place)
        assert facts["too_young"] == 1
        assert facts["young"] == ["features/scope/fresh"]
        assert facts["left_out"] == []
