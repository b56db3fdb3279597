"""Images that are no members, fitted to a published cluster: from Python and from the command line."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_runs import LITTLE_IN_COMMON, folder, picture, run, tiny
from sample_runs import weights as weights  # noqa: PLC0414  a fixture
from typer.testing import CliRunner

import congeal
from congeal.errors import CongealError, ImageError
from congeal.neural.config import NETWORKS, SCHEDULES, NetworkSize, Schedule
from congeal.results.new_images import read_maps
from flows.cli import app
from infra.errors import UserError
from infra.storage.location import Location
from tasks.maintenance.forget import forget


def few(count: int) -> dict[str, bytes]:
    return {f"a/{seed}.png": picture(0, seed, ((80, 60), (64, 84))[seed % 2]) for seed in range(count)}


def everything_in(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A destination whose one cluster has networks."""
    place = tmp_path_factory.mktemp("new_images")
    source = folder(place / "source", few(6))
    with pytest.MonkeyPatch.context() as patch:
        size = NetworkSize("small", 16, 8, (8, 8), 8, 2, pixels=False)
        patch.setitem(NETWORKS, "small", size)
        short = Schedule("fast", 12, 4e-3, 1, 0, 6, 2e-5, 1e-3, mirrors=False)
        patch.setitem(SCHEDULES, "fast", short)
        settings = tiny(weights, LITTLE_IN_COMMON, "alignment.method=neural", "alignment.second_look=off")
        run(source, place / "out", settings)
    return place / "out"


def the_cluster(made: Path) -> Any:
    opened = congeal.open(made)
    return opened.cluster(opened.clusters["cluster_id"][0])


def sure_members(opened: Any) -> list[str]:
    """The members by how much of the atlas they show, outliers left out.

    With random weights it depends on the processor's arithmetic which images of the set are told apart.
    """
    fitting = opened.alignments[~opened.alignments["outlier"]].sort_values("coverage", ascending=False)
    uris = opened.images.set_index("image_id")["uri"]
    return [uris[image] for image in fitting["image_id"]]


@pytest.mark.parametrize("way", ["steps", "network", "network+steps"])
def test_a_new_image_gets_maps_and_the_collection_stays_as_it_is(made: Path, way: Any) -> None:
    before = everything_in(made)
    new = the_cluster(made).fit(picture(0, 3, (90, 70)), way, force=True)
    assert (new.way, new.maps.frame.width, new.maps.frame.height) == (way, 90, 70)
    assert new.maps.forward.shape == (16, 16, 2)
    assert new.maps.backward.shape == (12, 12, 2)
    assert np.isfinite(new.maps.forward).all()
    assert new.score > 0
    assert everything_in(made) == before


