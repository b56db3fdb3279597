"""`Collection.diff` and `congeal diff`: what a version says otherwise than an earlier one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from growing import Story, by_uri, grown, retold
from known_collection import known
from sample_runs import run
from typer.testing import CliRunner

import congeal
from flows.cli import app
from infra.errors import UserError

__all__ = ["known"]


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_has_come_gone_and_joined(story: Story) -> None:
    found = congeal.open(story.then).diff()
    before, after = by_uri(story.before), by_uri(story.after)
    assert (found.before, found.after) == (1, 2)
    assert found.images.come == sorted(set(after.index) - set(before.index))
    assert found.images.gone == ["a/3.png"]
    assert [one.cluster_id for one in found.new] == sorted(set(after.dropna()) - set(before.dropna()))
    for one in found.changed:
        was, now = (set(uris.index[uris == one.cluster_id]) for uris in (before, after))
        assert (one.joined, one.left) == (len(now - was), len(was - now))


def test_points_of_an_atlas_that_was_kept_have_not_moved(story: Story) -> None:
    changed = congeal.open(story.then).diff(1).changed
    assert changed
    for one in changed:
        assert not one.solved_anew
        assert one.points is not None
        assert (one.points.median, one.points.p90, one.points.same_frame) == (0, 0, True)


def test_an_atlas_that_was_solved_anew_lies_over_the_old(story: Story, tmp_path: Any, weights: Any) -> None:
    source, destination = retold(story, tmp_path)
    cluster = by_uri(story.after)["a/0.png"]
    run(source, destination, grown(weights, f"atlases.resolve={cluster}"))
    (one,) = congeal.open(destination).diff().changed
    assert one.cluster_id == cluster
    assert one.solved_anew
    assert one.points is not None
    # The same measure from the table of correspondences: the lattice's points that are seen in both.
    before, after = (
        congeal.open(destination, version=number).correspondences(cluster=cluster) for number in (2, 3)
    )
    both = before.merge(after, on=["image_id", "point_id"], suffixes=("", "_then"))
    both = both[both["visible"] & both["visible_then"]]
    moved = float(np.median(np.hypot(both["x"] - both["x_then"], both["y"] - both["y_then"])))
    assert one.points.median == pytest.approx(moved, abs=2)
    assert one.figures["residual"].better is (one.figures["residual"].after < one.figures["residual"].before)


def test_the_command_says_the_same_as_json_and_as_a_table(story: Story) -> None:
    found = congeal.open(story.then).diff()
    answer = command("diff", story.then, "--from", 1, "--to", 2, "--json")
    facts = json.loads(answer.stdout)
    assert facts["ok"]
    assert facts["images"]["gone"] == ["a/3.png"]
    assert [one["cluster_id"] for one in facts["changed"]] == [one.cluster_id for one in found.changed]
    shown = command("diff", story.then)
    assert shown.exit_code == 0
    assert "version 1 to version 2" in shown.stdout
    assert "gone: a/3.png" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "has no version before 1: there is nothing to compare it with."),
        (["--from", "1"], "Version 1 is compared with itself: name two versions."),
        (["--from", "7"], "has no version 7: the newest are 00001-"),
        (["--to", "first"], "has no version first: the newest are 00001-"),
    ],
)
def test_versions_that_are_not_there(known: Any, arguments: list[str], sentence: str) -> None:
    answer = command("diff", known, *arguments)
    assert answer.exit_code == 1
    assert sentence in answer.stderr


def test_a_version_that_was_pruned(story: Story, tmp_path: Any) -> None:
    _, destination = retold(story, tmp_path)
    answer = command("prune", destination, "--older-than", 0)
    assert answer.exit_code == 0
    with pytest.raises(UserError, match="was pruned: the newest are"):
        congeal.open(destination).diff(1)
