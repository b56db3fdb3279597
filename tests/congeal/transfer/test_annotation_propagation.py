from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from placed_maps import identity, placed

from congeal.errors import CongealError
from congeal.geometry.frames import Frame
from congeal.geometry.polygons import area, bounds
from congeal.transfer.annotation_propagation import carry_marks, carry_points, mark, points_to_atlas
from congeal.transfer.annotations import Annotation, together
from congeal.transfer.points import ForwardMaps, Maps

SOURCE = placed(Frame(200, 160), 0.8)
TARGET = placed(Frame(400, 320), 0.6, (0.05, -0.1))
# The target shows the atlas at 0.6 of a frame twice as wide: 1.5 times the source's size.
GROWTH = 0.6 / 0.8 * 2


def carried(annotations: Sequence[tuple[Annotation, Maps]], target: Maps = TARGET) -> Annotation | None:
    marks = [mark(annotation, maps) for annotation, maps in annotations]
    return carry_marks(marks, ["target"], ForwardMaps.of(target), lambda _: target)[0]


def there(points: np.ndarray) -> np.ndarray:
    """Where points of SOURCE are in TARGET."""
    atlas = np.asarray(SOURCE.frame.to_frame(np.asarray(points, float))) / 0.8
    return np.asarray(TARGET.frame.to_pixels(atlas * 0.6 + [0.05, -0.1]))


def test_keypoints_go_where_the_poses_say_and_hidden_ones_stay_hidden() -> None:
    points = np.array([[100.0, 80.0], [np.nan, np.nan], [120.0, 60.0]])
    found = carried(
        [(Annotation("source", "bird", keypoints=points, keypoint_names=("a", "b", "c")), SOURCE)]
    )
    assert found is not None
    np.testing.assert_allclose(found.keypoints[[0, 2]], there(points[[0, 2]]), atol=1e-6)
    assert np.isnan(found.keypoints[1]).all()
    assert found.keypoint_names == ("a", "b", "c")
    assert found.confidence == pytest.approx(1)
    assert found.origin == ("source",)
    assert found.image == "target"


@settings(max_examples=30)
@given(left=st.floats(40, 90), top=st.floats(30, 70), width=st.floats(5, 60), height=st.floats(5, 50))
def test_boxes_grow_with_the_thing(left: float, top: float, width: float, height: float) -> None:
    box = (left, top, left + width, top + height)
    found = carried([(Annotation("source", "bird", box=box), SOURCE)])
    assert found is not None
    corners = there(np.array([[left, top], [left + width, top + height]]))
    np.testing.assert_allclose(found.box, corners.ravel(), atol=1e-6)


@settings(max_examples=30)
@example(angles=[0.0, 1.0, 1.75, 0.03125], radius=10.0)
@given(
    angles=st.lists(st.floats(0, 6.28), min_size=3, max_size=8, unique=True),
    radius=st.floats(10, 40),
)
def test_outlines_keep_their_shape(angles: list[float], radius: float) -> None:
    outline = np.array([[100 + radius * np.cos(a), 80 + radius * np.sin(a)] for a in sorted(angles)])
    if area(outline) < 20:
        return
    found = carried([(Annotation("source", "bird", polygons=[outline]), SOURCE)])
    assert found is not None
    edges = np.linalg.norm(np.diff(outline, axis=0, append=outline[:1]), axis=1) * GROWTH
    # Nor does a small one: its edges lie within a tenth of a pixel, on average.
    assert area(found.polygons[0]) == pytest.approx(
        area(outline) * GROWTH**2, rel=0.02, abs=0.1 * edges.sum()
    )
    np.testing.assert_allclose(
        found.box, np.concatenate([there(outline).min(0), there(outline).max(0)]), atol=0.3
    )


def test_an_outline_follows_a_map_that_bends() -> None:
    bent = placed(Frame(200, 200), 0.8)
    forward = bent.forward.copy()
    forward[..., 1] += 20 * np.sin(forward[..., 0] / 30)
    target = Maps(bent.frame, forward, bent.forward_confidence, bent.backward, bent.backward_confidence)
    line = np.array([[40.0, 98.0], [160.0, 98.0], [160.0, 102.0], [40.0, 102.0]])
    found = carried([(Annotation("source", "bar", polygons=[line]), placed(Frame(200, 200), 0.8))], target)
    assert found is not None
    outline = found.polygons[0]
    assert len(outline) > 12
    assert np.ptp(outline[:, 1]) > 35


def test_what_leaves_the_image_is_cut_off() -> None:
    near = placed(Frame(100, 100), 3.0)
    found = carried([(Annotation("source", "bird", box=(50, 30, 150, 130)), SOURCE)], near)
    assert found is not None
    assert found.box == (-0.5, -0.5, 99.5, 99.5)
    gone = placed(Frame(100, 100), 0.8, (40.0, 0.0))
    both = Annotation("source", "bird", box=(90, 70, 110, 90), keypoints=np.array([[100.0, 80.0]]))
    assert carried([(both, SOURCE)], gone) is None


def test_what_the_edge_divides_arrives_in_parts() -> None:
    maps = identity(100, 80)
    # Two prongs that meet beyond the right edge, and a bow tie that crosses itself.
    prongs = [[50, 10], [120, 10], [120, 60], [50, 60], [50, 50], [110, 50], [110, 20], [50, 20]]
    bow = np.array([[10, 10], [30, 30], [30, 10], [10, 30]], np.float64)
    annotation = Annotation("one", "fork", polygons=[np.array(prongs, np.float64), bow])
    found = carried([(annotation, maps)], maps)
    assert found is not None
    boxes = sorted(bounds(part) for part in found.polygons)
    np.testing.assert_allclose(boxes, [(10, 10, 30, 30), (50, 10, 99.5, 20), (50, 50, 99.5, 60)], atol=1e-6)
    assert sum(area(part) for part in found.polygons) == pytest.approx(200 + 2 * 495, rel=1e-3)