def test_an_atlas_whose_template_went_with_a_forgotten_image_is_named(made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(made, tmp_path / "out")
    forget(Location.parse(place), sure_members(congeal.open(place))[:1])
    with pytest.raises(UserError, match=r"Nothing can be fitted to the cluster .* was forgotten"):
        the_cluster(place).fit(picture(0, 3, (90, 70)), force=True)


@pytest.mark.slow
def test_a_member_of_a_collection_at_any_angle_lies_where_it_lies_there(
    tmp_path: Path, weights: Path
) -> None:
    files = few(5)
    for turn, name in enumerate(sorted(files)):
        turned = Image.open(io.BytesIO(files[name])).rotate(90 * turn, expand=True)
        data = io.BytesIO()
        turned.save(data, "png")
        files[name] = data.getvalue()
    source = folder(tmp_path / "source", files)
    any_angle = ("alignment.rotation=any", "alignment.second_look=off")
    run(source, tmp_path / "out", tiny(weights, LITTLE_IN_COMMON, *any_angle))
    opened = congeal.open(tmp_path / "out")
    member = sure_members(opened)[0]
    new = the_cluster(tmp_path / "out").fit(source / member, force=True)
    assert new.way == "steps"
    known = opened.maps(member)
    assert new.maps.forward.shape == known.forward.shape
    # Its exemplars are the member itself, at the angle at which it was found.
    salient = opened.atlas(new.cluster_id).saliency > 0.5
    off = np.linalg.norm(new.maps.forward - known.forward, axis=-1)[salient]
    assert np.median(off) < 0.1 * max(known.frame.width, known.frame.height)


def test_a_member_that_is_fitted_lies_where_it_lies_in_the_collection(made: Path) -> None:
    opened = congeal.open(made)
    source = Path(opened.source.url.removeprefix("file://"))
    member, other, *_ = sure_members(opened)
    new = the_cluster(made).fit(source / member, "steps", force=True)
    known = opened.maps(member)
    sure = known.forward_confidence > 0.5
    off = np.linalg.norm(new.maps.forward - known.forward, axis=-1)[sure]
    assert sure.any()
    assert np.median(off) < 0.05 * 80
    # Points go to members and come back from them.
    points = [[32.0, 24.0]]
    wanted = opened.transfer(member, points, other)[["x", "y"]].to_numpy()
    assert np.abs(new.transfer_to(other, points).xy - wanted).max() < 8
    table = pd.DataFrame({"y": np.array(points)[:, 1], "x": np.array(points)[:, 0]})
    np.testing.assert_array_equal(new.transfer_to(other, table).xy, new.transfer_to(other, points).xy)
    with pytest.raises(UserError, match="give a whole number"):
        new.transfer_to(other, points, instance="a")
    wanted = opened.transfer(other, points, member)[["x", "y"]].to_numpy()
    assert np.abs(new.transfer_from(other, points).xy - wanted).max() < 8


def test_the_way_that_always_can_be_had_is_the_default(made: Path) -> None:
    one, two = (the_cluster(made).fit(picture(0, 3), way, force=True) for way in ("auto", "steps"))
    assert one.way == "steps"
    np.testing.assert_array_equal(one.maps.forward, two.maps.forward)


def test_an_image_unlike_the_cluster_is_refused_with_its_score_unless_forced(made: Path) -> None:
    cluster = the_cluster(made)
    plain = np.full((60, 80, 3), 128, np.uint8)
    with pytest.raises(UserError, match=r"is unlike the cluster \w+ \(score \d\.\d\d\): it "):
        cluster.fit(plain)
    forced = cluster.fit(plain, force=True)
    assert forced.unlike is not None


def test_an_image_may_be_given_in_any_form(made: Path, tmp_path: Path) -> None:
    data = picture(0, 3)
    (tmp_path / "new.png").write_bytes(data)
    pixels = np.asarray(Image.open(tmp_path / "new.png").convert("RGB"))
    found = [
        the_cluster(made).fit(one, force=True).maps.forward
        for one in (data, tmp_path / "new.png", str(tmp_path / "new.png"), pixels, Image.fromarray(pixels))
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-3)


def test_what_cannot_be_done_is_said_in_a_sentence(made: Path) -> None:
    cluster = the_cluster(made)
    with pytest.raises(UserError, match="mapped by auto, network, network"):
        cluster.fit(picture(0, 3), "guess")
    with pytest.raises(ImageError, match=r"the image 'nowhere\.png' is not mapped: cannot be read"):
        cluster.fit("nowhere.png")
    with pytest.raises(UserError, match="There is no cluster 'x'"):
        congeal.open(made).cluster("x")


def test_a_cluster_says_what_was_trained_and_which_maps_were_kept(made: Path) -> None:
    cluster = the_cluster(made)
    assert cluster.has_networks
    assert cluster.training["kept"] in {"direct", "fitted", "refined"}
    assert set(cluster.training["explained"]) == {"direct", "fitted", "refined"}


def test_a_cluster_without_networks_has_the_steps(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", few(5))
    run(source, tmp_path / "out", tiny(weights, LITTLE_IN_COMMON))
    cluster = the_cluster(tmp_path / "out")
    assert cluster.fit(picture(0, 9), force=True).way == "steps"
    assert cluster.training == {}
    with pytest.raises(
        UserError, match=r"has no networks: fit with steps, or run with alignment\.method=neural"
    ):
        cluster.fit(picture(0, 9), "network")


def test_weights_that_are_not_the_runs_are_refused(made: Path, weights: Path, tmp_path: Path) -> None:
    import safetensors.torch

    state = {name: value + 1 for name, value in safetensors.torch.load_file(weights).items()}
    with pytest.raises(UserError, match="are not those of the run"):
        the_cluster(made).fit(picture(0, 3), weights=safetensors.torch.save(state))
    other = tmp_path / "moved.safetensors"
    other.write_bytes(weights.read_bytes())
    assert the_cluster(made).fit(picture(0, 3), weights=str(other), force=True).score > 0


@pytest.fixture
def seen_in_windows(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("congeal.alignment.selection.second_look.better", lambda *_: True)
    always = ("atlases.solver.second_look.least_zoom=1", "atlases.solver.second_look.most_zoom=2")
    run(folder(tmp_path / "source", few(6)), tmp_path / "out", tiny(weights, LITTLE_IN_COMMON, *always))
    return tmp_path / "out"


def test_in_a_cluster_seen_in_windows_a_new_image_gets_one_of_its_own(seen_in_windows: Path) -> None:
    opened = congeal.open(seen_in_windows)
    source = Path(opened.source.url.removeprefix("file://"))
    member = sure_members(opened)[0]
    new = the_cluster(seen_in_windows).fit(source / member, force=True)
    known = opened.maps(member)
    sure = known.forward_confidence > 0.3
    off = np.linalg.norm(new.maps.forward - known.forward, axis=-1)
    assert np.median(off[sure] if sure.any() else off) < 0.1 * 80


def test_the_command_writes_maps_that_transfer_takes(made: Path, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(picture(0, 3))
    (tmp_path / "plain.png").write_bytes(_plain())
    asked = ["fit", str(made), str(tmp_path / "new.png"), str(tmp_path / "plain.png")]
    more = ["--with", "steps", "--out", str(tmp_path / "maps"), "--json"]
    answer = CliRunner().invoke(app, [*asked, *more])
    assert answer.exit_code == 0, answer.output
    one, two = json.loads(answer.stdout)["images"]
    assert one["way"] == "steps"
    assert one["maps"] == str(tmp_path / "maps" / "new.npz")
    assert f"The image {str(tmp_path / 'plain.png')!r} is unlike the cluster" in two["refused"]
    maps, cluster = read_maps((tmp_path / "maps" / "new.npz").read_bytes())
    assert (maps.frame.width, maps.frame.height) == (80, 60)
    assert cluster == json.loads(answer.stdout)["cluster_id"]
    (tmp_path / "points.csv").write_text("x,y\n32,24\n")
    carried = {}
    for source, target in ((one["maps"], "a/4.png"), ("a/4.png", one["maps"])):
        words = ["transfer", str(made), "--from", source, "--to", target, "--points"]
        answer = CliRunner().invoke(app, [*words, str(tmp_path / "points.csv")])
        assert answer.exit_code == 0, answer.output
        (row,) = csv.DictReader(answer.stdout.splitlines())
        carried[source] = float(row["x"]), float(row["y"])
    assert all(np.isfinite(list(carried.values())).flatten())


def test_images_that_cannot_be_read_stop_no_others(made: Path, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(picture(0, 3))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken, gone = str(tmp_path / "broken.png"), str(tmp_path / "gone.png")
    answer = CliRunner().invoke(app, ["fit", str(made), broken, gone, str(tmp_path / "new.png"), "--json"])
    assert answer.exit_code == 0, answer.output
    first, second, third = json.loads(answer.stdout)["images"]
    assert "broken.png" in first["refused"]
    assert "gone.png" in second["refused"]
    assert third["score"] > 0.3
    answer = CliRunner().invoke(app, ["fit", str(made), broken, gone])
    assert answer.exit_code == 1
    assert "broken.png" in answer.output


def test_maps_that_are_there_are_not_replaced_unasked(made: Path, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(picture(0, 3))
    asked = ["fit", str(made), str(tmp_path / "new.png")]
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "new.npz").write_bytes(b"mine")
    again = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "maps")])
    assert again.exit_code == 1
    assert "say --overwrite" in again.output
    assert (tmp_path / "maps" / "new.npz").read_bytes() == b"mine"


def _plain() -> bytes:
    from sample_runs import encoded

    return encoded(np.full((60, 80, 3), 128, np.uint8))


def test_what_is_no_file_of_maps_is_refused() -> None:
    for data in (b"", b"PK\x03\x04", b"\x80\x02x"):
        with pytest.raises(CongealError, match="no file of maps"):
            read_maps(data)
