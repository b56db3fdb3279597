"""`congeal.align_images`: the same result as a run's, from files, bytes, Pillow images and arrays."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sample_runs import BACKBONE, SIDE, folder, picture, run, weights
from sample_runs import tiny as sample_settings

import congeal
from congeal.alignment.image_alignment import align_images
from congeal.alignment.image_result import ImageAlignment
from congeal.backbones.extractor import Backbone, BackboneSpec, load_backbone
from congeal.errors import CongealError
from congeal.geometry.frames import Frame
from congeal.settings import load_settings

__all__ = ["weights"]

MUGS = sorted((Path(__file__).parents[3] / "samples" / "mug" / "images").glob("*.jpg"))[:5]
SIZE = 224  # 16 cells a side: a quarter of the time


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(BackboneSpec("embedded", image_size=SIZE), None, "cpu")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As in a run with engine.threads=1."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def aligned(backbone: Backbone, one_thread: None) -> ImageAlignment:
    return align_images(MUGS, backbone=backbone, resolution=32, map_resolution=24)


# --- the same as a run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("atlas_size", [24, 4])
def test_the_result_is_that_of_a_run_over_the_same_files(
    backbone: Backbone, one_thread: None, aligned: ImageAlignment, tmp_path: Path, atlas_size: int
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in MUGS:
        (source / path.name).write_bytes(path.read_bytes())
    settings = load_settings(
        None,
        [
            "features.backbone=embedded",
            f"features.image_size={SIZE}",
            "features.device=cpu",
            "clusters.method=single",
            f"atlases.atlas_size={atlas_size}",
            "atlases.resolution=32",
            "atlases.map_resolution=24",
            "previews.members=1",
            "index.lattice=4",
            "engine.kind=loop",
            "engine.threads=1",
        ],
        environ={},
    )
    run(source, tmp_path / "destination", settings)
    published = congeal.open(tmp_path / "destination")
    if atlas_size < len(MUGS):
        # The order in which the images are given does not matter, either.
        others = align_images(
            MUGS[::-1], backbone=backbone, resolution=32, map_resolution=24, atlas_size=atlas_size
        )
    else:
        others = aligned
    for path in MUGS:
        stored, found = published.maps(path.name), others.maps(path.name)
        assert stored.frame == found.frame
        np.testing.assert_array_equal(stored.forward, found.forward)
        np.testing.assert_array_equal(stored.backward, found.backward)
        for name in ("forward_confidence", "backward_confidence"):
            np.testing.assert_array_equal(getattr(stored, name), getattr(found, name).astype(np.float16))
    rows = published.alignments.merge(published.images[["image_id", "uri"]], on="image_id").set_index("uri")
    for row in others.images:
        told = rows.loc[row.name]
        assert (row.outlier, row.mirrored) == (told.outlier, told.mirrored)
        assert np.float32(row.residual) == told.residual
        assert np.float32(row.coverage) == told.coverage
    cluster = published.clusters.iloc[0]
    assert others.status == cluster.status
    medoid = published.find(cluster.medoid_image_id)["uri"]
    assert others.names[others.alignment.medoid] == medoid
    # Confidences are stored in float16.
    points = np.array([[150.0, 160.0], [120.5, 200.25]])
    one = published.transfer(MUGS[0].name, points, MUGS[1].name)
    other = others.transfer(MUGS[0].name, points, MUGS[1].name)
    np.testing.assert_allclose(other.xy, one[["x", "y"]].to_numpy(), atol=1e-9)
    np.testing.assert_allclose(other.confidence, one.confidence, atol=1e-3)


def test_at_any_angle_it_is_that_of_a_run_too(one_thread: None, weights: Path, tmp_path: Path) -> None:
    files = {f"{seed}.png": picture(0, seed) for seed in range(8)}
    source = folder(tmp_path / "source", files)
    settings = sample_settings(weights, "alignment.rotation=any", "atlases.atlas_size=5")
    run(source, tmp_path / "destination", settings)
    published = congeal.open(tmp_path / "destination")
    spec = BackboneSpec(BACKBONE, image_size=SIDE, precision="float32")
    found = align_images(
        files,
        backbone=load_backbone(spec, weights.read_bytes(), "cpu"),
        rotation="any",
        atlas_size=5,
        resolution=16,
        map_resolution=12,
    )
    for name in files:
        stored, here = published.maps(name), found.maps(name)
        np.testing.assert_array_equal(stored.forward, here.forward)
        np.testing.assert_array_equal(stored.backward, here.backward)
        half = here.backward_confidence.astype(np.float16)
        np.testing.assert_array_equal(stored.backward_confidence, half)


# --- what is carried --------------------------------------------------------------------------------------


def test_points_of_known_mugs_land_where_they_belong(aligned: ImageAlignment) -> None:
    known = json.loads((MUGS[0].parents[1] / "keypoints.json").read_text())["images"]
    errors = []
    for source in range(3):
        for target in range(3):
            here, there = (known[MUGS[one].name]["points"] for one in (source, target))
            both = [i for i in range(len(here)) if here[i] and there[i]]
            found = aligned.transfer(source, [here[i] for i in both], target)
            errors += np.linalg.norm(found.xy - np.array([there[i] for i in both]), axis=1).tolist()
    assert np.median(errors) < 12  # pixels, of about 320 a side


def test_a_point_goes_there_and_back(aligned: ImageAlignment) -> None:
    there = aligned.transfer(0, [[150, 160]], 1)
    assert there.xy.shape == (1, 2)
    assert there.confidence[0] > 0.5
    assert there.visible[0]
    back = aligned.transfer(1, there.xy, 0)
    np.testing.assert_allclose(back.xy, [[150, 160]], atol=2)


def test_images_are_meant_by_position_name_or_path(aligned: ImageAlignment) -> None:
    expected = aligned.transfer(0, [[150, 160]], 2).xy
    for source, target in ((MUGS[0].name, MUGS[2].name), (MUGS[0], -3), (np.int64(0), str(MUGS[2]))):
        np.testing.assert_array_equal(aligned.transfer(source, [150, 160], target).xy, expected)


def test_points_are_carried_to_several_images_and_to_all(aligned: ImageAlignment) -> None:
    some = aligned.transfer(0, [[150, 160], [140, 170]], [1, MUGS[2].name])
    assert list(some) == [MUGS[1].name, MUGS[2].name]
    everywhere = aligned.transfer(0, [[150, 160]], "all")
    fit = [row.name for row in aligned.images if not row.outlier]
    assert list(everywhere) == fit[1:]
    np.testing.assert_array_equal(everywhere[MUGS[1].name].xy, some[MUGS[1].name].xy[:1])
    assert aligned.transfer(0, [], 1).xy.shape == (0, 2)
    table = pd.DataFrame({"name": ["rim"], "y": [160], "x": [150]})
    np.testing.assert_array_equal(aligned.transfer(0, table, 2).xy, aligned.transfer(0, [[150, 160]], 2).xy)


def test_from_and_to_an_outlier_nothing_is_carried(aligned: ImageAlignment) -> None:
    flags = aligned.alignment.outlier.copy()
    flags[1] = True
    reasons = list(aligned.alignment.outlier_reason)
    reasons[1] = "it shows something else"
    marked = replace(aligned, alignment=replace(aligned.alignment, outlier=flags, outlier_reason=reasons))
    for source, target in ((0, 1), (1, 0)):
        with pytest.raises(
            CongealError, match=f"'{MUGS[1].name}' does not fit the atlas: it shows something"
        ):
            marked.transfer(source, [[150, 160]], target)
    assert MUGS[1].name not in marked.transfer(0, [[150, 160]], "all")
    assert marked.images[1].outlier_reason == "it shows something else"
    assert "1 outlier;" in repr(marked)


def test_where_nothing_is_in_common_nothing_is_carried(aligned: ImageAlignment) -> None:
    apart = replace(aligned, alignment=replace(aligned.alignment, status="nothing-in-common"))
    with pytest.raises(CongealError, match="nothing can be carried: the set has nothing in common"):
        apart.transfer(0, [[150, 160]], 1)


@pytest.mark.parametrize(
    ("source", "points", "target", "sentence"),
    [
        (0, [[1, 2, 3]], 1, r"^points has the shape \[1, 3\], not \[k, 2\]"),
        (0, None, 1, r"\[k, 2\]"),
        (0, "here", 1, "no array of numbers"),
        (0, [[5000, 2]], 1, r"point 0 at \(5000, 2\) lies outside the source image"),
        (0, [[150, 160]], 9, "there is no image 9: there are 5, counted from 0"),
        (0, [[150, 160]], "mug-2.jpg", "there is no image 'mug-2.jpg'; did you mean 'mug-02.jpg'"),
        (None, [[150, 160]], 1, "a position or a name, not NoneType"),
        (True, [[150, 160]], 1, "a position or a name, not bool"),
        (1.0, [[150, 160]], 1, "a position or a name, not float"),
    ],
)
def test_what_cannot_be_carried_is_a_sentence(
    aligned: ImageAlignment, source: Any, points: Any, target: Any, sentence: str
) -> None:
    with pytest.raises(CongealError, match=sentence):
        aligned.transfer(source, points, target)


# --- pictures ---------------------------------------------------------------------------------------------


def test_aligned_images_agree_where_the_originals_do_not(aligned: ImageAlignment) -> None:
    """The handles lie on one side, and the mugs in one place: what varies over the images is less."""
    salient = np.asarray(Image.fromarray(aligned.atlas.saliency > 0.3).resize((SIZE, SIZE)))
    moved = np.stack([aligned.warp(number) for number in range(len(aligned))])
    assert moved.shape == (5, SIZE, SIZE, 3)
    assert moved.dtype == np.uint8
    edges = [
        np.abs(np.diff(picture.mean(0).mean(-1), axis=1))[:, :-1] for picture in (aligned.squares, moved)
    ]
    inside = salient[:, :-2]
    assert edges[1][inside].mean() > edges[0][inside].mean()


def test_an_average_and_a_warped_image_have_the_size_that_is_asked_for(aligned: ImageAlignment) -> None:
    assert aligned.average().shape == (SIZE, SIZE, 3)
    assert aligned.average(50).dtype == np.uint8
    assert aligned.average(50).shape == (50, 50, 3)
    large = aligned.warp(MUGS[0].name, 500)
    assert large.shape == (500, 500, 3)
    # Read again at its full size: sharper than the square enlarged, and in the same place.
    again = np.asarray(Image.fromarray(large).resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    assert np.abs(again - aligned.warp(0)).mean() < 6


def test_beyond_an_image_its_picture_is_white(backbone: Backbone, aligned: ImageAlignment) -> None:
    """Not streaks of its edge: a square frames an image that is wider than high."""
    wide = replace(aligned, frames=(Frame(400, 100), *aligned.frames[1:]))
    ys = wide.alignment.forward[0][..., 1]
    beyond = np.asarray(Image.fromarray(np.abs(ys) > 0.4).resize((SIZE, SIZE)))
    assert beyond.any()
    assert (wide.warp(0)[beyond] >= 250).mean() > 0.95


def test_a_contact_sheet_shows_each_image_before_and_after(aligned: ImageAlignment) -> None:
    sheet = aligned.show(size=64)
    assert isinstance(sheet, Image.Image)
    assert sheet.width == 6 * (64 + 4) + 4  # five images and the average
    assert sheet.height > 2 * 64
    assert aligned.show(most=2, size=64).width == 3 * (64 + 4) + 4
    with Image.open(io.BytesIO(aligned._repr_png_())) as picture:
        assert picture.format == "PNG"


def test_a_result_says_in_one_line_what_it_is(aligned: ImageAlignment) -> None:
    said = repr(aligned)
    assert said.startswith("<congeal alignment of 5 images (ok): 0 outliers; backbone embedded; .images .tr")
    assert "\n" not in said
    assert len(aligned) == 5
    assert [row.name for row in aligned.images] == [path.name for path in MUGS]
    assert all(row.status == "ok" and 0 < row.confidence < 1 for row in aligned.images if row.confidence)
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(aligned.images)
    assert list(table.columns[:5]) == ["name", "status", "error", "outlier", "outlier_reason"]


def test_a_result_can_be_pickled(aligned: ImageAlignment) -> None:
    again = pickle.loads(pickle.dumps(aligned))
    np.testing.assert_array_equal(
        again.transfer(0, [[150, 160]], 1).xy, aligned.transfer(0, [[150, 160]], 1).xy
    )
