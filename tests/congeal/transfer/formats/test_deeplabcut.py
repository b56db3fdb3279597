from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.deeplabcut import DeepLabCutFile, read
from congeal.transfer.formats.frame_names import FrameNames, parts_of

ONE = "scorer,me,me,me,me\nbodyparts,snout,snout,tail,tail\ncoords,x,y,x,y\n"
THREE = "scorer,,,me,me,me,me\nbodyparts,,,snout,snout,tail,tail\ncoords,,,x,y,x,y\n"
SEVERAL = (
    "scorer,,,me,me,me,me,me,me\nindividuals,,,m1,m1,m2,m2,single,single\n"
    "bodyparts,,,snout,snout,snout,snout,corner,corner\ncoords,,,x,y,x,y,x,y\n"
)


def carried(image: str, *points: tuple[float, float], sure: float = 0.75, who: str = "animal") -> Annotation:
    return Annotation(
        image,
        who,
        keypoints=np.array(points),
        keypoint_confidence=np.where(np.isnan(points).any(1), 0.0, sure),
        confidence=sure,
        origin=("a.png",),
        place=0,
    )


def back(file: DeepLabCutFile, *annotations: Annotation, **found: str) -> str:
    return file.written(annotations, found or {n: n for n in file.images}, {}).decode(file.encoding)


def likelihoods(file: DeepLabCutFile, *annotations: Annotation, **found: str) -> list[list[str]]:
    text = file.likelihoods(annotations, found or {n: n for n in file.images}).decode()
    return list(csv.reader(io.StringIO(text)))


def test_labels_are_read() -> None:
    file = read((THREE + "labeled-data,v,a.png,1.5,2,,\nlabeled-data,v,b.png,NaN,nan,,\n").encode())
    assert list(file.images) == ["labeled-data/v/a.png", "labeled-data/v/b.png"]
    marked, waiting = file.entries({})
    np.testing.assert_array_equal(marked.annotation.keypoints, [[1.5, 2], [np.nan, np.nan]])
    assert marked.annotation.keypoint_names == ("snout", "tail")
    assert marked.annotation.keypoint_confidence is None
    assert (marked.name, marked.waiting, waiting.waiting) == ("the labels in line 4", False, True)


def test_frames_are_filled_and_added() -> None:
    text = ONE + "labeled-data/v/a.png,1.50,2,,\nlabeled-data/v/b.png,,,,\n"
    names = {"labeled-data/v/a.png": "a.png", "labeled-data/v/b.png": "b.png"}
    new = [carried("b.png", (3, 4), (np.nan, np.nan)), carried("c, d.png", (5.25, 6), (7, 8.12345))]
    file = read(text.encode())
    assert back(file, *new, **names) == (
        ONE + "labeled-data/v/a.png,1.50,2,,\nlabeled-data/v/b.png,3.000,4.000,,\n"
        '"labeled-data/v/c, d.png",5.250,6.000,7.000,8.123\n'
    )
    rows = likelihoods(file, *new, **names)
    assert rows[0] == ["scorer", *["me"] * 6]
    assert rows[1] == ["bodyparts", *["snout"] * 3, *["tail"] * 3]
    assert rows[2] == ["coords", *["x", "y", "likelihood"] * 2]
    assert rows[3:] == [
        ["labeled-data/v/a.png", "1.50", "2", "1", "", "", ""],
        ["labeled-data/v/b.png", "3.000", "4.000", "0.7500", "", "", ""],
        ["labeled-data/v/c, d.png", "5.250", "6.000", "0.7500", "7.000", "8.123", "0.7500"],
    ]


def test_likelihoods_go_in_again() -> None:
    file = read((ONE + "a.png,1,2,,\n").encode())
    text = file.likelihoods([carried("b.png", (3, 4), (5, 6), sure=0.5)], {"a.png": "a.png"})
    again = read(text)
    own, doubtful = again.entries({})
    assert own.annotation.keypoint_confidence.tolist() == [1, 1]
    assert doubtful.annotation.keypoint_confidence.tolist() == [0.5, 0.5]
    assert again.likelihoods([], {"a.png": "a.png", "b.png": "b.png"}) == text
    assert again.written([carried("c.png", (7, 8), (9, 1))], {}, {}).endswith(
        b"c.png,7.000,8.000,0.7500,9.000,1.000,0.7500\n"
    )


def test_individuals_are_kept_apart() -> None:
    rows = "labeled-data,v,a.png,1,2,3,4,,\nlabeled-data,v,b.png,1,2,,,9,9\n"
    file = read((SEVERAL + rows).encode())
    entries = file.entries({})
    assert [entry.annotation.category for entry in entries] == ["m1", "m2", "single"] * 2
    # A person has looked at the frame: who is not marked is not there.
    assert [entry.absent for entry in entries] == [False, False, True, False, True, False]
    new = [
        carried("labeled-data/v/c.png", (5, 6), who="single"),
        carried("labeled-data/v/c.png", (7, 8), who="m1"),
    ]
    assert back(file, *new) == SEVERAL + rows + "labeled-data,v,c.png,7.000,8.000,,,5.000,6.000\n"
    assert likelihoods(file)[1][3:] == ["m1"] * 3 + ["m2"] * 3 + ["single"] * 3


