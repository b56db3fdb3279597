from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, known, opened

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from infra.errors import UserError

__all__ = ["known", "opened"]

WIDTH, HEIGHT = 80, 60  # of a/0.png
FITTING = ["a/0.png", "a/1.png", "a/2.png", "a/3.png"]


@pytest.fixture
def edit() -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[20:40, 25:50] = np.random.default_rng(0).integers(0, 256, (20, 25, 4), np.uint8)
    return pixels


def test_an_edit_on_its_own_image_is_itself(opened: Any, edit: np.ndarray) -> None:
    (own,) = opened.propagate(edit, "a/0.png", to=["a/0.png"])
    np.testing.assert_array_equal(own.pixels, edit)
    assert own.confidence == 1
    assert own.origin == ("a/0.png",)


def test_every_image_gets_it_at_its_full_size(opened: Any, edit: np.ndarray) -> None:
    sizes = opened.images.set_index("uri")
    found = {one.image: one for one in opened.propagate(edit, "a/0.png")}
    assert sorted(found) == FITTING
    for name, one in found.items():
        assert one.pixels.shape == (sizes.loc[name, "height"], sizes.loc[name, "width"], 4)
        assert one.confidence == pytest.approx(1 if name == "a/0.png" else 0.8)
    # a/1.png shows the same at twice the size.
    wide = found["a/1.png"].pixels[..., 3].astype(float)
    small = edit[..., 3].astype(float)
    assert wide.sum() == pytest.approx(4 * small.sum(), rel=0.03)
    halved = wide.reshape(HEIGHT, 2, WIDTH, 2).mean((1, 3))
    assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.97
    assert found["a/1.png"].origin == ("a/0.png",)


def test_it_lies_where_its_points_lie(opened: Any) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[22:38, 28:48] = True
    (carried,) = opened.propagate(mask, "a/0.png", to="a/3.png")
    assert carried.pixels.dtype == np.uint8
    y, x = np.nonzero(mask)
    points = opened.transfer("a/0.png", np.column_stack([x, y]), "a/3.png")
    rows, columns = np.nonzero(carried.pixels >= 128)
    assert columns.mean() == pytest.approx(points["x"].mean(), abs=2)
    assert rows.mean() == pytest.approx(points["y"].mean(), abs=2)


def test_nothing_is_computed_before_it_is_asked_for(
    opened: Any, edit: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr("congeal.transfer.layers.carry_layer", lambda *_: calls.append(1))
    opened.propagate(edit, "a/0.png")
    assert calls == []


def test_several_sources_and_labels(opened: Any) -> None:
    one, two = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
    one[20:40, 25:50], two[40:80, 50:100] = 3, 3
    found = {r.image: r for r in opened.propagate([one, two], ["a/0.png", "a/1.png"], kind="labels")}
    assert set(np.unique(found["a/3.png"].pixels)) == {0, 3}
    assert found["a/3.png"].origin == ("a/0.png", "a/1.png")
    np.testing.assert_array_equal(found["a/1.png"].pixels, two)


def test_paint_on_the_average(opened: Any) -> None:
    pixels = np.full((40, 40, 4), 255, np.uint8)
    found = list(opened.propagate(pixels, atlas=BIRDS, to=["a/1.png", "a/3.png"]))
    assert [one.image for one in found] == ["a/1.png", "a/3.png"]
    assert all(one.pixels[..., 3].any() for one in found)
    assert found[0].origin == (f"atlas {BIRDS}",)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        (
            (HEIGHT, WIDTH + 1, 4),
            {"source": "a/0.png"},
            "a/0.png cannot be used: it is 81 x 60 pixels",
        ),
        ((HEIGHT, WIDTH, 3), {"source": "a/0.png"}, "uint8 60 x 80 x 3: an edit is RGBA"),
        ((HEIGHT, WIDTH, 4), {}, "Say where the edit was painted"),
        ((HEIGHT, WIDTH, 4), {"source": ["a/0.png", "a/1.png"]}, "1 edits and 2 images"),
        ((HEIGHT, WIDTH, 4), {"source": "no.png"}, "no image 'no.png'"),
        ((HEIGHT, WIDTH, 4), {"source": "broken.jpg"}, "could not be used"),
        ((HEIGHT, WIDTH, 4), {"source": "a/0.png", "to": ["no.png"]}, "no image 'no.png'"),
        ((HEIGHT, WIDTH, 4), {"source": "a/0.png", "kind": "mask"}, "a mask bool or uint8"),
        ((HEIGHT, WIDTH, 4), {"source": "a/0.png", "to": ["b/0.png"]}, "no correspondence exists"),
        ((70, 70, 4), {"source": "a/misfit.png"}, "does not fit its atlas"),
        ((HEIGHT, WIDTH, 4), {"atlas": "c0"}, "no cluster 'c0'"),
        ((HEIGHT, WIDTH, 4), {"atlas": BIRDS}, "average of an atlas is square"),
    ],
)
def test_what_cannot_be_carried(opened: Any, shape: tuple[int, ...], options: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        opened.propagate(np.zeros(shape, np.uint8), **options)


def test_annotations_on_all_images(opened: Any) -> None:
    outline = np.array([[25.0, 20.0], [50.0, 20.0], [50.0, 40.0], [25.0, 40.0]])
    thing = Annotation("a/0.png", "thing", keypoints=np.array([[30.0, 30.0]]), polygons=[outline])
    found = list(opened.propagate_annotations([thing]))
    names = [one.image for one in found]
    assert len(set(names)) == len(names)
    own = found[names.index("a/0.png")]
    np.testing.assert_array_equal(own.polygons[0], outline)
    assert own.confidence == 1
    other = found[names.index("a/3.png")]
    assert other.origin == ("a/0.png",)
    assert other.confidence == pytest.approx(0.8)
    expected = opened.transfer("a/0.png", [[30, 30]], "a/3.png")
    np.testing.assert_allclose(other.keypoints, expected[["x", "y"]])
    assert other.box[0] < other.keypoints[0, 0] < other.box[2]


def test_annotations_in_two_clusters_and_on_a_misfit(opened: Any) -> None:
    marks = [
        Annotation(name, "thing", box=box)
        for name, box in (
            ("a/0.png", (20, 20, 40, 40)),
            ("a/misfit.png", (1, 1, 9, 9)),
            ("b/0.png", (20, 20, 40, 40)),
        )
    ]
    found = {one.image: one for one in opened.propagate_annotations(marks)}
    assert set(found) == {*FITTING, "a/misfit.png", "b/0.png", "b/1.png"}
    assert found["a/misfit.png"].box == (1, 1, 9, 9)
    alone = {one.image: one for one in opened.propagate_annotations(marks[:1])}
    assert found["a/3.png"].box == alone["a/3.png"].box
    assert found["a/3.png"].origin == ("a/0.png",)
    only = list(opened.propagate_annotations(marks, to=["b/1.png"]))
    assert [one.image for one in only] == ["b/1.png"]
    with pytest.raises(UserError, match="where nothing is annotated"):
        opened.propagate_annotations(marks[:1], to="b/1.png")


def test_annotations_need_a_place(opened: Any) -> None:
    with pytest.raises(UserError, match="no annotations"):
        opened.propagate_annotations([])
    with pytest.raises(UserError, match=r"no image 'no.png'"):
        opened.propagate_annotations([Annotation("no.png", "thing", box=(0, 0, 5, 5))])
    with pytest.raises(CongealError, match=r"lies outside the image a/0.png"):
        opened.propagate_annotations([Annotation("a/0.png", "thing", keypoints=np.array([[500.0, 1.0]]))])
