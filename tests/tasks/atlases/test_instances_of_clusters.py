"""Images that show several of a kind: from the atlas' unit to tables, SQL, transfer, and forgetting."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_reader
from rich.console import Console
from sample_runs import LITTLE_IN_COMMON, folder, picture, run, tiny
from typer.testing import CliRunner

import congeal
from congeal.alignment.atlas_fitting import fit
from congeal.alignment.further_instances import Instances, Known
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.transfer.annotations import Annotation
from flows.cli import app
from flows.console.summary import show_run
from flows.runs.report import sentence
from infra.errors import UserError
from infra.ledger.sealed_text import opened_text

ASKED = (LITTLE_IN_COMMON, "alignment.second_look=off", "alignment.instances_max=3")


def found(known: Known, arrays: ImageArrays, most: int, **job: Any) -> Instances:
    """Two more in the first image that is asked for, one in the second, each where the first is."""
    from congeal.alignment.model import picked

    assert most == 3
    job.pop("turned")
    rows = [0, 0, 1] if len(known.good) > 1 else []
    if not rows:
        return Instances(np.zeros(0, np.int64), np.zeros(0, np.int32), None)
    aligned = fit(
        known.atlas,
        arrays.features,
        arrays.saliency,
        mirrored_features=arrays.mirrored_features,
        mirrored_saliency=arrays.mirrored_saliency,
        valid=arrays.valid,
        **job,
    )
    return Instances(np.array(rows), np.array([1, 2, 1], np.int32), picked(aligned, rows))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    home = tmp_path_factory.mktemp("several")
    files = {f"a/{seed}.png": picture(0, seed, (80, 60)) for seed in range(6)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("congeal.alignment.further_instances.further_instances", found)
        facts = run(folder(home / "source", files), home / "out", tiny(weights, *ASKED))
    assert facts["further_instances"] == {"found": 3, "images": 2}
    assert "3 further instances in 2 images" in sentence(facts)
    console = Console(file=io.StringIO(), record=True, width=200)
    show_run(facts, console)
    assert "several of a kind: 2 images show 3 more besides the first" in console.export_text()
    return home / "out"


def test_tables_have_rows_for_every_instance(several: Path) -> None:
    c = congeal.open(several)
    rows = c.alignments
    assert len(c.images) == 6
    assert sorted(rows["instance_id"].tolist()) == [0] * 6 + [1, 1, 2]
    assert rows.sort_values(["cluster_id", "image_id", "instance_id"]).index.tolist() == rows.index.tolist()
    points = c.correspondences()
    each = points.groupby(["image_id", "instance_id"]).size()
    assert len(each) == 9
    assert each.nunique() == 1
    order = points.sort_values(["cluster_id", "image_id", "instance_id", "point_id"], kind="stable")
    assert order.index.tolist() == points.index.tolist()
    with_three = rows.loc[rows["instance_id"] == 2, "image_id"].iloc[0]
    assert c.instances(with_three) == (0, 1, 2)
    sql = c.sql("SELECT instance_id, count(*) AS n FROM landmarks GROUP BY ALL ORDER BY ALL")
    assert sql["instance_id"].tolist() == [0, 1, 2]
    said = json.loads(CliRunner().invoke(app, ["status", str(several), "--json"]).stdout)
    assert said["further_instances"] == {"found": 3, "images": 2}


def of_three(c: Any) -> tuple[str, str]:
    """The paths of the image with three instances and of one with one."""
    rows = c.alignments.merge(c.images[["image_id", "uri"]])
    three = rows.loc[rows["instance_id"] == 2, "uri"].iloc[0]
    return three, next(uri for uri in rows["uri"] if (rows["uri"] == uri).sum() == 1)


def test_the_macros_tell_of_every_instance(several: Path) -> None:
    c = congeal.open(several)
    three, plain = of_three(c)
    (cluster,) = c.clusters["cluster_id"]
    point = int(c.correspondences()["point_id"].iloc[0])
    for call in (f"landmark('{cluster}', {point})", f"everywhere('{plain}', 40, 30)"):
        found = c.sql(f"SELECT uri, instance_id FROM {call} ORDER BY ALL")
        assert len(found) == 9
        assert found.loc[found["uri"] == three, "instance_id"].tolist() == [0, 1, 2]
    there = c.sql(f"FROM where_is('{plain}', 40, 30, '{three}') ORDER BY instance_id")
    assert there["instance_id"].tolist() == [0, 1, 2]
    whole = c.sql(f"FROM everywhere('{plain}', 40, 30) WHERE uri = '{three}' ORDER BY instance_id")
    np.testing.assert_allclose(there[["x", "y", "confidence"]], whole[["x", "y", "confidence"]])
    # What a pixel lies on is the instance whose points are the nearest.
    points = c.sql(f"FROM landmarks WHERE uri = '{three}' AND instance_id = 1 AND visible LIMIT 1")
    if len(points):
        x, y = points[["x", "y"]].iloc[0]
        back = c.sql(f"FROM where_is('{three}', {x}, {y}, '{three}')")
        assert np.hypot(back["x"] - x, back["y"] - y).min() < 8


def test_what_is_marked_goes_to_every_instance(several: Path, tmp_path: Path) -> None:
    c = congeal.open(several)
    three, plain = of_three(c)
    eyes = Annotation(plain, "eyes", keypoints=np.array([[40.0, 30.0], [20.0, 25.0]]))
    carried = list(c.propagate_annotations([eyes], to=[three], marked=False))
    assert [one.place for one in carried] == [None, 1, 2]
    moved = c.transfer_to_instances(plain, eyes.keypoints, three)
    for number, one in enumerate(carried):
        at = moved.loc[moved["instance_id"] == number, ["x", "y"]].to_numpy()
        np.testing.assert_allclose(np.nan_to_num(one.keypoints, nan=-1)[0], at[0], atol=0.01)
    assert len(list(c.propagate_annotations([eyes], to=[three], instances=False))) == 1
    # Whoever has marked an image has looked at it: it stays as it is marked.
    own = replace(eyes, image=three)
    assert [one.image for one in c.propagate_annotations([own], to=[three])] == [three]
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:60] = True
    (first,), (every,) = (
        list(c.propagate(mask, plain, to=[three], instances=instances)) for instances in (False, True)
    )
    assert (every.pixels >= first.pixels).all()
    (kept,) = c.propagate(mask, three, to=[three])
    np.testing.assert_array_equal(kept.pixels, mask * np.uint8(255))
    assert c.instance_at(plain, [[40, 30]]) == 0
    assert c.instance_at(three, [[40, 30]]) in (0, 1, 2)


def test_landmarks_and_shapes_are_of_every_instance_that_is_asked_for(several: Path) -> None:
    c = congeal.open(several)
    three, plain = of_three(c)
    given = [[40.0, 30.0], [20.0, 25.0], [30.0, 40.0]]
    first, every = (c.landmarks(given, plain, instances=instances) for instances in (False, True))
    assert "instance_id" not in first
    assert every.columns.tolist()[:4] == ["image", "image_id", "instance_id", "point"]
    np.testing.assert_array_equal(every[every["instance_id"] == 0][["x", "y"]], first[["x", "y"]])
    mine = every[every["image"] == three]
    assert mine["instance_id"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    own = c.landmarks(given, three, instances=True)
    by_hand = own[own["confidence"] == 1]
    assert by_hand[["x", "y"]].to_numpy().tolist() == given
    assert set(by_hand["instance_id"]) == {c.instance_at(three, given)}
    known = every.assign(confidence=1.0, origin=every["image"])
    known[["x", "y"]] = np.random.default_rng(0).uniform(0, 60, (len(known), 2))
    shapes = c.shapes(known, components=1)
    assert {three, f"{three}#1", f"{three}#2"} <= set(shapes.images)
    assert len(c.shapes(known, components=1, groups="cluster_id").group_table) == 1


def test_the_report_has_the_maps_of_every_instance(several: Path) -> None:
    told = CliRunner().invoke(app, ["report", str(several)])
    assert told.exit_code == 0, told.output
    facts = report_reader.index(several / "report")
    head, home = report_reader.cluster(several / "report", facts, 0)
    assert head["several"] == [3, 2]
    (page,), key = head["pages"], f"{head['id']}/0"
    further = report_reader.script(home / page["script"], f"members/{key}")["rows"]["further"]
    assert sorted(len(one) for one in further) == [0, 0, 0, 0, 1, 2]
    maps = report_reader.script(home / page["maps"], f"maps/{key}")
    assert maps["further"]["forward"]["shape"][0] == 3


def test_a_new_image_is_mapped_with_all_that_it_shows(
    several: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(known: Known, arrays: ImageArrays, most: int, **job: Any) -> Instances:
        job.pop("turned")
        aligned = fit(known.atlas, arrays.features, arrays.saliency, **job)
        return Instances(np.zeros(1, np.int64), np.ones(1, np.int32), aligned)

    monkeypatch.setattr("congeal.alignment.further_instances.further_instances", twice)
    c = congeal.open(several)
    three, _ = of_three(c)
    (cluster,) = c.clusters["cluster_id"]
    data = picture(0, 12, (80, 60))
    new = c.cluster(cluster).fit(data, force=True)
    assert len(new.further) == 1
    assert new.transfer_to(three, [[40, 30]], instance=1).xy.shape == (1, 2)
    with pytest.raises(UserError, match="no instance 2: it has 2"):
        new.transfer_from(three, [[40, 30]], instance=2)
    assert c.cluster(cluster).fit(data, force=True, instances=1).further == ()
    (tmp_path / "new.png").write_bytes(data)
    command = ["fit", str(several), str(tmp_path / "new.png"), "--force", "--out", str(tmp_path / "maps")]
    for _ in range(2):
        told = CliRunner().invoke(app, [*command, "--overwrite", "--json"])
        assert told.exit_code == 0, told.output
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"new.npz", "new.instance-1.npz"}
    assert json.loads(told.stdout)["images"][0]["instances"] == 2


def test_points_go_to_every_instance(several: Path, tmp_path: Path) -> None:
    c = congeal.open(several)
    rows = c.alignments.merge(c.images[["image_id", "uri"]])
    three = rows.loc[rows["instance_id"] == 2, "uri"].iloc[0]
    plain = next(uri for uri in rows["uri"] if (rows["uri"] == uri).sum() == 1)
    given = [[40.0, 30.0], [20.0, 25.0]]
    moved = c.transfer_to_instances(plain, given, three)
    assert moved["instance_id"].tolist() == [0, 0, 1, 1, 2, 2]
    assert moved["point"].tolist() == [0, 1] * 3
    first = c.transfer(plain, given, three)
    np.testing.assert_array_equal(moved[["x", "y"]].iloc[:2], first[["x", "y"]])
    there = c.maps(three, instance=2)
    assert there.forward.shape == c.maps(three).forward.shape
    back = c.transfer_to_instances(three, given, "all", instance=1)
    assert {0, 2} <= set(back.loc[back["target"] == three, "instance_id"])
    assert 1 not in set(back.loc[back["target"] == three, "instance_id"])
    with pytest.raises(UserError, match=r"no instance 7: it has 0, 1, 2"):
        c.maps(three, instance=7)
    marks = tmp_path / "in.csv"
    marks.write_text("x,y\n40,30\n")
    command = ["transfer", str(several), "--from", plain, "--to", three, "--points", str(marks)]
    said = CliRunner().invoke(app, [*command, "--instances"])
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert lines[0] == "target,instance_id,x,y,confidence,visible"
    assert [line.split(",")[1] for line in lines[1:]] == ["0", "1", "2"]


def test_what_was_found_is_sound_and_stays_when_the_cluster_grows(
    several: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("congeal.alignment.further_instances.further_instances", found)
    verified = CliRunner().invoke(app, ["verify", str(several)])
    assert verified.exit_code == 0, verified.output
    before = congeal.open(several)
    maps = {
        (row.image_id, int(row.instance_id)): before.maps(row.image_id, instance=int(row.instance_id)).forward
        for row in before.alignments.itertuples()
    }
    source = several.parent / "source"
    (source / "a/9.png").write_bytes(picture(0, 9, (80, 60)))
    run(source, several, tiny(weights, *ASKED))
    after = congeal.open(several)
    assert after.diff().further_instances == (3, len(after.alignments) - len(after.images))
    assert after.diff(1).further_instances[0] == 3
    for (image, number), forward in maps.items():
        np.testing.assert_array_equal(after.maps(image, instance=number).forward, forward)


def test_an_image_is_forgotten_with_all_its_instances(several: Path, tmp_path: Path) -> None:
    shutil.copytree(several, tmp_path / "out")
    c = congeal.open(tmp_path / "out")
    rows = c.alignments
    three = rows.loc[rows["instance_id"] == 2, "image_id"].iloc[0]
    held = len(rows) - (rows["image_id"] == three).sum()
    other = rows.loc[(rows["instance_id"] == 1) & (rows["image_id"] != three), "image_id"].iloc[0]
    before = c.maps(other, instance=1).forward
    told = CliRunner().invoke(app, ["forget", str(tmp_path / "out"), three])
    assert told.exit_code == 0, told.output
    after = congeal.open(tmp_path / "out")
    assert len(after.alignments) == held
    assert after.alignments["instance_id"].max() == 1
    said = json.loads(CliRunner().invoke(app, ["status", str(tmp_path / "out"), "--json"]).stdout)
    assert said["further_instances"] == {"found": 1, "images": 1}
    np.testing.assert_array_equal(after.maps(other, instance=1).forward, before)
    markers = [*(tmp_path / "out/stages/atlases").rglob("_commit.json")]
    records = [json.loads(opened_text(marker.read_bytes())[0])["record"] for marker in markers]
    assert {record["instances"]["found"] for record in records} == {1}
    assert three.encode() not in b"".join(
        path.read_bytes() for path in (tmp_path / "out/stages/atlases").rglob("*") if path.is_file()
    )
