from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_sets
from sample_runs import chosen, encoded, tiny
from typer.testing import CliRunner, Result

import congeal
from congeal.errors import CongealError
from congeal.evaluation.datasets import load
from congeal.evaluation.pck import identity, pck
from congeal.evaluation.protocols import named, views
from congeal.settings import load_settings
from congeal.transfer.points import transfer
from flows.cli import app
from flows.evaluation.annotated_run import evaluate
from infra.errors import UserError


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def sets(weights: Path, *more: str) -> list[str]:
    return [part for text in chosen(weights, *more) for part in ("--set", text)]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the set `set` and `result`, what is published of it."""
    folder: Path = tmp_path_factory.mktemp("evaluated")
    sample_sets.keypoints_json(folder / "set", masks=True)
    return folder


@pytest.fixture(scope="module")
def facts(home: Path, weights: Path) -> dict[str, Any]:
    """Of two runs, measured at two thresholds."""
    settings = tiny(weights, "seed=3", "clusters.method=auto")
    destination = str(home / "result")
    return evaluate(home / "set", settings, alphas=[0.1, 0.5], seeds=2, destination=destination, quiet=True)


def test_the_facts_are_json_and_name_what_was_measured(facts: dict[str, Any], home: Path) -> None:
    assert json.loads(json.dumps(facts)) == facts
    assert facts["protocol"]["name"] == "spair"
    assert (facts["images"], facts["pairs"], facts["seeds"]) == (5, 20, [3, 4])
    visible = sum(place is not None for seed in range(5) for place in sample_sets.places(seed))
    assert visible == 19
    assert facts["points"] == 20 * 4 - 2 * 4  # one image of five hides one keypoint
    assert facts["left_out"] == {}
    assert facts["backbone"].startswith("test_vit")
    assert len(facts["atlas_seconds"]) == 2


def test_the_shares_are_those_of_the_published_maps(facts: dict[str, Any], home: Path) -> None:
    shown = views(load(home / "set"), named("spair"))
    images = [view.measured for view in shown]
    opened = congeal.open(home / "result")  # the last run's: seed 4
    assert opened.publication.settings["seed"] == 4

    def carried(source: int, target: int, points: np.ndarray) -> np.ndarray:
        # For a backbone that knows nothing the set has nothing in common: it is measured, and not carried.
        return transfer(points, opened.maps(shown[source].name), opened.maps(shown[target].name)).xy

    ours = facts["methods"]["congeal"]
    assert ours["pck_by_seed"]["0.1"][1] == pytest.approx(pck(images, carried, 0.1))
    assert ours["pck"]["0.5"] == pytest.approx(np.median(ours["pck_by_seed"]["0.5"]))
    assert ours["pck"]["0.1"] <= ours["pck"]["0.5"]
    still = facts["methods"]["identity"]
    assert still["pck"]["0.1"] == pytest.approx(pck(images, identity(images), 0.1))
    assert still["cycle_pck"] == {"2": {"0.1": 100, "0.5": 100}, "3": {"0.1": 100, "0.5": 100}}
    assert set(facts["methods"]) == {"identity", "nearest_neighbour", "congeal"}


def test_what_is_broken_down_adds_up(facts: dict[str, Any]) -> None:
    runs = 2
    whole = facts["methods"]["congeal"]["pck_by_seed"]["0.1"]
    # A point has one keypoint, and two images: its source and its target.
    for rows, times in ((facts["keypoints"], 1), (facts["per_image"], 2)):
        points = [row["points"] for row in rows]
        assert sum(points) == times * runs * facts["points"]
        assert np.average([row["congeal"] for row in rows], weights=points) == pytest.approx(np.mean(whole))
        matched = np.average([row["nearest_neighbour"] for row in rows], weights=points)
        assert matched == pytest.approx(facts["methods"]["nearest_neighbour"]["pck"]["0.1"])
    assert [row["name"] for row in facts["keypoints"]] == list(sample_sets.NAMES)
    bins = facts["calibration"]["bins"]
    assert sum(row["points"] for row in bins) == runs * facts["points"]
    filled = [row for row in bins if row["points"]]
    error = sum(row["points"] * abs(row["confidence"] - row["correct"]) for row in filled)
    assert facts["calibration"]["expected_calibration_error"] == pytest.approx(
        error / (runs * facts["points"])
    )


def test_masks_are_measured(facts: dict[str, Any]) -> None:
    found = facts["saliency_iou"]
    assert set(found["images"]) == {f"{seed}.png" for seed in range(5)}
    assert found["mean"] == pytest.approx(np.mean(list(found["images"].values())))
    assert 0 < found["mean"] <= 1


def test_the_same_again_finds_everything_done(
    facts: dict[str, Any], home: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(home.rglob("*"))
    settings = tiny(weights, "seed=4")
    again = evaluate(home / "set", settings, alphas=[0.1, 0.5], destination=str(home / "result"), quiet=True)
    assert sorted(home.rglob("*")) == before  # the set's own folder was the source: nothing was copied
    ours = facts["methods"]["congeal"]["pck_by_seed"]
    assert again["methods"]["congeal"]["pck"] == {alpha: shares[1] for alpha, shares in ours.items()}


def test_squares_are_cut_for_cub_and_kept_beside_the_destination(tmp_path: Path, weights: Path) -> None:
    download = sample_sets.cub(tmp_path / "cub")
    asked = ("evaluate", download, "--dest", tmp_path / "out", "--json", *sets(weights))
    result = call(*asked, "--category", "001")
    facts = json.loads(result.stdout)
    assert facts["ok"]
    assert facts["protocol"]["name"] == "cub"
    assert facts["images"] == 4  # the fifth shows three keypoints
    assert facts["saliency_iou"] is None
    names = sorted(path.name for path in (tmp_path / "out-images").iterdir())
    assert names == ["0.png", "1.png", "3.png", "4.png"]
    assert set(congeal.open(tmp_path / "out").images["width"]) == {44}
    times = [path.stat().st_mtime_ns for path in (tmp_path / "out-images").iterdir()]
    more = call(*asked, "--category", "disc_bird", "--protocol", "cub-paper")
    assert json.loads(more.stdout)["protocol"]["exchange"] == "paper"
    assert [path.stat().st_mtime_ns for path in (tmp_path / "out-images").iterdir()] == times
    (tmp_path / "out-images" / "guest.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds guest\.png, which is not of this set"):
        evaluate(download, tiny(weights), category="001", destination=str(tmp_path / "out"))


def test_a_table_for_people(tmp_path: Path, weights: Path) -> None:
    folder = sample_sets.willow(tmp_path / "willow", 3)
    (folder / "disc(S)" / "0.png").write_bytes((folder / "disc(S)" / "0.png").read_bytes()[:300])
    (folder / "disc(S)" / "9.mat").write_bytes(b"")
    result = call("evaluate", folder / "disc(S)", "--alpha", "0.2", "--quiet", *sets(weights))
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    result = call("evaluate", folder / "disc(S)", "--alpha", "0.2", *sets(weights))
    assert result.exit_code == 0
    assert "PF-WILLOW disc(S): 2 images, 8 points in 2 pairs; protocol pf-willow, test_vit" in result.stdout
    assert "left out: 0.png: truncated" in result.stdout
    assert "left out: 9.png: it cannot be read: No such file" in result.stdout
    for words in ("PCK@0.2", "2-cycle", "nearest neighbour", "worst keypoints", "calibration error"):
        assert words in result.stdout
    assert "saliency" not in result.stdout


def test_masks_alone_are_enough(tmp_path: Path, weights: Path) -> None:
    document = sample_sets.document(3)
    for entry in document["images"].values():
        entry |= {"points": [], "bbox": None}
    folder = sample_sets.keypoints_json(tmp_path / "set", 3, masks=True, **document | {"keypoint_names": []})
    result = call("evaluate", folder, *sets(weights))
    assert result.exit_code == 0
    assert "saliency IoU" in result.stdout
    assert "PCK" not in result.stdout
    (folder / "masks").rename(tmp_path / "masks")
    result = call("evaluate", folder, *sets(weights))
    assert result.exit_code == 1
    assert "neither keypoints nor masks" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "spear"], "no protocol 'spear': there are spair, cub"),
        (["--alpha", "0"], "the threshold 0 is no share"),
        (["--alpha", "nan"], "the threshold nan is no share"),
        (["--seeds", "0"], "--seeds 0 leaves nothing to measure"),
        (["--category", "cat"], "has no categories"),
        (["--set", "seed=high"], "seed"),
    ],
)
def test_what_cannot_be_asked(home: Path, weights: Path, options: list[str], words: str) -> None:
    result = call("evaluate", home / "set", *sets(weights), *options)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_a_folder_that_is_no_set(tmp_path: Path, weights: Path) -> None:
    result = call("evaluate", tmp_path, *sets(weights), "--json")
    assert result.exit_code == 1
    assert "no annotated set" in json.loads(result.stdout)["error"]


def test_a_mask_that_does_not_fit_is_named(tmp_path: Path, weights: Path) -> None:
    folder = sample_sets.keypoints_json(tmp_path / "set", 2, masks=True)
    (folder / "masks" / "1.png").write_bytes(encoded(np.zeros((20, 30), np.uint8)))
    with pytest.raises(CongealError, match=r"1\.png has 30 x 20 pixels, and its image 80 x 60"):
        evaluate(folder, tiny(weights), quiet=True)


def shared() -> Path:
    return Path(os.environ.get("CONGEAL_SHARED") or Path(__file__).parents[3].parent / "shared")


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (shared() / "weights").is_dir(), reason="no real weights")
def test_ducks_are_aligned_better_than_matched() -> None:
    weights = shared() / "weights" / "vit_small_patch14_dinov2.dav2.fp16.safetensors"
    settings = load_settings(None, [f"features.weights={weights}", "engine.kind=loop"], environ={})
    facts = evaluate(shared() / "data" / "pf_willow" / "duck_S", settings, quiet=True)
    shares = {name: method["pck"]["0.1"] for name, method in facts["methods"].items()}
    assert facts["points"] == 900
    assert shares["congeal"] > shares["nearest_neighbour"] > shares["identity"]
