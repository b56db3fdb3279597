from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, known, opened

from infra.errors import UserError
from infra.storage.location import Location
from tasks.propagation import (
    Order,
    propagate_deeplabcut,
    propagate_sleap,
)

__all__ = ["known", "opened"]


DEEPLABCUT = (
    "scorer,,,me,me,me,me\nbodyparts,,,eye,eye,tail,tail\ncoords,,,x,y,x,y\n"
    "labeled-data,a,0.png,30.0,25,40,35\nlabeled-data,a,2.png,,,,\nlabeled-data,a,nowhere.png,1,1,2,2\n"
)


def test_deeplabcut_in_and_out(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    facts = propagate_deeplabcut(opened, "x/CollectedData_me.csv", DEEPLABCUT.encode(), Order(out))
    assert facts["out"] == str(out / "CollectedData_me.csv")
    assert (facts["images"], facts["by_hand"], facts["carried"], facts["clusters"]) == (4, 2, 3, [BIRDS])
    (left,) = facts["left_out_annotations"]
    assert (left["name"], left["image"]) == ("the labels in line 6", "labeled-data/a/nowhere.png")
    lines = (out / "CollectedData_me.csv").read_bytes().decode().splitlines()
    given = DEEPLABCUT.splitlines()
    # The frame without labels is filled in place; those that are new come after.
    assert [line == old for line, old in zip(lines[:6], given, strict=True)] == [True] * 4 + [False, True]
    rows = [line.split(",") for line in lines]
    assert rows[4][:3] == ["labeled-data", "a", "2.png"]
    assert [row[:3] for row in rows[6:]] == [["labeled-data", "a", "1.png"], ["labeled-data", "a", "3.png"]]
    # a/1.png shows the same at twice the size.
    np.testing.assert_allclose([float(cell) for cell in rows[6][3:]], [60.5, 50.5, 80.5, 70.5], atol=0.01)
    sure = list(csv.reader(io.StringIO((out / "likelihood_CollectedData_me.csv").read_bytes().decode())))
    assert sure[2][3:] == ["x", "y", "likelihood"] * 2
    assert sure[3] == ["labeled-data", "a", "0.png", "30.0", "25", "1", "40", "35", "1"]
    assert float(sure[6][5]) == pytest.approx(0.8)
    assert [row[:3] for row in sure] == [row[:3] for row in rows]
    # What comes out goes in again, and nothing is left to be done.
    again = (out / "CollectedData_me.csv").read_bytes()
    facts = propagate_deeplabcut(opened, "CollectedData_me.csv", again, Order(out / "again"))
    assert facts["carried"] == 0
    assert (out / "again/CollectedData_me.csv").read_bytes() == again


def test_listed_frames_that_get_nothing_are_named(opened: Any, tmp_path: Path) -> None:
    text = "scorer,me,me\nbodyparts,eye,eye\ncoords,x,y\na/0.png,30,25\na/misfit.png,,\na/copy.png,,\n"
    facts = propagate_deeplabcut(opened, "c.csv", text.encode(), Order(Location.parse(tmp_path / "out")))
    assert [one["image"] for one in facts["left_out_images"]] == ["a/misfit.png"]
    assert facts["left_out_duplicates"] == [{"image": "a/copy.png", "same_as": "a/0.png"}]


def test_individuals_of_deeplabcut(opened: Any, tmp_path: Path) -> None:
    text = (
        "scorer,me,me,me,me\nindividuals,m1,m1,m2,m2\nbodyparts,eye,eye,eye,eye\ncoords,x,y,x,y\n"
        "a/0.png,30,25,40,35\na/1.png,,,80,70\n"
    )
    out = Location.parse(tmp_path / "out")
    facts = propagate_deeplabcut(opened, "c.csv", text.encode(), Order(out))
    assert facts["left_out_annotations"] == []
    lines = (out / "c.csv").read_bytes().decode().splitlines()
    assert lines[:6] == text.splitlines()
    assert [line.split(",")[0] for line in lines[6:]] == ["a/2.png", "a/3.png"]
    assert all(all(line.split(",")) for line in lines[6:])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"x,y\n1,2\n", "c.csv cannot be used: it is no DeepLabCut file"),
        (DEEPLABCUT.replace("0.png,30.0", "0.png,300").encode(), None),
        (DEEPLABCUT.replace("a,0.png", "c,outlier.png").encode(), "is an outlier"),
        (DEEPLABCUT.replace("30.0,25,40,35", ",,,").encode(), "There is no image"),
        (b"\x89HDF\r\n\x1a\n", "no HDF5 file that h5py reads .*: give c.csv"),
    ],
)
def test_deeplabcut_files_that_cannot_be_carried(
    opened: Any, tmp_path: Path, data: bytes, words: str | None
) -> None:
    out = Location.parse(tmp_path / "out")
    if words is not None:
        with pytest.raises(UserError, match=words):
            propagate_deeplabcut(opened, "c.csv", data, Order(out))
        return
    # One point beyond the image: it is named, the other is carried.
    facts = propagate_deeplabcut(opened, "c.csv", data, Order(out))
    assert "point 0 at (300, 25) lies outside" in facts["left_out_annotations"][-1]["reason"]
    assert (out / "c.csv").read_bytes().decode().splitlines()[3] == "labeled-data,a,0.png,300,25,40,35"


def test_sleap_in_and_out(opened: Any, tmp_path: Path) -> None:
    import sleap_io

    names = [f"/lab/a/{number}.png" for number in range(3)]
    about = {"type": "ImageVideo", "shape": [3, 60, 80, 3], "filename": names[0], "filenames": names}
    video = sleap_io.Video(filename=names, backend_metadata=about, open_backend=False)
    skeleton = sleap_io.Skeleton(["eye", "tail"])
    bird = sleap_io.Instance.from_numpy(np.array([[30.0, 25], [40, 35]]), skeleton)
    given = tmp_path / "given.slp"
    frame = sleap_io.LabeledFrame(video, 0, [bird])
    sleap_io.save_slp(sleap_io.Labels([frame]), str(given), embed=False, verbose=False)
    out = Location.parse(tmp_path / "out")
    facts = propagate_sleap(opened, "given.slp", given.read_bytes(), Order(out))
    assert (facts["images"], facts["by_hand"], facts["carried"]) == (4, 1, 3)
    assert facts["taken_for"][names[0]] == "a/0.png"
    back = sleap_io.load_slp(str(tmp_path / "out" / "labels.slp"), open_videos=False)
    frames = {frame.video.filename[frame.frame_idx]: frame.instances for frame in back.labeled_frames}
    assert list(frames) == [*names, "/lab/a/3.png"]
    assert type(frames[names[0]][0]) is sleap_io.Instance
    np.testing.assert_array_equal(frames[names[0]][0].numpy(), [[30, 25], [40, 35]])
    wide = frames[names[1]][0]
    assert type(wide) is sleap_io.PredictedInstance
    np.testing.assert_allclose(wide.numpy(), [[60.5, 50.5], [80.5, 70.5]], atol=0.01)
    assert wide.score == pytest.approx(0.8)
    assert wide.points["score"].tolist() == pytest.approx([0.8, 0.8])
    again = (out / "labels.slp").read_bytes()
    assert propagate_sleap(opened, "b.slp", again, Order(out / "again"))["carried"] == 0
    with pytest.raises(UserError, match=r"b\.slp cannot be used: it is no SLEAP file"):
        propagate_sleap(opened, "b.slp", b"", Order(out / "none"))
