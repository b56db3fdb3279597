"""A collection that is done, and what becomes of it as images come and go."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from growing import Story, apart, by_uri, grown, made, move, newcomers, noise, points, retold
from sample_runs import folder, photographs, picture, results, run

import congeal
from infra.ledger.commits import Marker, UnitAddress
from infra.storage.location import Location
from tasks.atlases import atlases_stage, stored_atlas
from tasks.atlases.previews import Shown
from tasks.atlases.stored_atlas import Stored
from tasks.execution import stage_runner, stage_versions
from tasks.maintenance.prune import prune
from tasks.maintenance.verify import verify


def test_images_that_were_there_keep_their_clusters(story: Story) -> None:
    before, after = by_uri(story.before), by_uri(story.after)
    assert "a/3.png" not in after.index
    left = before.drop("a/3.png")
    assert left.notna().all()
    assert after[left.index].equals(left)


def test_newcomers_join_their_kind_a_new_kind_founds_a_cluster_and_noise_belongs_to_none(
    story: Story,
) -> None:
    after = by_uri(story.after)
    for kind in "ab":
        assert after[f"{kind}/8.png"] == after[f"{kind}/10.png"] == after[f"{kind}/0.png"]
    founded = after[after.index.str.startswith("c/")].dropna()
    assert len(founded) >= 4
    assert founded.nunique() == 1
    assert founded.iloc[0] not in set(by_uri(story.before))
    assert pd.isna(after["noise.png"])
    clusters = story.after.clusters.set_index("cluster_id")
    assert clusters["n_new"].to_dict() == {
        after["a/0.png"]: 3, after["b/0.png"]: 3, founded.iloc[0]: 0
    }  # fmt: skip
    assert clusters["drift"].notna().tolist() == (clusters["n_new"] > 0).tolist()


def test_newcomers_are_fitted_and_say_so(story: Story) -> None:
    ids = story.after.images.set_index("uri")["image_id"]
    roles = story.after.alignments.set_index("image_id")["role"]
    assert set(roles[ids[["a/8.png", "b/9.png", "b/10.png"]]]) == {"newcomer"}
    earlier = story.before.alignments.set_index("image_id")["role"]
    kept = earlier.index.intersection(roles.index)
    assert len(kept) == 15
    assert roles[kept].equals(earlier[kept])
    rows = story.after.alignments.set_index("image_id").loc[ids["a/8.png"]]
    assert 0 < rows["residual"] < 1


def test_points_keep_their_meaning_to_the_last_bit(story: Story) -> None:
    before, after = points(story.before), points(story.after)
    gone = story.before.images.set_index("uri")["image_id"]["a/3.png"]
    kept = before[before.index.get_level_values("image_id") != gone]
    pd.testing.assert_frame_equal(after.loc[kept.index], kept)
    came = story.after.images.set_index("uri")["image_id"]["b/8.png"]
    theirs = after[after.index.get_level_values("image_id") == came]
    cluster = by_uri(story.after)["b/8.png"]
    old = kept[kept.index.get_level_values("cluster_id") == cluster]
    assert set(theirs.index.get_level_values("point_id")) == set(old.index.get_level_values("point_id"))
    assert theirs["visible"].any()


def test_only_what_is_new_is_computed(story: Story) -> None:
    units = made(story.facts[1])
    assert units["atlases"] == 3
    assert story.facts[1]["stages"][1]["items_made"] == len(newcomers())


def test_with_nothing_new_nothing_is_done(story: Story, tmp_path: Path, weights: Path) -> None:
    before = results(story.then)
    assert run(story.home / "source", story.then, grown(weights))["up_to_date"]
    assert results(story.then) == before
    shutil.copytree(story.then, tmp_path / "out")
    facts = run(story.home / "source", tmp_path / "out", grown(weights, "index.lattice=7"))
    assert {name for name, count in made(facts).items() if count} == {"index"}
    assert before.items() <= results(tmp_path / "out").items()


def test_the_first_version_can_still_be_read(story: Story) -> None:
    old = congeal.open(story.then, version="1")
    assert old.images.equals(story.before.images)
    pd.testing.assert_frame_equal(points(old), points(story.before))
    for version in ("1", "2"):
        assert verify(Location.parse(story.then), version=version)["faults"] == []


@pytest.mark.slow
def test_those_who_come_one_after_the_other_are_fitted_like_those_who_come_together(
    story: Story, tmp_path: Path, weights: Path
) -> None:
    source = folder(tmp_path / "source", photographs(8))
    shutil.copytree(story.first, tmp_path / "out")
    # A copy of the source has another address: the version is told where it lies now.
    move(tmp_path / "out", story.home / "source", source)
    for seed in (8, 9):
        folder(source, {f"b/{seed}.png": newcomers()[f"b/{seed}.png"]})
        run(source, tmp_path / "out", grown(weights))
    slowly, at_once = points(congeal.open(tmp_path / "out")), points(story.after)
    ids = story.after.images.set_index("uri")["image_id"]
    for name in ("b/8.png", "b/9.png"):
        rows = slowly[slowly.index.get_level_values("image_id") == ids[name]]
        assert len(rows) > 0
        pd.testing.assert_frame_equal(at_once.loc[rows.index], rows)


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.slow
def test_killed_while_an_atlas_grows(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "out"
    shutil.copytree(story.first, destination)
    commit = stage_runner.commit_unit

    def half(address: UnitAddress, outputs: Mapping[str, bytes], *more: Any) -> Marker:
        if address.stage != "atlases":
            return commit(address, outputs, *more)
        name, data = sorted(outputs.items())[-1]
        (address.folder / "0123456789abcdef" / name).write_bytes(data[: len(data) // 2])
        raise Killed

    monkeypatch.setattr(stage_runner, "commit_unit", half)
    with pytest.raises(Killed):
        run(story.home / "source", destination, grown(weights))
    monkeypatch.undo()
    assert congeal.open(destination).publication.number == 1
    facts = run(story.home / "source", destination, grown(weights))
    assert facts["version"] == 2
    assert facts["stages"][2]["units_made"] == 0  # the clusters were done
    found = {path: data for path, data in results(destination).items() if "0123456789abcdef" not in path}
    assert found == results(story.then)
    assert congeal.open(destination).publication.units == story.after.publication.units


def test_pruning_leaves_what_has_grown_whole(story: Story, tmp_path: Path, weights: Path) -> None:
    destination = tmp_path / "out"
    shutil.copytree(story.then, destination)
    removed = prune(Location.parse(destination), older_than=0)
    assert removed["units"]["atlases"] >= 2
    assert removed["units"]["clusters"] == 1
    assert verify(Location.parse(destination))["faults"] == []
    assert run(story.home / "source", destination, grown(weights))["up_to_date"]
    source = tmp_path / "source"
    shutil.copytree(story.home / "source", source)
    move(destination, story.home / "source", source)
    folder(source, {"a/11.png": picture(0, 11)})
    run(source, destination, grown(weights))
    after = congeal.open(destination)
    assert by_uri(after)["a/11.png"] == by_uri(story.after)["a/0.png"]
    kept = points(story.after)
    pd.testing.assert_frame_equal(points(after).loc[kept.index], kept)


def test_a_version_whose_grown_units_are_lost_is_made_again(
    story: Story, tmp_path: Path, weights: Path
) -> None:
    destination = tmp_path / "out"
    shutil.copytree(story.then, destination)
    before = results(destination)
    units = congeal.open(destination).publication.units
    for name in ("clusters", "atlases"):
        for unit in units[name]:
            shutil.rmtree(destination / "stages" / name / unit)
    run(story.home / "source", destination, grown(weights))
    assert results(destination) == before


def test_when_the_medoid_goes_the_next_takes_its_place_and_an_empty_cluster_ends(
    story: Story, tmp_path: Path, weights: Path
) -> None:
    source, destination = retold(story, tmp_path)
    images, after = story.after.images.set_index("image_id"), story.after
    cluster, other = by_uri(after)["a/0.png"], by_uri(after)["b/0.png"]
    medoid = after.clusters.set_index("cluster_id")["medoid_image_id"][cluster]
    (source / images["uri"][medoid]).unlink()
    shutil.rmtree(source / "b")
    facts = run(source, destination, grown(weights))
    clusters = congeal.open(destination).clusters.set_index("cluster_id")
    assert other not in clusters.index
    assert facts["clusters"] == 2
    assert clusters["medoid_image_id"][cluster] not in (medoid, None)
    assert clusters["n_images"][cluster] == 9
    assert verify(Location.parse(destination))["faults"] == []


def test_a_cluster_whose_builders_have_all_gone_is_built_by_the_others_in_the_same_place(
    story: Story, tmp_path: Path, weights: Path
) -> None:
    source, destination = retold(story, tmp_path)
    cluster = by_uri(story.after)["b/0.png"]
    rows = story.after.alignments
    builders = rows["image_id"][(rows["cluster_id"] == cluster) & (rows["role"] == "member")]
    for uri in story.after.images.set_index("image_id")["uri"][builders]:
        (source / uri).unlink()
    run(source, destination, grown(weights))
    left = congeal.open(destination)
    assert left.alignments.query("cluster_id == @cluster")["role"].tolist() == ["member"] * 5
    assert apart(story.after, left, cluster) < 6  # pixels of 84


@pytest.mark.slow
def test_the_pictures_show_newcomers_too(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    real = atlases_stage.draw

    def draw(source: Location, destination: Location, shown: Sequence[Shown], *more: Any) -> Any:
        seen.append([image.member.image_id for image in shown])
        return real(source, destination, shown, *more)

    monkeypatch.setattr(atlases_stage, "draw", draw)
    shutil.copytree(story.first, tmp_path / "out")
    run(story.home / "source", tmp_path / "out", grown(weights))
    roles = story.after.alignments.set_index("image_id")["role"]
    counts = [roles[shown].value_counts().to_dict() for shown in seen]
    assert counts.count({"member": 2, "newcomer": 2}) == 2


@pytest.mark.slow
def test_another_source_begins_anew(story: Story, tmp_path: Path, weights: Path) -> None:
    shutil.copytree(story.then, tmp_path / "out")
    source = folder(tmp_path / "source", photographs(9))
    run(source, tmp_path / "out", grown(weights))
    run(source, tmp_path / "alone", grown(weights))
    beside = by_uri(congeal.open(tmp_path / "out"))
    assert beside.equals(by_uri(congeal.open(tmp_path / "alone")))
    assert set(beside).isdisjoint(by_uri(story.after).dropna())


@pytest.mark.slow
def test_one_cluster_for_everything_takes_everybody_in(tmp_path: Path, weights: Path) -> None:
    settings = grown(weights, "clusters.method=single")
    source = folder(tmp_path / "source", {"0.png": picture(0, 0)})
    run(source, tmp_path / "out", settings)
    first = congeal.open(tmp_path / "out").clusters
    assert first["status"].tolist() == ["single"]
    # An atlas of one picture says nothing of a kind: with more of them, it is solved anew.
    folder(source, {f"{seed}.png": picture(0, seed) for seed in range(1, 7)})
    run(source, tmp_path / "out", settings)
    then = congeal.open(tmp_path / "out")
    assert then.clusters["status"].tolist() == ["ok"]
    assert then.clusters["cluster_id"].tolist() == first["cluster_id"].tolist()
    assert then.alignments["role"].value_counts().to_dict() == {"member": 6, "fitted": 1}
    folder(source, {"noise.png": noise()})
    run(source, tmp_path / "out", settings)
    last = congeal.open(tmp_path / "out")
    assert last.clusters["n_images"].tolist() == [8]
    assert last.clusters["cluster_id"].tolist() == first["cluster_id"].tolist()


@pytest.mark.parametrize(
    "version",
    [
        *(pytest.param(old, marks=pytest.mark.slow) for old in stage_versions.SAME_MAPS[:-1]),
        stage_versions.SAME_MAPS[-1],
    ],
)
def test_an_atlas_of_an_earlier_version_grows_and_its_cycle_errors_are_of_the_maps(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Its maps stay as they are to the last bit, and so does the version that it belongs to."""
    source = folder(tmp_path / "source", photographs(8))

    def otherwise(stored: Stored) -> Stored:
        return replace(stored, figures={**stored.figures, "cycle_error": np.full(len(stored.members), 0.5)})

    with monkeypatch.context() as patch:
        patch.setitem(stage_versions.VERSIONS, stage_versions.ATLASES, version)
        patch.setattr(atlases_stage, "VERSION", version)
        today = atlases_stage.scope
        patch.setattr(atlases_stage, "scope", lambda *given: today(*given[:2], version))
        patch.setattr(stage_versions, "SAME_MAPS", ())
        patch.setattr(stored_atlas, "with_cycle_error", otherwise)
        run(source, tmp_path / "out", grown(weights))
    before = congeal.open(tmp_path / "out")
    assert set(before.alignments["cycle_error"]) == {0.5}
    folder(source, {name: data for name, data in photographs(9).items() if "8" in name})
    facts = run(source, tmp_path / "out", grown(weights))
    after, older = congeal.open(tmp_path / "out"), congeal.open(tmp_path / "out", version="1")
    assert by_uri(after)[by_uri(before).index].equals(by_uri(before))
    kept = points(before)
    pd.testing.assert_frame_equal(points(after).loc[kept.index], kept)
    roles = after.alignments.set_index("image_id")["role"]
    came = after.images.set_index("uri")["image_id"]
    assert set(roles[came[["a/8.png", "b/8.png"]]]) == {"newcomer"}
    # Who was there has the same definition as who came, and nobody the old one.
    assert after.alignments["cycle_error"].max() < 0.1
    assert set(older.alignments["cycle_error"]) == {0.5}
    assert facts["version"] == 2
    for number in ("1", "2"):
        assert verify(Location.parse(tmp_path / "out"), version=number)["faults"] == []
    assert run(source, tmp_path / "out", grown(weights))["up_to_date"]