def test_a_mask_goes_with_the_box_around_it() -> None:
    inside = np.zeros((160, 200), bool)
    inside[60:100, 80:130] = True
    found = carried([(Annotation("source", "bird", mask=inside, box=(0, 0, 9, 9)), SOURCE)])
    assert found is not None
    assert found.mask.shape == (320, 400)
    assert found.mask.sum() == pytest.approx(inside.sum() * GROWTH**2, rel=0.02)
    corners = there(np.array([[79.5, 59.5], [129.5, 99.5]]))
    np.testing.assert_allclose(found.box, corners.ravel(), atol=1)


def test_two_sources_are_one_answer() -> None:
    other = placed(Frame(100, 100), 0.5, (0.1, 0.1), confidence=0.4)
    atlas = np.array([[0.1, -0.2], [0.3, 0.4]])
    on_source = np.asarray(SOURCE.frame.to_pixels(atlas * 0.8))
    on_other = np.asarray(other.frame.to_pixels(atlas * 0.5 + 0.1))
    on_other[1] = np.nan
    found = carried(
        [
            (Annotation("one", "bird", keypoints=on_source), SOURCE),
            (Annotation("two", "bird", keypoints=on_other), other),
        ]
    )
    assert found is not None
    np.testing.assert_allclose(found.keypoints, TARGET.frame.to_pixels(atlas * 0.6 + [0.05, -0.1]), atol=1e-5)
    assert found.origin == ("one", "two")
    assert found.keypoint_confidence[0] < found.keypoint_confidence[1] == pytest.approx(1)


def test_points_that_are_not_on_the_image() -> None:
    with pytest.raises(CongealError, match=r"point 1 at \(300, 10\) lies outside the image one"):
        mark(Annotation("one", "bird", keypoints=np.array([[1.0, 1.0], [300.0, 10.0]])), SOURCE)
    with pytest.raises(CongealError, match="has no inside"):
        mark(Annotation("one", "bird", box=(500, 10, 520, 30)), SOURCE)
    with pytest.raises(CongealError, match="200 x 100 pixels, the image 200 x 160"):
        mark(Annotation("one", "bird", mask=np.ones((100, 200), bool)), SOURCE)
    with pytest.raises(CongealError, match=r"\[k, 2\]"):
        points_to_atlas(np.zeros(4), SOURCE)


def test_many_targets_at_once_are_each_alone() -> None:
    points = np.array([[100.0, 80.0], [120.0, 60.0]])
    others = [placed(Frame(90 + 10 * n, 120), 0.5, (0.02 * n, 0.0), 0.1 * n) for n in range(4)]
    stack = ForwardMaps(
        [maps.frame for maps in others],
        np.stack([maps.forward for maps in others]),
        np.stack([maps.forward_confidence for maps in others]),
    )
    known = [points_to_atlas(points, SOURCE)]
    found = carry_points(known, stack)
    for number, maps in enumerate(others):
        alone = carry_points(known, ForwardMaps.of(maps))
        np.testing.assert_array_equal(found.xy[number], alone.xy[0])
        np.testing.assert_array_equal(found.confidence[number], alone.confidence[0])


def test_doubt_is_handed_on() -> None:
    points = np.array([[100.0, 80.0], [120.0, 60.0]])
    unsure = Annotation("source", "bird", keypoints=points, keypoint_confidence=np.array([0.5, 1.0]))
    found = carried([(unsure, SOURCE)])
    assert found is not None
    np.testing.assert_allclose(found.keypoint_confidence, [0.5, 1.0])
    for marks in ({"box": (80, 60, 120, 90)}, {"polygons": [points[[0, 1, 1]] + [[0, 0], [0, 0], [0, 9]]]}):
        found = carried([(Annotation("source", "bird", confidence=0.5, **marks), SOURCE)])
        assert found is not None
        assert found.confidence == pytest.approx(0.5)
    mask = np.zeros((160, 200), bool)
    mask[60:100, 80:130] = True
    found = carried([(Annotation("source", "bird", confidence=0.5, mask=mask), SOURCE)])
    assert found is not None
    assert found.confidence == pytest.approx(0.5)


def test_the_same_things_have_as_many_keypoints() -> None:
    one, two = (Annotation(name, "bird", keypoints=np.ones((n, 2))) for name, n in (("a", 2), ("b", 3)))
    with pytest.raises(CongealError, match="'bird' has 2 keypoints on a and 3 on b"):
        together([one, two])


def test_the_nth_of_a_category_belongs_with_the_nth() -> None:
    names = [("one", "bird"), ("one", "bird"), ("two", "nest"), ("two", "bird")]
    groups = together([Annotation(image, category) for image, category in names])
    assert [[a.image for a in group] for group in groups] == [["one", "two"], ["one"], ["two"]]


def test_an_annotation_carried_to_its_own_pose_is_the_same() -> None:
    maps = identity(120, 90)
    outline = np.array([[30.0, 20.0], [80.0, 25.0], [60.0, 70.0]])
    found = carried([(Annotation("one", "bird", polygons=[outline]), maps)], maps)
    assert found is not None
    np.testing.assert_allclose(found.polygons[0], outline, atol=1e-6)
