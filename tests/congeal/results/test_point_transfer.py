from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, known, maps_of, opened
from placed_maps import from_atlas
from sample_runs import aligned, weights

import congeal
from congeal.errors import CongealError
from infra.errors import UserError

__all__ = ["aligned", "known", "opened", "weights"]

POINTS = np.array([[32.0, 30.0], [40.0, 35.0]])  # of a/0.png, 80 x 60
FITTING = ["a/0.png", "a/1.png", "a/2.png", "a/3.png"]


def test_many_targets_are_each_as_one(opened: Any) -> None:
    names = ["a/1.png", "a/misfit.png", "a/3.png"]
    many = opened.transfer("a/0.png", POINTS, names)
    assert list(many.columns) == ["target", "point", "x", "y", "confidence", "visible"]
    assert many["target"].tolist() == [name for name in names for _ in POINTS]
    assert many["point"].tolist() == [0, 1] * 3
    for name in names:
        one = opened.transfer("a/0.png", POINTS, name)
        part = many[many["target"] == name][list(one.columns)].reset_index(drop=True)
        assert part.equals(one)


def test_points_go_where_the_poses_say(opened: Any) -> None:
    # a/1.png shows what a/0.png shows at twice the size.
    found = opened.transfer("a/0.png", POINTS, "a/1.png")
    np.testing.assert_allclose(found[["x", "y"]], POINTS * 2 + 0.5, atol=1e-4)
    np.testing.assert_allclose(found["confidence"], 0.8, atol=1e-6)


def test_all_targets_are_the_others_that_fit(opened: Any) -> None:
    everything = opened.transfer("a/0.png", POINTS, "all")
    assert everything["target"].unique().tolist() == FITTING[1:]
    assert opened.transfer("a/0.png", np.zeros((0, 2)), "all").empty
    # Copies of an image are one image.
    assert opened.transfer("a/copy.png", POINTS, "all").equals(everything)


