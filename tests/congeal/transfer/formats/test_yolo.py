from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.yolo import YoloFile, image_stem, is_labels, read

POSE = b"names: {0: bird, 3: nest}\nkpt_shape: [2, 3]\nkpt_names:\n  0: [beak, tail]\n"
PLAIN = b"names: [bird, nest]\n"
SIZES = {"images/a.png": (80, 60), "images/b.png": (80, 60)}
IMAGES = {"labels/a.txt": "images/a.png"}


def rows(config: bytes, text: str) -> list[Annotation]:
    entries = read(config, {"labels/a.txt": text.encode()}, IMAGES).entries(SIZES)
    assert not any(entry.problems for entry in entries), entries
    return [entry.annotation for entry in entries if entry.annotation is not None]


def problem(config: bytes, row: str) -> str:
    (entry,) = read(config, {"labels/a.txt": row.encode()}, IMAGES).entries(SIZES)
    assert entry.name == "line 1 of labels/a.txt"
    (said,) = entry.problems
    return said


def files(config: bytes, text: str, *carried: Annotation) -> dict[str, bytes]:
    return read(config, {"labels/a.txt": text.encode()}, IMAGES).files(carried, {}, SIZES)


def carried(points: np.ndarray | None = None, sure: list[float] | None = None, **facts: object) -> Annotation:
    scores = None if sure is None else np.array(sure)
    return Annotation(
        "images/b.png",
        "bird",
        keypoints=points,
        keypoint_confidence=scores,
        category_id=0,
        confidence=0.75,
        origin=("images/a.png",),
        **facts,
    )


def test_shares_count_from_the_corner_of_the_first_pixel() -> None:
    # The centre of the pixel (10, 20) of 80 x 60, as Ultralytics 8.4.190 mirrors it together with its pixels.
    (bird,) = rows(POSE, f"0 0.5 0.5 0.25 0.5 {10.5 / 80} {20.5 / 60} 2 0 0 0\n")
    assert bird.keypoints is not None
    np.testing.assert_allclose(bird.keypoints[0], [10, 20])
    assert np.isnan(bird.keypoints[1]).all()
    assert bird.box == (29.5, 14.5, 49.5, 44.5)
    assert (bird.category, bird.keypoint_names, bird.keypoint_confidence) == ("bird", ("beak", "tail"), None)
    (nest,) = rows(PLAIN, "1 0 0 1 0 1 1\n")
    assert nest.polygons[0].tolist() == [[-0.5, -0.5], [79.5, -0.5], [79.5, 59.5]]


def test_what_a_network_has_found_has_its_confidence() -> None:
    (bird,) = rows(POSE, "0 .5 .5 .2 .2 .5 .5 0.875 .25 .25 0.5 0.75")
    assert bird.keypoint_confidence is not None
    assert (bird.confidence, bird.keypoint_confidence.tolist()) == (0.75, [0.875, 0.5])
    assert [one.confidence for one in rows(PLAIN, "0 .5 .5 .2 .2 .25\n0 0 0 1 0 1 1 0.5\n")] == [0.25, 0.5]


def test_without_flags_a_corner_or_less_is_no_keypoint() -> None:
    config = b"names: [bird]\nkpt_shape: [3, 2]\n"
    (bird,) = rows(config, "0 .5 .5 .2 .2 0 0 -0.005 -0.005 .5 .5")
    assert bird.keypoints is not None
    assert np.isnan(bird.keypoints).any(1).tolist() == [True, True, False]
    (name, row) = next(
        (name, text)
        for name, text in files(
            config, "", carried(np.array([[np.nan] * 2, [9.5, 9.5], [85, 70]]), [0, 0.9, 0])
        ).items()
        if name == "labels/b.txt"
    )
    assert row.split()[5:] == b"-0.005 -0.005 0.125 0.166667 -0.005 -0.005".split()
    assert name == "labels/b.txt"


@pytest.mark.parametrize(
    ("config", "row", "said"),
    [
        (POSE, "0 .5 .5 .2 .2 .1", "6 numbers, and 11 by the kpt_shape"),
        (POSE, "1 .5 .5 .2 .2", "class 1, which data.yaml does not name"),
        (PLAIN, "0 .5 .5 .2", "4 numbers, too few"),
        (PLAIN, "bird .5 .5 .2 .2", "no row of numbers"),
        (PLAIN, "0.5 .5 .5 .2 .2", "no class"),
        (PLAIN, "0 nan .5 .2 .2", "no class"),
        (PLAIN, "0 .5 .5 1e300 .2", "no class"),
        (PLAIN, "0 .5 .5 1e308 .2", "no class"),
        (PLAIN, "1e300 .5 .5 .2 .2", "no class"),
    ],
)
def test_a_row_that_cannot_be_read_stops_no_other(config: bytes, row: str, said: str) -> None:
    assert said in problem(config, row)
    entries = read(config, {"labels/a.txt": f"{row}\n0 .5 .5 .2 .2\n".encode()}, IMAGES).entries(SIZES)
    assert [bool(entry.problems) for entry in entries] == [True, False]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"names: [a\n", "no YAML \\(line 2\\)"),
        (b"- a\n", "has no names"),
        (b"nc: 0\n", "no names of classes"),
        (b"nc: many\n", "no names of classes"),
        (b"names: [a]\nkpt_shape: [17]\n", "as in \\[17, 3\\]"),
        (b"names: [a]\nkpt_shape: [-1, 3]\n", "as in \\[17, 3\\]"),
        (b"\xff\xfe", "no YAML"),
        (b"names: !!python/object/apply:os.getcwd []\n", "no YAML"),
    ],
)
def test_a_config_that_is_none(config: bytes, said: str) -> None:
    with pytest.raises(CongealError, match=said):
        read(config, {"labels/a.txt": b""}, {})


