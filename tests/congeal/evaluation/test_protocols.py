from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample_sets

from congeal.errors import CongealError
from congeal.evaluation.datasets import AnnotatedSet, load
from congeal.evaluation.protocols import PROTOCOLS, Crop, cut, named, pairs_of, views
from congeal.imaging.decoding import decode


@pytest.fixture
def annotated(tmp_path: Path) -> AnnotatedSet:
    return load(sample_sets.keypoints_json(tmp_path / "set", 7))


def test_whole_images_keep_their_names_frames_and_points(annotated: AnnotatedSet) -> None:
    for name in ("spair", "pf-willow", "landmarks"):
        for view, image in zip(views(annotated, named(name)), annotated.images, strict=True):
            assert (view.name, view.crop, view.measured.frame) == (image.name, None, image.frame)
            np.testing.assert_array_equal(view.measured.points, image.points)


def test_what_a_threshold_is_a_share_of(annotated: AnnotatedSet) -> None:
    def units(name: str) -> list[float]:
        return [view.measured.unit for view in views(annotated, named(name))]

    assert units("spair") == pytest.approx([40] * 7)  # the disc's box
    # From side to side; images 2 and 5 hide one.
    assert units("pf-willow") == pytest.approx([36, 36, 18, 36, 36, 18, 36])
    assert units("landmarks") == [80] * 7
    assert units("cub") == [44] * 5  # the box and a twentieth on each side


def test_a_square_shows_the_box_and_its_keypoints_move_along(annotated: AnnotatedSet) -> None:
    for view in views(annotated, named("cub")):
        assert view.crop is not None
        pixels = decode(view.image.path.read_bytes())
        shown = cut(pixels, view.crop)
        assert shown.shape == (44, 44, 3)
        whole, part = view.image.points[0].round().astype(int), view.measured.points[0].round().astype(int)
        np.testing.assert_array_equal(shown[part[1], part[0]], pixels[whole[1], whole[0]])
        corner = [view.crop.left, view.crop.top]
        np.testing.assert_allclose(view.measured.points + corner, view.image.points)


def test_a_square_beyond_the_image_repeats_its_edges() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    shown = cut(pixels, Crop(-2, 3, 12))
    expected = np.pad(pixels, ((0, 20), (2, 20), (0, 0)), mode="edge")[3:15, :12]
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(cut(pixels, Crop(2, 1, 4)), pixels[1:5, 2:6])


def test_the_same_images_are_drawn_every_time_and_those_that_hide_too_much_never(
    annotated: AnnotatedSet,
) -> None:
    three = replace(named("cub"), draw=3)
    drawn = [view.name for view in views(annotated, three)]
    assert len(drawn) == 3
    assert drawn == [view.name for view in views(annotated, three)]
    all_of_them = {view.name for view in views(annotated, named("cub"))}
    assert all_of_them == {"0.png", "1.png", "3.png", "4.png", "6.png"}  # 2 and 5 show three keypoints only


def test_who_is_unfit_does_not_change_the_order_of_the_rest(annotated: AnnotatedSet) -> None:
    names = sorted(image.name for image in annotated.images)
    order = [str(name) for name in np.random.default_rng(0).choice(names, len(names), replace=False)]
    fit = [name.replace(".png", "") for name in order if name not in ("2.png", "5.png")]
    for count in (2, 3, 4):
        drawn = views(annotated, replace(named("cub"), draw=count))
        assert [view.name for view in drawn] == sorted(f"{name}.png" for name in fit[:count])


def test_pairs_are_those_listed_if_the_protocol_looks_at_them(tmp_path: Path) -> None:
    listed = load(sample_sets.spair(tmp_path / "spair"), "cat")
    shown = views(listed, named("spair"))
    assert pairs_of(listed, named("spair"), shown) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert len(pairs_of(listed, named("landmarks"), shown)) == 6
    own = load(sample_sets.keypoints_json(tmp_path / "own", pairs=[["0.png", "1.png"], ["2.png", "3.png"]]))
    square = replace(named("cub"), pairs="listed")  # image 2 is not drawn, and so its pair is not counted
    assert pairs_of(own, square, views(own, square)) == [(0, 1)]
    assert len(pairs_of(own, named("pf-willow"), views(own, named("pf-willow")))) == 2


def test_every_protocol_has_its_two_renaming_forms() -> None:
    assert {"cub", "cub-paper", "cub-corrected", "spair-paper", "spair-corrected"} <= set(PROTOCOLS)
    assert named("cub-paper") == replace(named("cub"), name="cub-paper", exchange="paper")
    with pytest.raises(CongealError, match="no protocol 'cup': there are spair, cub"):
        named("cup")


def test_what_a_protocol_needs_and_a_set_lacks_is_said(tmp_path: Path) -> None:
    without = sample_sets.document()
    without["images"]["1.png"]["bbox"] = None
    annotated = load(sample_sets.keypoints_json(tmp_path / "unboxed", **without))
    for name in ("spair", "cub"):
        with pytest.raises(CongealError, match=rf"1\.png has no box .* protocol {name} needs"):
            views(annotated, named(name))
    without["images"]["1.png"]["bbox"] = [-500, 0, 600, 40]
    annotated = load(sample_sets.keypoints_json(tmp_path / "too-large", **without))
    with pytest.raises(CongealError, match=r"box of 1\.png does not fit its 80 x 60 pixels"):
        views(annotated, named("cub"))
    for image in ("0.png", "1.png", "3.png", "4.png"):
        without["images"][image]["points"] = [None, None, None, [1, 1]]
    annotated = load(sample_sets.keypoints_json(tmp_path / "hidden", **without))
    with pytest.raises(CongealError, match=r"0\.png: a bounding box needs two .* pf-willow does not fit"):
        views(annotated, named("pf-willow"))
    with pytest.raises(CongealError, match="has 0 images with 4 visible keypoints"):
        views(annotated, named("cub"))


def test_cropped_files_of_one_stem_would_be_one(tmp_path: Path) -> None:
    twice = sample_sets.document()
    twice["images"]["0.jpg"] = twice["images"]["0.png"]
    folder = sample_sets.keypoints_json(tmp_path / "set", **twice)
    (folder / "images" / "0.jpg").write_bytes((folder / "images" / "0.png").read_bytes())
    with pytest.raises(CongealError, match="differ in their ending alone"):
        views(load(folder), named("cub"))