cell = st.sampled_from(["", "1", "2.50", "1e1", "003.10", "NaN", " 7", '"4.5"', "-0", "many"])
name = st.sampled_from(["a.png", "b c.png", '"d, ""e"".png"', "Flügel.png", "labeled-data\\v\\a.png"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """CSV files as programs and people leave them: quotes, blank lines, cells that are missing at the end."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    index = draw(st.sampled_from([1, 3]))
    lines = (ONE if index == 1 else THREE).splitlines()
    for _ in range(draw(st.integers(1, 5))):
        marks = draw(st.lists(cell, min_size=2, max_size=4))
        before = [] if index == 1 else ["labeled-data", draw(st.sampled_from(["v", '"v 2"']))]
        lines.append(",".join([*before, draw(name), *marks]))
        lines += draw(st.sampled_from([[], [], [""]]))
    return end.join(lines) + draw(st.sampled_from(["", end, end * 2]))


@settings(max_examples=100)
@given(text=files(), mark=st.booleans())
def test_hand_made_cells_come_back_letter_by_letter(text: str, mark: bool) -> None:
    data = text.encode("utf-8-sig" if mark else "utf-8")
    file = read(data)
    assert file.written([], {n: n for n in file.images}, {}) == data
    new = [carried(n, (1, 2), (3, 4)) for n in ("labeled-data/new/1.png", "labeled-data/new/2.png")]
    written = file.written(new, {n: n for n in file.images}, {})
    assert written.startswith(data)
    again = read(written)
    assert len(again.frames) == len(file.frames) + 2
    assert [parts_of(n) for n in list(again.images)[-2:]] == [
        ["labeled-data", "new", "1.png"],
        ["labeled-data", "new", "2.png"],
    ]
    # What programs read of it is what they read before, and more.
    old, now = (list(csv.reader(io.StringIO(one.decode("utf-8-sig"), newline=""))) for one in (data, written))
    assert [row for row in now if row][:-2] == [row for row in old if row]


@settings(max_examples=50)
@given(text=files())
def test_filling_a_frame_changes_no_other(text: str) -> None:
    file = read(text.encode())
    waiting = {entry.image for entry in file.entries({}) if entry.waiting}
    written = file.written([carried(n, (1, 2), (3, 4)) for n in waiting], {n: n for n in file.images}, {})
    before, after = text.splitlines(), written.decode().splitlines()
    changed = [b for b, a in zip(before, after, strict=True) if a != b]
    assert len(changed) == len(waiting)
    assert not any(entry.waiting for entry in read(written).entries({}) if entry.image not in waiting)


def test_a_cell_that_is_no_place_is_named() -> None:
    file = read((ONE + "a.png,1,2,x?,4\nb.png,1,,5,6\nc.png,inf,1,,\na.png,7,8,,\n./b.png,1,2,,\n").encode())
    problems = [entry.problems for entry in file.entries({})]
    assert problems == [
        ["tail has 'x?', which is no number"],
        ["snout has an x or a y alone"],
        ["snout has 'inf', which is no number"],
        ["the frame has a row already, in line 4"],
        ["the frame has a row already, in line 5"],
    ]
    np.testing.assert_array_equal(file.entries({})[0].annotation.keypoints, [[1, 2], [np.nan, np.nan]])
    assert file.entries({})[3].annotation is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first rows begin with scorer, bodyparts and coords"),
        ("name,x,y\na,1,2\n", "first rows begin with scorer"),
        (ONE.replace(",", ";") + "a.png;1;2;3;4\n", "cells are divided by commas"),
        (ONE, "it names no frames"),
        (ONE + "a.png,1,2,3,4,5\n", "line 4 has 6 cells and its header 5"),
        (ONE + 'a.png,"1,2,3,4\n', "a quote in line 4 has no end"),
        (ONE.replace("tail", "snout") + "a.png,1,2,3,4\n", "two columns are the x of 'snout'"),
        (ONE.replace("x,y\n", "x,z\n") + "a.png,1,2,3,4\n", "the body part 'tail' has no column y"),
        (ONE.replace("coords,x,y,x,y", "coords,a,b,a,b") + "a.png,1,2,3,4\n", "no body part"),
        (ONE.replace("scorer,me", "scorer") + "a.png,1,2,3,4\n", "line 1 has 4 cells and line 3 5"),
    ],
)
def test_files_that_are_none(text: str, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        read(text.encode())


def test_an_encoding_that_lacks_a_letter() -> None:
    file = read((ONE + "Flügel.png,1,2,3,4\n").encode("cp1252"))
    assert list(file.images) == ["Flügel.png"]
    with pytest.raises(CongealError, match="save it as UTF-8"):
        back(file, carried("翅.png", (1, 2), (3, 4)))


def test_new_frames_are_named_as_the_file_names_its_own() -> None:
    names = FrameNames({"labeled-data/v/a.png": "a.png"})
    assert names.name("b.png") == "labeled-data/v/b.png"
    assert names.cells("b.png", 3) == ["labeled-data", "v", "b.png"]
    assert FrameNames({"a.png": "a.png"}).name("x/b.png") == "x/b.png"
    assert FrameNames({}).name("x/b.png") == "x/b.png"
    # Folders that are called otherwise in the file; one that is not known there.
    names = FrameNames({"labeled-data/left/a.png": "1/a.png", "labeled-data/right/b.png": "2/b.png"})
    assert names.name("2/c.png") == "labeled-data/right/c.png"
    assert names.name("3/c.png") == "3/c.png"
    rows = [["labeled-data", "left", "a.png"]]
    assert FrameNames({"labeled-data/left/a.png": "1/a.png"}, rows).cells("3/c.png", 3) == [
        "labeled-data",
        "3",
        "c.png",
    ]
    assert FrameNames({}).cells("labeled-data/v/w/c.png", 3) == ["labeled-data", "v/w", "c.png"]
    # Other case, Windows' and absolute paths.
    assert FrameNames({"C:\\data\\A.PNG": "a.png"}).name("b.png") == "C:\\data\\b.png"
    assert FrameNames({"/data/a.png": "a.png"}).name("x/b.png") == "/data/x/b.png"
