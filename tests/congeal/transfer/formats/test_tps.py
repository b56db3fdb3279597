from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.formats.tps import Specimen, flipped, read, write

FILE = """LM=3
10.0 20.5
NA NA
-1.0 -1.0
IMAGE=wing 01.jpg
ID=0
SCALE=0.0125

lm=1\r
 7\t8\r
CURVES=2
POINTS=2
1 2
3 4
POINTS=1
5 6
IMAGE=b.jpg
ID=left
COMMENT=worn
"""

number = st.floats(0, 5000).map(lambda value: round(value, 5))
points = st.lists(st.tuples(number, number), min_size=1, max_size=6).map(np.array)


def test_a_file_as_tools_write_it() -> None:
    first, second = read(FILE.encode())
    assert first.landmarks[0].tolist() == [10, 20.5]
    assert np.isnan(first.landmarks[1:]).all()
    assert (first.image, first.name, first.scale) == ("wing 01.jpg", "0", 0.0125)
    assert second.landmarks.tolist() == [[7, 8]]
    assert [curve.tolist() for curve in second.curves] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert (second.name, second.comment, second.scale) == ("left", "worn", None)


@settings(max_examples=40)
@given(landmarks=points, curves=st.lists(points, max_size=2), scale=st.none() | st.floats(0.01, 10))
def test_there_and_back(landmarks: np.ndarray, curves: list[np.ndarray], scale: float | None) -> None:
    given_ = Specimen("a b.jpg", landmarks, curves, "7", scale, "by hand")
    (back,) = read(write([given_]))
    np.testing.assert_allclose(back.landmarks, landmarks, atol=1e-5)
    assert len(back.curves) == len(curves)
    for one, other in zip(back.curves, curves, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert (back.image, back.name, back.comment) == ("a b.jpg", "7", "by hand")
    assert back.scale == (scale if scale is None else pytest.approx(scale, rel=1e-8))


def test_y_points_up_in_the_file() -> None:
    # The centre of the top-left pixel of an image 100 pixels high is the 99th from the bottom.
    top_left = np.array([[0.0, 0.0], [12.0, 99.0]])
    assert flipped(top_left, 100).tolist() == [[0, 99], [12, 0]]
    np.testing.assert_array_equal(flipped(flipped(top_left, 100), 100), top_left)


def test_a_line_break_in_a_name_breaks_nothing() -> None:
    specimens = [Specimen("a\nLM=3\n.jpg", np.ones((1, 2)), comment="x\ny"), Specimen("b", np.ones((1, 2)))]
    assert [one.image for one in read(write(specimens))] == ["a LM=3 .jpg", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no LM="),
        ("x,y\n1,2\n", "line 1 .* is neither a pair"),
        ("IMAGE=a.jpg\n", "comes before any LM="),
        ("LM=two\n", "counts 'two'"),
        ("LM=2\n1 2\nIMAGE=a.jpg\n", "line 3 .* is no pair"),
        ("LM=2\n1 2\n", "is no pair"),
        ("LM=1\n1 2 3\n", "line 2 .* is no pair"),
        ("LM=1\n1 2\n3 4\n", "line 3 .* is neither"),
        ("LM3=1\n1 2 3\n", "three dimensions"),
        ("LM=1\n1 2\nSCALE=big\n", "SCALE=big is no number"),
    ],
)
def test_what_is_no_tps_file(text: str, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        read(text.encode())


def test_more_that_is_no_tps_file() -> None:
    for text, words in (
        ("LM=²\n", "counts '²'"),
        ("LM=1\n1 inf\n", "no pair"),
        ("LM=1\n1 1e999\n", "no pair"),
    ):
        with pytest.raises(CongealError, match=words):
            read(text.encode())


def test_names_keep_their_blanks() -> None:
    for name in ("wing  01 .png", " b.png", "c.png ", "d\u2028e.png", "f\x0cg.png"):
        (back,) = read(write([Specimen(name, np.ones((2, 2)))]))
        assert back.image == name


def test_outlines_are_no_curves() -> None:
    text = b"LM=1\n1 2\nCURVES=1\nPOINTS=1\n3 4\nOUTLINES=1\nPOINTS=2\n5 6\n7 8\nIMAGE=a\nID=0\n"
    (one,) = read(text)
    assert [part.tolist() for part in one.curves] == [[[3, 4]]]
    assert [part.tolist() for part in one.outlines] == [[[5, 6], [7, 8]]]
    (back,) = read(write([one]))
    assert [len(part) for part in (*back.curves, *back.outlines)] == [1, 2]
