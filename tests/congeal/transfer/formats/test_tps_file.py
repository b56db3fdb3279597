from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.tps import read
from congeal.transfer.formats.tps_file import TpsFile, read_file

SIZES = {"a.png": (100, 80), "b.png": (100, 80)}
NAMES = {name: name for name in SIZES}


def carried(image: str, *points: tuple[float, float], place: int = 0) -> Annotation:
    return Annotation(
        image,
        "specimen",
        keypoints=np.array(points),
        keypoint_confidence=np.full(len(points), 0.75),
        confidence=0.75,
        origin=("a.png",),
        place=place,
    )


def back(file: TpsFile, *annotations: Annotation) -> str:
    return file.written(annotations, NAMES, SIZES).decode(file.encoding)


number = st.floats(-10, 500).map(lambda value: f"{value:.{int(value) % 6}f}") | st.just("NA") | st.just("1e1")
pair = st.tuples(number, number).map(" ".join)
end = st.sampled_from(["\n", "\r\n"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """TPS files as programs and people write them: own keys, blanks, empty lines, comments."""
    stop = draw(end)
    lines: list[str] = []
    for n in range(draw(st.integers(1, 4))):
        lines += ["LM=3", *draw(st.lists(pair, min_size=3, max_size=3))]
        lines += draw(st.sampled_from([[], ["CURVES=1", "POINTS=2", "1 2", "3.50  4"]]))
        facts = [f"IMAGE={draw(st.sampled_from(['a.png', ' a.png', 'x  y.png']))}", f"ID={n}"]
        facts += draw(
            st.lists(st.sampled_from(["SCALE=0.0120", "COMMENT= worn ", "VARIABLES=x=1", ""]), unique=True)
        )
        lines += draw(st.permutations(facts))
    return stop.join(lines) + draw(st.sampled_from(["", stop, stop * 3]))


@settings(max_examples=50)
@given(text=files(), mark=st.booleans())
def test_hand_made_specimens_come_back_letter_by_letter(text: str, mark: bool) -> None:
    data = text.encode("utf-8-sig" if mark else "utf-8")
    file = read_file(data)
    try:
        points = [(1.0, 2.0)] * sum(map(sum, file.division))
    except CongealError:
        points = []
    written = file.written([carried("b.png", *points)] if points else [], NAMES, SIZES)
    # A comment may be added on landmarks that are missing; nothing else.
    assert re.sub(rb"COMMENT=not marked: [0-9, ]+\r?\n", b"", written).startswith(data)
    added = read(written)[len(file.blocks) :]
    assert [one.image for one in added] == ["b.png"] * bool(points)
    assert written.count(b"\r\n") in (0, written.count(b"\n"))


def test_specimens_without_landmarks_are_filled_in_place() -> None:
    text = "LM=2\n1 2\n3 4\nIMAGE=a.png\nID=x\nLM=0\nIMAGE=b.png\nID=7\nSCALE=0.5\nCOMMENT=torn\n"
    file = read_file(text.encode())
    assert [entry.waiting for entry in file.entries(SIZES)] == [False, True]
    assert back(file, carried("b.png", (5, 6), (7, 8))) == (
        "LM=2\n1 2\n3 4\nIMAGE=a.png\nID=x\n"
        "LM=2\n5.00000 73.00000\n7.00000 71.00000\nIMAGE=b.png\nID=7\nSCALE=0.5\nCOMMENT=torn\n"
        "COMMENT=confidence 0.750 to 0.750, from a.png\n"
    )
    # Nothing was carried there: it stays as it is.
    assert back(file) == text


def test_the_second_specimen_of_an_image_waits_for_the_second() -> None:
    block = "LM={}\n{}IMAGE=b.png\nID={}\n"
    text = block.format(1, "1 2\n", "left") + block.format(0, "", "right")
    written = back(read_file(text.encode()), carried("b.png", (5, 6), place=1))
    assert [(one.name, len(one.landmarks)) for one in read(written.encode())] == [("left", 1), ("right", 1)]
    # The first is known; what is carried to a third place is added, with an id of its own.
    third = back(read_file(text.encode()), carried("b.png", (5, 6), place=2))
    assert [(one.name, len(one.landmarks)) for one in read(third.encode())] == [
        ("left", 1),
        ("right", 0),
        ("0", 1),
    ]


def test_missing_landmarks_stay_missing_and_say_so() -> None:
    text = "LM=3\n1 2\n-1.00000 -1.00000\nNA NA\nIMAGE=a.png\nID=x\n"
    once = back(read_file(text.encode()))
    assert once == text + "COMMENT=not marked: 2\n"
    assert back(read_file(once.encode())) == once
    commented = text + "COMMENT=torn\n"
    assert back(read_file(commented.encode())) == commented


def test_new_specimens_get_ids_beyond_the_highest() -> None:
    text = "LM=1\r\n1 2\r\nIMAGE=a.png\r\nID=41"
    written = back(read_file(text.encode()), carried("b.png", (5, 6)))
    assert written.startswith(text + "\r\nLM=1\r\n")
    assert read(written.encode())[1].name == "42"


def test_the_division_of_most_is_carried() -> None:
    block = "LM=1\n1 2\nCURVES=2\nPOINTS={}\n{}POINTS=1\n9 9\nIMAGE=a.png\nID={}\n"
    usual, other = block.format(1, "3 4\n", 0), block.format(2, "3 4\n5 6\n", 1)
    file = read_file((usual + other + usual).encode())
    entries = file.entries(SIZES)
    assert "curves of 2, 1 points, most have 1 landmarks and curves of 1, 1 points" in entries[1].problems[0]
    assert [entry.annotation.empty for entry in entries] == [False, True, False]
    with pytest.raises(CongealError, match="3 to 4 points: they must agree"):
        read_file((usual + other).encode()).entries(SIZES)


def test_old_encodings_come_back_as_they_were() -> None:
    data = "LM=1\n1 2\nIMAGE=Flügel.png\nID=Käfer\n".encode("cp1252")
    file = read_file(data)
    assert list(file.images) == ["Flügel.png"]
    assert file.written([], {}, {}) == data
    with pytest.raises(CongealError, match="save it as UTF-8"):
        file.written([carried("翅.png", (5, 6))], {}, {"翅.png": (9, 9)})
