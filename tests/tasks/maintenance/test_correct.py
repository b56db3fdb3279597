"""Corrections as an owner gives them, and what the next run makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from growing import by_uri, grown, made, newcomers
from sample_runs import folder, photographs, run

import congeal
from congeal.results.published_version import Published
from infra.errors import DamagedError, UserError
from infra.ledger.journal import place_of
from infra.storage.location import Location
from tasks.corrections.corrections import checked_name, read_corrections
from tasks.maintenance import correct
from tasks.maintenance.repair import repair
from tasks.maintenance.verify import verify

WHO = correct.Given("ann", "they are the same")


class Place(NamedTuple):
    source: Path
    destination: Path

    @property
    def published(self) -> Published:
        return Published(Location.parse(self.destination))


@pytest.fixture(scope="module")
def finished_place(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Place:
    home = tmp_path_factory.mktemp("corrected")
    source = folder(home / "source", photographs(6))
    run(source, home / "destination", grown(weights))
    return Place(source, home / "destination")


@pytest.fixture
def place(finished_place: Place, tmp_path: Path) -> Place:
    """A copy of the destination, on the same source."""
    shutil.copytree(finished_place.destination, tmp_path / "destination")
    return Place(finished_place.source, tmp_path / "destination")


def two(place: Place) -> tuple[str, str]:
    clusters = by_uri(congeal.open(place.destination))
    return clusters["a/0.png"], clusters["b/0.png"]


def rows_of(place: Place, cluster: str) -> Any:
    collection = congeal.open(place.destination)
    return collection.correspondences(cluster=cluster).sort_values(["image_id", "point_id"]).values.tolist()


def test_a_moved_image_changes_two_clusters_and_stays_through_growth(place: Place, weights: Path) -> None:
    a, b = two(place)
    facts = correct.move(place.published, ["a/0.png"], b, WHO)
    assert (facts["number"], facts["images"], facts["state"]) == (1, 1, "waits for the next run")
    done = made(run(place.source, place.destination, grown(weights)))
    assert (done["catalog"], done["features"], done["clusters"], done["atlases"]) == (0, 0, 1, 2)
    clusters = by_uri(congeal.open(place.destination))
    assert clusters["a/0.png"] == b
    assert clusters["a/1.png"] == a
    assert run(place.source, place.destination, grown(weights))["up_to_date"]
    assert verify(Location.parse(place.destination))["faults"] == []
    (one,) = correct.listed(place.published)
    assert (one["state"], one["by"], one["why"]) == ("in force", "ann", "they are the same")
    diff = congeal.open(place.destination).diff()
    assert [one.uri for one in diff.images.other_cluster] == ["a/0.png"]
    assert all(change.solved_anew for change in diff.changed)


def test_damage_to_what_was_corrected_since_costs_the_older_version_alone(
    place: Place, weights: Path
) -> None:
    a, _ = two(place)
    old = congeal.open(place.destination).clusters.set_index("cluster_id").loc[a, "atlas_unit"]
    correct.exclude(place.published, ["a/0.png"], WHO)
    run(place.source, place.destination, grown(weights))
    first, second = sorted((place.destination / "published/versions").iterdir())
    before = second.read_bytes()
    (maps,) = (place.destination / "stages/atlases" / old).glob("*/atlas.zarr/maps/forward/c/0/0/0/0")
    data = bytearray(maps.read_bytes())
    data[-1] ^= 1
    maps.write_bytes(data)
    facts = repair(Location.parse(place.destination))
    assert (facts["damaged"], facts["derived"], facts["versions"]) == (1, 0, [first.stem])
    assert second.read_bytes() == before
    assert verify(Location.parse(place.destination))["faults"] == []
    assert run(place.source, place.destination, grown(weights))["up_to_date"]


def test_an_unconcerned_cluster_is_as_it_was(place: Place, weights: Path) -> None:
    a, b = two(place)
    before, unit = rows_of(place, b), congeal.open(place.destination).clusters.set_index("cluster_id")
    correct.exclude(place.published, ["a/0.png", "a/1.png"], WHO)
    done = made(run(place.source, place.destination, grown(weights)))
    assert (done["features"], done["atlases"]) == (0, 1)
    collection = congeal.open(place.destination)
    assert rows_of(place, b) == before
    after = collection.clusters.set_index("cluster_id")
    assert after.loc[b, "atlas_unit"] == unit.loc[b, "atlas_unit"]
    images = collection.images.set_index("uri")
    assert images.index[images["excluded"].fillna(False).astype(bool)].tolist() == ["a/0.png", "a/1.png"]
    assert images.loc["a/0.png", ["status", "outlier"]].isna().tolist() == [False, True]
    assert collection.publication.counts["excluded"] == 2
    assert after.loc[a, "n_images"] == 4


@pytest.mark.slow
def test_a_merge_keeps_the_first_id_and_is_undone(place: Place, weights: Path) -> None:
    a, b = two(place)
    correct.merge(place.published, [a, b], WHO, force=True)
    run(place.source, place.destination, grown(weights))
    assert set(by_uri(congeal.open(place.destination))) == {a}
    with pytest.raises(UserError, match="was merged into"):
        correct.name(place.published, b, "boats", WHO)
    folder(place.source, {})
    correct.undo(place.published, 1, WHO)
    run(place.source, place.destination, grown(weights))
    clusters = by_uri(congeal.open(place.destination))
    assert clusters["a/0.png"] == a
    assert clusters["b/0.png"] == b
    assert [one["state"] for one in correct.listed(place.published)] == ["undone by 2", "in force"]
    assert run(place.source, place.destination, grown(weights))["up_to_date"]


@pytest.mark.slow
def test_a_split_keeps_the_frame_in_both_parts(place: Place, weights: Path) -> None:
    a, _ = two(place)
    leaving = ["a/0.png", "a/1.png", "a/2.png"]
    facts = correct.split(place.published, a, leaving, WHO)
    new = facts["clusters"][1]
    done = made(run(place.source, place.destination, grown(weights)))
    assert done["atlases"] == 2
    clusters = by_uri(congeal.open(place.destination))
    assert sorted(clusters.index[clusters == new]) == leaving
    assert clusters["a/3.png"] == a
    # A split says where its images are, so it holds, too, if everything is split anew.
    run(place.source, place.destination, grown(weights, "clusters.growth=anew"))
    clusters = by_uri(congeal.open(place.destination))
    assert sorted(clusters.index[clusters == new]) == leaving
    assert clusters["a/3.png"] == a


def test_a_cluster_is_split_by_its_halves(place: Place) -> None:
    a, b = two(place)
    correct.merge(place.published, [a, b], WHO, force=True)
    with pytest.raises(UserError, match="waits for the next run"):
        correct.split(place.published, a, [], WHO)
    correct.undo(place.published, 1, WHO)
    facts = correct.split(place.published, a, [], WHO)
    assert 1 <= facts["images"] <= 3


@pytest.mark.slow
def test_corrections_hold_while_a_collection_grows(place: Place, weights: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(place.source, source)
    grown_place = Place(source, tmp_path / "other")
    run(source, grown_place.destination, grown(weights))
    a, b = two(grown_place)
    correct.exclude(grown_place.published, ["a/5.png"], WHO)
    correct.move(grown_place.published, ["a/0.png"], b, WHO)
    correct.name(grown_place.published, b, "boats", WHO)
    run(source, grown_place.destination, grown(weights))
    folder(source, newcomers())
    (source / "a/0.png").rename(source / "a/renamed.png")
    done = made(run(source, grown_place.destination, grown(weights)))
    assert done["features"] > 0
    collection = congeal.open(grown_place.destination)
    clusters = by_uri(collection)
    assert clusters["a/renamed.png"] == b
    assert clusters["a/8.png"] == a
    images = collection.images.set_index("uri")
    assert images.index[images["excluded"].fillna(False).astype(bool)].tolist() == ["a/5.png"]
    assert collection.clusters.set_index("cluster_id").loc[b, "name"] == "boats"
    # Solved anew, it stays what it is.
    run(source, grown_place.destination, grown(weights, "atlases.resolve=all"))
    assert by_uri(congeal.open(grown_place.destination))["a/renamed.png"] == b


@pytest.mark.slow
def test_an_exclusion_that_is_undone_brings_the_image_back(place: Place, weights: Path) -> None:
    a, _ = two(place)
    correct.exclude(place.published, ["a/0.png"], WHO)
    run(place.source, place.destination, grown(weights))
    with pytest.raises(UserError, match="is excluded by correction 1: undo 1 first"):
        correct.move(place.published, ["a/0.png"], a, WHO)
    correct.undo(place.published, 1, WHO)
    run(place.source, place.destination, grown(weights))
    collection = congeal.open(place.destination)
    assert by_uri(collection)["a/0.png"] == a
    assert not collection.images["excluded"].any()


@pytest.mark.slow
def test_a_reference_says_how_the_atlas_lies(place: Place, weights: Path) -> None:
    a, _ = two(place)
    collection = congeal.open(place.destination)
    poses = collection.alignments.set_index("image_id")
    chosen = poses[(poses["cluster_id"] == a) & ~poses["outlier"]].index[0]
    correct.pin(place.published, a, chosen, WHO)
    done = made(run(place.source, place.destination, grown(weights)))
    assert (done["features"], done["atlases"]) == (0, 1)
    pose = congeal.open(place.destination).alignments.set_index("image_id").loc[chosen]
    assert not pose["mirrored"]
    assert pose["rotation"] == pytest.approx(0, abs=0.15)
    correct.undo(place.published, 1, WHO)
    run(place.source, place.destination, grown(weights))
    back = congeal.open(place.destination).alignments.set_index("image_id").loc[chosen]
    assert back["mirrored"] == poses.loc[chosen, "mirrored"]
    assert back["rotation"] == pytest.approx(poses.loc[chosen, "rotation"], abs=0.15)


def test_a_name_is_made_of_data_alone_and_costs_one_file(place: Place, weights: Path) -> None:
    a, b = two(place)
    text = '[bold]<script>alert(1)</script> "herring gull" \\N'
    correct.name(place.published, a, text, WHO)
    done = made(run(place.source, place.destination, grown(weights)))
    assert (done["clusters"], done["atlases"]) == (0, 0)
    collection = congeal.open(place.destination)
    assert collection.clusters.set_index("cluster_id")["name"].dropna().to_dict() == {a: text}
    assert collection.query("SELECT name FROM clusters WHERE name IS NOT NULL")["name"].to_pylist() == [text]
    assert collection.members(text) == collection.members(a)
    assert collection.atlas(text).cluster_id == a
    with pytest.raises(UserError, match=r"is called .* already"):
        correct.name(place.published, b, text, WHO)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "at least one"),
        ("  ", "at least one"),
        ("a" * 500, "at most 100 characters, and this one has 500"),
        ("two\nlines", "one line of plain text"),
        ("\x1b[31mred", "one line of plain text"),
        ("\u202egnp.exe", "one line of plain text"),
        ("\ud800", "one line of plain text"),
        ("a\u2028b", "one line of plain text"),
    ],
)
def test_what_is_no_name(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        checked_name(name)


def test_a_name_in_two_forms_is_the_same() -> None:
    assert checked_name(" Mo\u0308we ") == "M\u00f6we"


def test_what_cannot_be_corrected_is_a_sentence_and_leaves_no_record(place: Place) -> None:
    a, b = two(place)
    published = place.published
    refused: list[tuple[Any, str]] = [
        (lambda: correct.merge(published, [a, a], WHO), "two or more different clusters"),
        (lambda: correct.merge(published, [a, "c00000000000"], WHO), "no cluster 'c00000000000'"),
        (lambda: correct.move(published, ["nothing.png"], a, WHO), "nothing.png"),
        (lambda: correct.move(published, ["a/1.png", "a/0.png"], a, WHO), "is in the cluster .* already"),
        (lambda: correct.split(published, a, ["b/0.png"], WHO), "is not in the cluster"),
        (lambda: correct.pin(published, a, "b/0.png", WHO), "is not in the cluster"),
        (lambda: correct.undo(published, 1, WHO), "no correction 1"),
        (lambda: correct.name(published, a, "all", WHO), "means something else"),
        (lambda: correct.name(published, a, b, WHO), "means something else"),
        (lambda: correct.given("a\nb"), "one line"),
    ]
    for attempt, sentence in refused:
        with pytest.raises(UserError, match=sentence):
            attempt()
    assert read_corrections(published.place).every == ()


def test_corrections_that_contradict_each_other(place: Place) -> None:
    a, b = two(place)
    published = place.published
    correct.move(published, ["a/0.png"], b, WHO)
    with pytest.raises(UserError, match=r"Correction 1 .* otherwise of the image 'a/0.png': undo 1 first"):
        correct.exclude(published, ["a/0.png"], WHO)
    correct.undo(published, 1, WHO)
    correct.exclude(published, ["a/0.png"], WHO)
    with pytest.raises(UserError, match="is undone by 2 already"):
        correct.undo(published, 1, WHO)
    with pytest.raises(UserError, match="undoes another one"):
        correct.undo(published, 2, WHO)
    assert [one.number for one in read_corrections(published.place).in_force] == [3]
    with pytest.raises(UserError, match="undo 3 first"):
        correct.pin(published, a, "a/0.png", WHO)


def test_two_who_correct_at_once_take_two_numbers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later one is checked again, against what the earlier has written."""
    _, b = two(place)
    published = place.published
    put = Location.put_if_absent
    first = [True]

    def slow(self: Location, data: bytes) -> bool:
        if first.pop() if first else False:
            correct.exclude(place.published, ["a/1.png"], WHO)
        return put(self, data)

    monkeypatch.setattr(Location, "put_if_absent", slow)
    assert correct.move(published, ["a/0.png"], b, WHO)["number"] == 2
    first.append(True)
    monkeypatch.setattr(
        Location, "put_if_absent", lambda self, data: slow(self, data) if first else put(self, data)
    )
    with pytest.raises(UserError, match="says otherwise"):
        # Somebody else takes away the same image in the meantime.
        correct.move(published, ["a/1.png"], b, WHO)


def test_a_record_that_was_changed_is_refused_in_a_sentence(place: Place) -> None:
    correct.exclude(place.published, ["a/0.png"], WHO)
    record = place_of(Location.parse(place.destination), 1)
    record.write_bytes(record.read_bytes().replace(b"exclude", b"include"))
    with pytest.raises(DamagedError, match="is not what was written"):
        read_corrections(Location.parse(place.destination))
