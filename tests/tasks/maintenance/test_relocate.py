"""Sources that were moved, and destinations that were copied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from growing import Story, by_uri, grown, made, retold, stripes
from sample_runs import folder, run
from typer.testing import CliRunner

import congeal
from flows.cli import app
from infra.errors import DamagedError, UserError
from infra.ledger.moved_sources import known_as, moves, present_url, record_move
from infra.ledger.publications import published, replace_version, versions
from infra.storage.location import Location
from tasks.maintenance.forget import forget
from tasks.maintenance.relocate import relocate
from tasks.maintenance.verify import verify


def test_a_source_that_was_renamed_costs_no_feature_and_no_atlas(
    story: Story, tmp_path: Path, weights: Path
) -> None:
    source, destination = retold(story, tmp_path)
    there = source.rename(tmp_path / "elsewhere")
    (there / "a/1.png").unlink()
    folder(there, {"b/2.png": stripes(50), "new.png": stripes(51)})
    answer = CliRunner().invoke(app, ["relocate", str(destination), "--source", str(there), "--json"])
    facts = json.loads(answer.stdout)
    images = len(story.after.images)
    assert (facts["known"], facts["new"], facts["not_matched_count"]) == (images - 2, 1, 2)
    assert facts["not_matched"] == [
        {"uri": "a/1.png", "reason": "is not there"}, {"uri": "b/2.png", "reason": "has other bytes"}
    ]  # fmt: skip
    before = by_uri(congeal.open(destination))
    assert congeal.open(destination).image("a/0.png").shape == (60, 80, 3)
    folder(there, {})
    (there / "b/2.png").unlink()
    (there / "new.png").unlink()
    facts = run(there, destination, grown(weights))
    # The two that are gone leave their clusters; nothing else is made.
    assert made(facts)["features"] == 0
    after = by_uri(congeal.open(destination))
    assert after.equals(before.drop(["a/1.png", "b/2.png"]))
    assert congeal.open(destination).publication.source == f"file://{there}"
    assert verify(Location.parse(destination))["faults"] == []


def test_what_was_forgotten_is_not_called_new(story: Story, tmp_path: Path, weights: Path) -> None:
    source, destination = retold(story, tmp_path)
    forget(Location.parse(destination), ["a/1.png"])
    there = source.rename(tmp_path / "elsewhere")
    facts = relocate(Location.parse(destination), Location.parse(there), grown(weights))
    assert (facts["forgotten"], facts["new"], facts["not_matched_count"]) == (1, 0, 0)


@pytest.mark.slow
def test_what_is_wholly_there_needs_no_reading_by_the_next_run(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = retold(story, tmp_path)
    there = source.rename(tmp_path / "elsewhere")
    facts = relocate(Location.parse(destination), Location.parse(there), grown(weights))
    assert facts["not_matched_count"] == facts["new"] == 0

    def read(self: Location) -> bytes:
        assert "elsewhere" not in self.url, "an image is read"
        return plainly(self)

    plainly = Location.read_bytes
    monkeypatch.setattr(Location, "read_bytes", read)
    done = made(run(there, destination, grown(weights)))
    assert (done["features"], done["atlases"]) == (0, 0)
    assert run(there, destination, grown(weights))["up_to_date"]


def test_a_copy_of_a_destination_simply_works(story: Story, tmp_path: Path, weights: Path) -> None:
    shutil.copytree(story.then, tmp_path / "copy")
    assert congeal.open(tmp_path / "copy").images.equals(story.after.images)
    facts = run(story.home / "source", tmp_path / "copy", grown(weights))
    assert facts["up_to_date"]
    found = verify(Location.parse(tmp_path / "copy"))
    assert (found["faults"], found["notes"]) == ([], [])


def test_what_is_no_such_source(story: Story, tmp_path: Path, weights: Path) -> None:
    source, destination = retold(story, tmp_path)
    place, settings = Location.parse(destination), grown(weights)
    other = folder(tmp_path / "other", {"x.png": stripes(1)})
    for there, sentence in (
        (other, "No image of the"),
        (source, "already"),
        (tmp_path / "nothing", "does not exist"),
        (destination / "inside", "inside"),
    ):
        with pytest.raises(UserError, match=sentence):
            relocate(place, Location.parse(there), settings)
    with pytest.raises(UserError, match="Nothing is published"):
        relocate(Location.parse(tmp_path / "empty"), Location.parse(source), settings)
    name = versions(place)[-1]
    publication = published(place, name)
    assert publication is not None
    without = {stage: units for stage, units in publication.units.items() if stage != "catalog"}
    replace_version(place, name, publication.model_copy(update={"units": without}))
    with pytest.raises(UserError, match="names no catalog"):
        relocate(place, Location.parse(folder(tmp_path / "new", {"x.png": stripes(1)})), settings)
    assert moves(place) == {}


def test_a_source_that_moves_twice_and_back(memory_location: Location) -> None:
    record_move(memory_location, "a", "b")
    record_move(memory_location, "b", "c")
    assert present_url(memory_location, "a") == "c"
    assert known_as(memory_location, "c") == {"a", "b", "c"}
    record_move(memory_location, "c", "a")
    assert present_url(memory_location, "b") == "a"
    assert known_as(memory_location, "a") == {"a", "b", "c"}
    (memory_location / "sources.json").write_bytes(b'{"moved": {"a": 1}}')
    with pytest.raises(DamagedError, match="is damaged"):
        moves(memory_location)