def test_no_labels_are_no_labels() -> None:
    with pytest.raises(CongealError, match="file lies in a folder labels beside"):
        read(PLAIN, {}, {})


def test_which_files_are_labels_and_of_which_image() -> None:
    names = ["labels/a.txt", "train/labels/x/a.b.txt", "train.txt", "labels.txt", "labels/a.json", "a/labels"]
    assert [is_labels(name) for name in names] == [True, True, False, False, False, False]
    assert image_stem("labels/labels/x/a.b.txt") == "labels/images/x/a.b"


number = st.floats(0, 1).map(lambda value: f"{value:.6g}")
row = st.lists(number, min_size=4, max_size=4).map(lambda values: " ".join(["0", *values]))
junk = st.sampled_from(["", "   ", "# old", "0 1", "7 .5 .5 .1 .1", "\ufeff", "0 .5 .5 .1 .1 nan"])


@settings(max_examples=40)
@given(
    lines=st.lists(row | junk, max_size=4),
    end=st.sampled_from(["\n", "\r\n", ""]),
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=2),
    sure=st.lists(st.floats(0, 1), min_size=2, max_size=2),
)
def test_label_files_come_back_byte_for_byte_and_what_is_carried_to_a_hundredth(
    lines: list[str], end: str, size: tuple[int, int], points: list[tuple[float, float]], sure: list[float]
) -> None:
    text = end.join(lines)
    place = np.array(points) * np.array(size) - 0.5
    sizes = {"images/a.png": size, "images/b.png": size}
    file = read(POSE, {"labels/a.txt": text.encode()}, IMAGES)
    file.entries(sizes)
    new = carried(place, sure, box=(-0.5, -0.5, size[0] - 0.5, size[1] / 2))
    written = file.files([new], {}, sizes)
    assert file.written([new], {}, sizes) == POSE
    assert written["labels/a.txt"] == text.encode()
    back = YoloFile(
        POSE, file.config, {"labels/b.txt": written["labels/b.txt"]}, {"labels/b.txt": "images/b.png"}
    )
    (entry,) = back.entries(sizes)
    assert entry.annotation is not None
    box = entry.annotation.box
    assert box is not None
    np.testing.assert_allclose(box, new.box, atol=0.011)
    found = entry.annotation.keypoints
    if found is None:
        assert not any(sure)
        return
    np.testing.assert_array_equal(np.isnan(found).any(1), np.array(sure) <= 0)
    np.testing.assert_allclose(found[np.array(sure) > 0], place[np.array(sure) > 0], atol=0.011)
    assert written["labels/b.txt"].split()[7::3] == [
        b"0" if s <= 0 else b"2" if s >= 0.5 else b"1" for s in sure
    ]


def test_how_sure_carried_rows_are_stands_beside_them() -> None:
    written = files(POSE, "", carried(np.array([[1.0, 2], [3, 4]]), [0.9, 0.25], box=(0, 0, 9, 9)))
    assert written["carried.csv"].decode().splitlines() == [
        "image,labels,row,class,confidence,keypoints,origin",
        "images/b.png,labels/b.txt,1,bird,0.75,0.9000 0.2500,images/a.png",
    ]


def test_of_an_outline_in_parts_the_largest_is_written() -> None:
    small = np.array([[0.5, 0.5], [2, 0.5], [2, 2]])
    large = np.array([[-0.5, -0.5], [39.5, -0.5], [39.5, 29.5], [-0.5, 29.5]])
    written = files(PLAIN, "", carried(polygons=[small, large]))
    assert written["labels/b.txt"] == b"0 0 0 0.5 0 0.5 0.5 0 0.5\n"


def test_two_images_with_one_label_file_are_refused() -> None:
    file = read(PLAIN, {"labels/a.txt": b""}, {"labels/a.txt": "a.png"})
    box = (0.0, 0.0, 9.0, 9.0)
    ones = [Annotation(name, "bird", box=box, category_id=0) for name in ("b.png", "b.jpg")]
    with pytest.raises(CongealError, match=r"b\.png and b\.jpg would both have the labels labels/b\.txt"):
        file.files(ones, {}, {"b.png": (80, 60), "b.jpg": (80, 60)})


def test_classes_without_names_are_numbered_as_ultralytics_does() -> None:
    (bird,) = rows(b"nc: 2\n", "1 .5 .5 .2 .2")
    assert bird.category == "class_1"


def test_a_list_of_classes_among_the_labels_is_no_label() -> None:
    file = read(PLAIN, {"labels/a.txt": b"0 .5 .5 .2 .2\n", "labels/classes.txt": b"bird\n"}, IMAGES)
    assert [list(entry.problems) for entry in file.entries(SIZES)] == [[]]
    assert file.files([], {}, SIZES)["labels/classes.txt"] == b"bird\n"


def test_labels_of_images_of_one_name_in_two_folders_stay_apart_and_lie_among_labels() -> None:
    images = {"labels/a.txt": "x/a.png", "labels/c.txt": "y/c.png"}
    file = read(PLAIN, {"labels/a.txt": b"0 .5 .5 .2 .2\n", "labels/c.txt": b""}, images)
    sizes = dict.fromkeys(("x/b.png", "y/b.png", "z/e.png", "y/d.png"), (100, 80))
    new = [Annotation(name, "bird", box=(0, 0, 9, 9), category_id=0) for name in sizes]
    assert sorted(file.files(new, {}, sizes)) == [
        "carried.csv",
        "labels/a.txt",
        "labels/c.txt",
        "labels/d.txt",
        "labels/x/b.txt",
        "labels/y/b.txt",
        "labels/z/e.txt",
    ]
