"""Clusters that are solved anew, and the drift that asks for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from growing import Story, apart, by_uri, grown, made
from rich.console import Console
from sample_runs import run

import congeal
from congeal.alignment import solver
from congeal.alignment.model import Anchor
from flows.console.summary import show_run, show_status
from infra.errors import UserError
from infra.storage.location import Location
from tasks.clusters.drift import drifting
from tasks.maintenance.status import status


@pytest.mark.slow
def test_a_cluster_that_is_solved_anew_keeps_its_id_and_its_points(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "out"
    shutil.copytree(story.then, destination)
    anchors: list[Anchor] = []
    align = solver.align
    monkeypatch.setattr(
        solver, "align", lambda *a, anchor, **more: anchors.append(anchor) or align(*a, anchor=anchor, **more)
    )
    facts = run(story.home / "source", destination, grown(weights, "atlases.resolve=all"))
    # It is told how the images lay before; congeal/alignment/poses/frame_anchoring.py makes the new atlas lie
    # so, too.
    before = story.after.alignments.set_index("cluster_id")
    for anchor, cluster in zip(anchors, sorted(by_uri(story.before).unique()), strict=True):
        assert (anchor.weight > 0).sum() >= 5
        assert set(anchor.scale) <= set(before.loc[cluster, "scale"].astype(np.float32))
    solved = congeal.open(destination)
    assert made(facts)["atlases"] == 2  # the one that was founded has nothing to gain
    assert by_uri(solved).equals(by_uri(story.after))
    assert set(solved.alignments["role"]) == {"member", "fitted"}
    assert solved.clusters["n_new"].tolist() == [0, 0, 0]
    assert solved.clusters["drift"].isna().all()
    for cluster in by_uri(story.before).unique():
        assert apart(story.after, solved, cluster) < 3  # pixels of 80
    for more in ((), ("atlases.resolve=all",), ("atlases.resolve=drifted",)):
        assert run(story.home / "source", destination, grown(weights, *more))["up_to_date"]


def test_drift_is_flagged_with_its_cure(
    story: Story, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(record=True, width=400)
    show_status(status(Location.parse(story.then)), console)
    assert "drifting" not in console.export_text()
    drift = story.after.clusters.set_index("cluster_id")["drift"]
    monkeypatch.setattr("tasks.clusters.drift.limit", lambda _: drift.max())
    (flagged,) = drift.index[drift == drift.max()]
    destination = tmp_path / "out"
    shutil.copytree(story.then, destination)
    facts = run(story.home / "source", destination, grown(weights))
    assert [row["cluster_id"] for row in facts["drifting"]] == [flagged]
    show_run(facts, console)
    assert f"{flagged} (3 new, {drift.max():.2f})" in (text := console.export_text())
    assert f"{destination} --set atlases.resolve=drifted" in text
    facts = run(story.home / "source", destination, grown(weights, "atlases.resolve=drifted"))
    assert made(facts)["atlases"] == 1
    assert facts["drifting"] == status(Location.parse(destination))["drifting"] == []
    assert flagged in set(by_uri(congeal.open(destination)))


@pytest.mark.parametrize(
    ("n_new", "drift", "flagged"),
    [(2, 9.0, False), (3, 1.5, False), (3, 1.6, True), (100, 1.2, False), (100, 1.3, True), (5, None, False)],
)
def test_a_few_have_to_differ_more_than_many(n_new: int, drift: float | None, flagged: bool) -> None:
    row = {"cluster_id": "c", "n_new": n_new, "drift": drift}
    assert bool(drifting([row])) == flagged


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["atlases.resolve=c123"], "names c123, and the last version has no such cluster"),
        (["atlases.resolve=all", "clusters.growth=anew"], r"goes with clusters\.growth=extend"),
    ],
)
def test_what_cannot_be_solved_anew_is_named(
    story: Story, weights: Path, settings: list[str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        run(story.home / "source", story.then, grown(weights, *settings))


@pytest.mark.slow
def test_anew_splits_everything_again(story: Story, tmp_path: Path, weights: Path) -> None:
    shutil.copytree(story.then, tmp_path / "out")
    run(story.home / "source", tmp_path / "out", grown(weights, "clusters.growth=anew"))
    anew = congeal.open(tmp_path / "out")
    assert set(by_uri(anew).dropna()).isdisjoint(by_uri(story.before))
    run(story.home / "source", tmp_path / "fresh", grown(weights))
    assert by_uri(congeal.open(tmp_path / "fresh")).equals(by_uri(anew))