def test_slabs_change_nothing(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened.transfer("a/0.png", POINTS, "all")
    monkeypatch.setattr("congeal.results.stored.maps.SLAB", 2)
    monkeypatch.setattr("infra.storage.zarr_shards.WHOLE", 0)
    assert opened.transfer("a/0.png", POINTS, "all").equals(before)


def test_landmarks_of_all_images(opened: Any) -> None:
    table = opened.landmarks(POINTS, "a/0.png", names=["beak", "eye"])
    assert list(table.columns) == ["image", "image_id", "point", "x", "y", "confidence", "visible", "origin"]
    assert table["image"].unique().tolist() == FITTING
    own = table[table["image"] == "a/0.png"]
    assert own[["x", "y"]].to_numpy().tolist() == POINTS.tolist()
    assert own["confidence"].tolist() == [1, 1]
    assert own["point"].tolist() == ["beak", "eye"]
    other = table[table["image"] == "a/2.png"].reset_index(drop=True)
    assert other[["x", "y"]].equals(opened.transfer("a/0.png", POINTS, "a/2.png")[["x", "y"]])
    assert set(other["origin"]) == {"a/0.png"}


def test_landmarks_of_several_images_are_combined(opened: Any) -> None:
    marks = np.stack([POINTS, [[66.0, 62.0], [np.nan, np.nan]]])
    table = opened.landmarks(marks, ["a/0.png", "a/1.png"]).set_index(["image", "point"])
    alone = opened.landmarks(POINTS, "a/0.png").set_index(["image", "point"])
    # The second image does not show the second point: that is the first image's alone, even in the second.
    for name in FITTING[1:]:
        assert table.loc[(name, 1), "x"] == pytest.approx(alone.loc[(name, 1), "x"])
    assert table.loc[("a/1.png", 0), "x"] == 66.0
    # In between: the first says 32, the second half of 66.
    other = opened.transfer("a/1.png", [[66.0, 62.0]], "a/3.png")["x"][0]
    middle = (alone.loc[("a/3.png", 0), "x"] + other) / 2
    assert table.loc[("a/3.png", 0), "x"] == pytest.approx(middle, abs=1e-3)
    assert table.loc[("a/3.png", 0), "origin"] == "a/0.png, a/1.png"


def test_landmarks_of_the_atlas(opened: Any) -> None:
    uv = np.array([[0.0, 0.0], [0.2, -0.3]])
    found = opened.landmarks(uv, atlas=BIRDS, to="a/3.png")
    maps = maps_of("a/3.png")
    np.testing.assert_allclose(found[["x", "y"]], from_atlas(uv, maps)[0], atol=1e-3)
    assert set(found["origin"]) == {f"atlas {BIRDS}"}
    with pytest.raises(UserError, match=r"Point 1 at \(0, 1.5\) lies outside the atlas"):
        opened.landmarks([[0, 0], [0, 1.5]], atlas=BIRDS)


def test_landmarks_of_the_atlas_are_those_of_the_index(aligned: Path) -> None:
    opened = congeal.open(aligned / "destination")
    cluster = opened.clusters["cluster_id"][0]
    index = opened.correspondences(cluster=cluster, image="a/1.png")
    found = opened.landmarks(index[["u", "v"]].to_numpy(), atlas=cluster, to=["a/1.png"])
    np.testing.assert_allclose(found["x"], index["x"], atol=1e-3)
    np.testing.assert_allclose(found["y"], index["y"], atol=1e-3)


def test_a_target_in_another_cluster_is_named(opened: Any) -> None:
    with pytest.raises(UserError, match=r"'a/0.png' and 'b/0.png' are in different .* no correspondence"):
        opened.transfer("a/0.png", [[1, 1]], ["a/1.png", "b/0.png"])
    with pytest.raises(UserError, match=r"'b/0.png' is in the cluster .* no correspondence exists"):
        opened.landmarks([[1, 1]], "a/0.png", to=["b/0.png"])
    with pytest.raises(UserError, match="is an outlier"):
        opened.landmarks([[1, 1]], "c/outlier.png")
    with pytest.raises(UserError, match="could not be used: not an image"):
        opened.transfer("a/0.png", [[1, 1]], ["broken.jpg"])


def test_an_image_that_does_not_fit_is_no_source(opened: Any) -> None:
    with pytest.raises(UserError, match=r"'a/misfit.png' does not fit its atlas \(few matches\)"):
        opened.landmarks([[1, 1]], "a/misfit.png")
    # Beside one that fits, it keeps what is marked on it, and has no say elsewhere.
    both = opened.landmarks(np.stack([POINTS, POINTS]), ["a/misfit.png", "a/0.png"])
    alone = opened.landmarks(POINTS, "a/0.png")
    part = both[both["image"] == "a/2.png"].reset_index(drop=True)
    assert part.equals(alone[alone["image"] == "a/2.png"].reset_index(drop=True))
    assert both[both["image"] == "a/misfit.png"]["x"].tolist() == POINTS[:, 0].tolist()


def test_landmarks_that_make_no_sense(opened: Any) -> None:
    with pytest.raises(UserError, match="Say where the points are"):
        opened.landmarks(POINTS)
    with pytest.raises(UserError, match="Say where the points are"):
        opened.landmarks(POINTS, "a/0.png", atlas="c1")
    with pytest.raises(UserError, match="Points of 2 images have the shape"):
        opened.landmarks(POINTS, ["a/0.png", "a/1.png"])
    with pytest.raises(UserError, match="Two landmarks are called 'x'"):
        opened.landmarks(POINTS, "a/0.png", names=["x", "x"])
    with pytest.raises(UserError, match="2 points and 1 name were"):
        opened.landmarks(POINTS, "a/0.png", names=["x"])
    with pytest.raises(
        CongealError, match=r"point 0 at \(500, 1\) lies outside the image 'a/0.png' of 80 x 60"
    ):
        opened.landmarks([[500, 1]], "a/0.png")


def test_shapes_of_landmarks(opened: Any) -> None:
    marks = np.array([[30.0, 25.0], [40.0, 25.0], [40.0, 35.0], [30.0, 35.0]])
    table = opened.landmarks(marks, "a/0.png")
    # Similarities are what Procrustes alignment takes out: such maps carry size, and nothing else of a shape.
    measured = opened.shapes(table, components=0)
    np.testing.assert_allclose(measured.shapes.distances, 0, atol=1e-4)
    sizes = measured.table.set_index("image")["size"]
    assert sizes["a/0.png"] == pytest.approx(np.sqrt(200))
    assert sizes["a/1.png"] == pytest.approx(2 * np.sqrt(200), rel=1e-4)
    assert list(measured.table.columns) == ["image", "size", "distance"]
    table.loc[(table["image"] == "a/2.png") & (table["point"] == 2), ["x", "y"]] = np.nan
    measured = opened.shapes(table, components=0)
    assert measured.left_out == {"a/2.png": 1}
    assert measured.images == ("a/0.png", "a/1.png", "a/3.png")
    with pytest.raises(UserError, match="no column point"):
        opened.shapes(table.drop(columns="point"))
    with pytest.raises(UserError, match="have all landmarks: two are the least"):
        opened.shapes(table[table["image"] == "a/0.png"])


@pytest.mark.parametrize("components", [None, 1, 4])
def test_of_what_rigid_maps_carry_there_are_no_components(opened: Any, components: int | None) -> None:
    marks = np.array([[30.0, 25.0], [40.0, 25.0], [40.0, 35.0], [30.0, 35.0]])
    table = opened.landmarks(marks, "a/0.png")
    with pytest.raises(
        UserError, match=r"of 3 of 4 images .* by rigid maps, .* copies of one shape"
    ) as caught:
        opened.shapes(table, components)
    assert "\n" not in str(caught.value)
    # Nor of what comes from the atlas, or where nobody says where it comes from.
    with pytest.raises(UserError, match="of 4 of 4 images were transferred by rigid maps"):
        opened.shapes(opened.landmarks([[-0.3, -0.3], [0.3, -0.3], [0.0, 0.4]], atlas=BIRDS), components)
    with pytest.raises(UserError, match="the same but for place, turn and size: nothing varies"):
        opened.shapes(table.drop(columns="origin"), components)


def test_shapes_that_were_marked_by_hand_are_measured_whatever_the_maps(opened: Any) -> None:
    marks = np.array([[30.0, 25.0], [40.0, 25.0], [40.0, 35.0], [30.0, 35.0]])
    others = np.stack([marks, marks + np.array([[3.0, 0.0], [0, 0], [0, 0], [0, 5.0]]), marks[::-1] * 0.8])
    table = opened.landmarks(others, ["a/0.png", "a/2.png", "a/3.png"])
    measured = opened.shapes(table)
    assert measured.images == ("a/0.png", "a/2.png", "a/3.png")
    # What was carried to the fourth says nothing of its shape.
    assert measured.left_out == {"a/1.png": 4}
    assert measured.space.share[0] > 0.5
    assert measured.space.components.shape == (2, 4, 2)
    # One of them with a landmark that somebody else knows: it is a copy there.
    gap = others.copy()
    gap[2, 1] = np.nan
    measured = opened.shapes(opened.landmarks(gap, ["a/0.png", "a/2.png", "a/3.png"]))
    assert measured.left_out == {"a/1.png": 4, "a/3.png": 1}
    # Marks of images that are not known here are whoever's.
    strangers = table.assign(image="z/" + table["image"].astype(str), origin=None)
    with pytest.raises(UserError, match="by rigid maps"):
        opened.shapes(table[table["image"].isin(["a/0.png", "a/1.png"])])
    assert len(opened.shapes(strangers).images) == 4


def test_landmarks_of_a_copy_are_those_of_the_image(opened: Any) -> None:
    table = opened.landmarks(POINTS, "a/copy.png")
    for name in ("a/copy.png", "a/0.png"):
        own = table[table["image"] == name]
        assert own[["x", "y"]].to_numpy().tolist() == POINTS.tolist()
        assert set(own["origin"]) == {"a/copy.png"}
