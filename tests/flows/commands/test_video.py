from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import LITTLE_IN_COMMON, encoded, folder, picture, run, tiny, weights
from typer.testing import CliRunner
from video_clips import clip, things

import congeal
from flows.cli import app
from infra.errors import UserError
from infra.video.frame_times import frame_times
from tasks.atlases.atlases_stage import scope

__all__ = ["weights"]
SHOTS = "clusters.method=auto"


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A folder with clip.mp4, of twelve frames, and destination/ of a run on it."""
    home: Path = tmp_path_factory.mktemp("filmed")
    source = things(home / "clip.mp4", [0] * 12)
    run(source, home / "destination", tiny(weights, SHOTS, LITTLE_IN_COMMON))
    return home


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def frames_in(path: Path) -> int:
    with path.open("rb") as file:
        return len(frame_times(file, path.name).stamps)


def test_a_clip_is_its_frames_and_one_shot_one_cluster(filmed: Path) -> None:
    c = congeal.open(str(filmed / "destination"))
    images = c.images.sort_values("uri")
    assert images["uri"].tolist() == [f"{number:06d}.bmp" for number in range(12)]
    assert images["frame"].tolist() == list(range(12))
    assert images["time"].tolist() == pytest.approx([number / 10 for number in range(12)], abs=1e-4)
    assert set(images["clip"]) == {"clip.mp4"}
    assert images["cluster_id"].nunique() == 1
    assert not images["cluster_id"].isna().any()
    assert c.image("000003.bmp").shape == (64, 96, 3)
    assert len(c.alignments) == 12


def test_a_second_run_finds_everything_done(filmed: Path, weights: Path) -> None:
    facts = run(filmed / "clip.mp4", filmed / "destination", tiny(weights, SHOTS, LITTLE_IN_COMMON))
    assert all(stage["made"] == 0 for stage in facts["stages"])


def test_masks_edits_and_points_on_the_whole_clip(filmed: Path, tmp_path: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 20:50] = 255
    (tmp_path / "mask.png").write_bytes(encoded(mask))
    layer = np.zeros((64, 96, 4), np.uint8)
    layer[20:40, 20:50] = (200, 30, 30, 255)
    (tmp_path / "layer.png").write_bytes(encoded(layer))
    (tmp_path / "points.csv").write_text("x,y\n30,30\n40,25\n")
    common = ("propagate", filmed / "destination", "--from", "000000.bmp", "--json")
    for what in ("--mask", "--layer"):
        name = what.strip("-")
        facts = call(*common, what, tmp_path / f"{name}.png", "--out", tmp_path / f"{name}.mp4")
        assert facts["frames"] == frames_in(tmp_path / f"{name}.mp4") == 12
        assert 0 < facts["images"] <= 12
    facts = call(*common, "--points", tmp_path / "points.csv", "--out", tmp_path / "tracks.mp4")
    assert frames_in(tmp_path / "tracks.mp4") == 12
    lines = (tmp_path / "tracks.csv").read_text().splitlines()
    assert lines[0] == "frame,time,image,point,x,y,confidence,visible"
    assert lines[1] == "0,0.0,000000.bmp,0,30.0,30.0,1.0,True"
    assert len(lines) == 1 + 2 * facts["images"]
    again = CliRunner().invoke(
        app, [str(one) for one in (*common, "--mask", tmp_path / "mask.png", "--out", tmp_path / "mask.mp4")]
    )
    assert "is there already" in again.stderr


@pytest.mark.slow
def test_two_shots_are_two_clusters(tmp_path: Path, weights: Path) -> None:
    source = things(tmp_path / "clip.mp4", [0] * 7 + [1] * 6)
    run(source, tmp_path / "out", tiny(weights, SHOTS, LITTLE_IN_COMMON))
    images = congeal.open(str(tmp_path / "out")).images.sort_values("frame")
    clusters = images["cluster_id"].tolist()
    assert len(set(clusters[:7])) == len(set(clusters[7:])) == 1
    assert clusters[0] != clusters[7]


def test_a_folder_of_frames_is_a_video_if_that_is_said(tmp_path: Path, weights: Path) -> None:
    files = {f"{number}.png": picture(0, number) for number in (1, 2, 9, 10, 11)}
    source = folder(tmp_path / "frames", files)
    settings = tiny(weights, SHOTS, LITTLE_IN_COMMON, "source.video=frames", "source.fps=10")
    run(source, tmp_path / "out", settings)
    images = congeal.open(str(tmp_path / "out")).images.sort_values("frame")
    assert images["uri"].tolist() == ["1.png", "2.png", "9.png", "10.png", "11.png"]
    assert images["time"].tolist() == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_maps_that_are_smoothed_otherwise_are_others(weights: Path) -> None:
    usual, other = (scope(tiny(weights, f"alignment.smoothing={period}"), "features") for period in (8, 0))
    assert usual == scope(tiny(weights), "features")
    assert other != usual


def test_what_is_no_video_is_refused_in_a_sentence(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"bad\.mp4 cannot be read"):
        run(tmp_path / "bad.mp4", tmp_path / "out", tiny(weights, SHOTS))
    source = folder(tmp_path / "photos", {"a.png": picture(0, 0)})
    with pytest.raises(UserError, match="is for videos"):
        run(source, tmp_path / "out", tiny(weights, "clusters.method=shots"))
    with pytest.raises(UserError, match="does not exist"):
        run(tmp_path / "none.mp4", tmp_path / "out", tiny(weights, SHOTS))


@pytest.mark.slow
def test_clips_and_folders_go_together(tmp_path: Path, weights: Path) -> None:
    folder(tmp_path / "photos", {f"{number}.png": picture(0, number) for number in range(3)})
    clip(tmp_path / "b.mp4", [(9 * number, 90, 200) for number in range(4)])
    more = json.dumps([str(tmp_path / "b.mp4")])
    run(tmp_path / "photos", tmp_path / "out", tiny(weights, LITTLE_IN_COMMON, f"source.also={more}"))
    images = congeal.open(str(tmp_path / "out")).images
    frames = images[images["frame"].notna()]
    assert (len(images), len(frames)) == (7, 4)
    assert frames["uri"].str.endswith(".bmp").all()


@pytest.mark.slow
def test_frames_that_come_later_grow_the_atlas_and_the_others_keep_their_maps(
    tmp_path: Path, weights: Path
) -> None:
    files = {f"{number:02}.png": picture(0, number) for number in range(8)}
    settings = tiny(weights, SHOTS, LITTLE_IN_COMMON, "source.video=frames")
    source = folder(tmp_path / "frames", files)
    run(source, tmp_path / "out", settings)
    before = congeal.open(str(tmp_path / "out"))
    folder(source, {"08.png": picture(0, 8), "09.png": picture(0, 9)})
    run(source, tmp_path / "out", settings)
    after = congeal.open(str(tmp_path / "out"))
    assert set(after.images["cluster_id"]) == set(before.images["cluster_id"])
    for name in files:
        np.testing.assert_array_equal(after.maps(name).forward, before.maps(name).forward)
    assert len(after.alignments) == 10


@pytest.mark.slow
def test_a_clip_that_was_moved_is_known_again(tmp_path: Path, weights: Path) -> None:
    source = things(tmp_path / "clip.mp4", [0] * 5)
    run(source, tmp_path / "out", tiny(weights, SHOTS, LITTLE_IN_COMMON))
    source.rename(tmp_path / "moved.mp4")
    facts = call("relocate", tmp_path / "out", "--source", tmp_path / "moved.mp4", "--json")
    assert (facts["known"], facts["new"]) == (5, 0)
    assert congeal.open(str(tmp_path / "out")).image("000002.bmp").shape == (64, 96, 3)
