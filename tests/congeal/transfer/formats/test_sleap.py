from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sleap_io

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats import sleap

NAMES = [f"/lab/frames/{number}.png" for number in range(4)]
FOUND = {name: name.removeprefix("/lab/frames/") for name in NAMES}
SIZES = {f"{number}.png": (80, 60) for number in range(9)}


def video(names: list[str]) -> Any:
    about = {"type": "ImageVideo", "shape": [len(names), 60, 80, 3], "filename": names[0], "filenames": names}
    return sleap_io.Video(filename=names, backend_metadata=about, open_backend=False)


def labels(tracks: bool = True) -> Any:
    """Two mice on the first frame, one on the second, a prediction on the third, none on the fourth."""
    skeleton = sleap_io.Skeleton(["snout", "tail"], edges=[("snout", "tail")], name="mouse")
    left, right = sleap_io.Track("left"), sleap_io.Track("right")
    images = video(NAMES)

    def mouse(points: Any, track: Any) -> Any:
        return sleap_io.Instance.from_numpy(
            np.array(points, float), skeleton, track=track if tracks else None
        )

    guess = sleap_io.PredictedInstance.from_numpy(
        np.array([[5.0, 6.0], [7.0, 8.0]]),
        skeleton,
        point_scores=np.array([0.5, 0.625]),
        score=0.25,
        track=left,
    )
    frames = [
        sleap_io.LabeledFrame(
            images, 0, [mouse([[1.5, 2], [3, 4]], left), mouse([[9, 9], [np.nan] * 2], right)]
        ),
        sleap_io.LabeledFrame(images, 1, [mouse([[2, 2], [3, 5]], right)]),
        sleap_io.LabeledFrame(images, 2, [guess]),
    ]
    return sleap_io.Labels(
        frames,
        suggestions=[sleap_io.SuggestionFrame(images, 3)],
        provenance={"filename": "/lab/mine.slp", "note": "first day"},
        tracks=[left, right],
    )


def encoded(given: Any, folder: Path) -> bytes:
    place = folder / "given.slp"
    sleap_io.save_slp(given, str(place), embed=False, verbose=False)
    return place.read_bytes()


def opened(data: bytes, folder: Path) -> Any:
    place = folder / "opened.slp"
    place.write_bytes(data)
    return sleap_io.load_slp(str(place), open_videos=False)


def carried(image: str, kind: str = "0/0", *, sure: tuple[float, float] = (0.75, 0.5)) -> Annotation:
    return Annotation(
        image,
        "left",
        keypoints=np.array([[10.0, 20.0], [np.nan, np.nan] if sure[1] == 0 else [30.0, 40.0]]),
        keypoint_confidence=np.array(sure),
        confidence=0.625,
        category_id=kind,
        place=0,
    )


def facts(given: Any) -> list[Any]:
    """All that frames hold, comparable."""
    return [
        (
            frame.video.filename[frame.frame_idx],
            [
                (
                    type(one).__name__,
                    one.track and one.track.name,
                    one.skeleton.name,
                    str(one.points.tolist()),
                )
                for one in frame.instances
            ],
        )
        for frame in given.labeled_frames
    ]


def test_instances_are_read(tmp_path: Path) -> None:
    file = sleap.read(encoded(labels(), tmp_path))
    assert file.images == {NAMES[0]: (80, 60)} | dict.fromkeys(NAMES[1:])
    entries = file.entries({})
    marked = [entry for entry in entries if not entry.absent]
    assert [(one.name, one.image, one.annotation.category) for one in marked] == [
        ("instance 1 of frame 0", NAMES[0], "left"),
        ("instance 2 of frame 0", NAMES[0], "right"),
        ("instance 1 of frame 1", NAMES[1], "right"),
    ]
    np.testing.assert_array_equal(marked[1].annotation.keypoints, [[9, 9], [np.nan] * 2])
    assert marked[0].annotation.keypoint_names == ("snout", "tail")
    # On a frame that somebody, or a network, has worked on, nothing is added.
    absent = [(entry.image, entry.annotation.category) for entry in entries if entry.absent]
    assert sorted(absent) == [(NAMES[1], "left"), (NAMES[2], "left"), (NAMES[2], "right")]


def test_without_tracks_the_nth_belongs_with_the_nth(tmp_path: Path) -> None:
    entries = sleap.read(encoded(labels(tracks=False), tmp_path)).entries({})
    assert {(entry.annotation.category, entry.annotation.category_id) for entry in entries} == {
        ("mouse", "0/-1")
    }
    assert [entry.image for entry in entries if entry.absent] == [NAMES[1], NAMES[2], NAMES[2]]


def test_what_is_carried_is_predicted_and_all_else_stays(tmp_path: Path) -> None:
    data = encoded(labels(), tmp_path)
    before = opened(data, tmp_path)
    written = sleap.read(data).written([carried("3.png"), carried("7.png", sure=(0.75, 0))], FOUND, SIZES)
    after = opened(written, tmp_path)
    assert facts(after)[:3] == facts(before)
    assert [track.name for track in after.tracks] == ["left", "right"]
    assert len(after.suggestions) == 1
    assert after.skeletons[0].edge_inds == [(0, 1)]
    new = {frame.video.filename[frame.frame_idx]: frame.instances for frame in after.labeled_frames[3:]}
    # An image that was in no list has one of its own, named as the others are.
    assert list(new) == [NAMES[3], "/lab/frames/7.png"]
    assert [one.filename for one in after.videos] == [NAMES, ["/lab/frames/7.png"]]
    assert after.videos[1].backend_metadata["shape"] == [1, 60, 80, 3]
    one = new[NAMES[3]][0]
    assert isinstance(one, sleap_io.PredictedInstance)
    assert (one.score, one.track.name) == (0.625, "left")
    assert one.points["score"].tolist() == [0.75, 0.5]
    assert one.numpy().tolist() == [[10, 20], [30, 40]]
    assert np.isnan(new["/lab/frames/7.png"][0].numpy()[1]).all()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(io.BytesIO(written)) as now:
        assert json.loads(now["provenance_json"][()]) == {"filename": "/lab/mine.slp", "note": "first day"}
        assert now["videos_json"][0] == old["videos_json"][0]


def test_what_sleap_io_does_not_know_stays(tmp_path: Path) -> None:
    place = tmp_path / "given.slp"
    encoded(labels(), tmp_path)
    with h5py.File(place, "a") as file:
        file["of_a_later_version/rows"] = [1, 2, 3]
    with h5py.File(io.BytesIO(sleap.read(place.read_bytes()).written([], FOUND, SIZES))) as file:
        assert file["of_a_later_version/rows"][:].tolist() == [1, 2, 3]


def test_a_frame_without_instances_is_filled(tmp_path: Path) -> None:
    given = labels()
    given.labeled_frames.append(sleap_io.LabeledFrame(given.videos[0], 3))
    file = sleap.read(encoded(given, tmp_path))
    assert [entry.image for entry in file.entries({}) if entry.waiting] == [NAMES[3]]
    after = opened(file.written([carried("3.png")], FOUND, SIZES), tmp_path)
    assert [frame.frame_idx for frame in after.labeled_frames] == [0, 1, 2, 3]
    given.labeled_frames[3].is_negative = True
    entries = sleap.read(encoded(given, tmp_path)).entries({})
    assert len([entry for entry in entries if entry.image == NAMES[3] and entry.absent]) == 2


def test_images_of_another_size_have_a_list_of_their_own(tmp_path: Path) -> None:
    file = sleap.read(encoded(labels(), tmp_path))
    sizes = SIZES | {"8.png": (40, 30)}
    after = opened(file.written([carried(f"{n}.png") for n in (6, 7, 8)], FOUND, sizes), tmp_path)
    assert [one.backend_metadata["shape"][:3] for one in after.videos[1:]] == [[2, 60, 80], [1, 30, 40]]


def test_a_list_of_one_image(tmp_path: Path) -> None:
    given = labels()
    alone = sleap_io.Video(
        filename="/lab/frames/8.png",
        backend_metadata={"type": "SingleImageVideo", "filename": "/lab/frames/8.png"},
        open_backend=False,
    )
    instance = sleap_io.Instance.from_numpy(np.ones((2, 2)), given.skeletons[0], track=given.tracks[0])
    file = sleap.read(encoded(sleap_io.Labels([sleap_io.LabeledFrame(alone, 0, [instance])]), tmp_path))
    assert [entry.image for entry in file.entries({})] == list(file.images) == ["/lab/frames/8.png"]


def test_clips_are_named(tmp_path: Path) -> None:
    given = labels()
    clip = sleap_io.Video(
        filename="day1.mp4",
        backend_metadata={"type": "MediaVideo", "filename": "day1.mp4"},
        open_backend=False,
    )
    instance = sleap_io.Instance.from_numpy(np.ones((2, 2)), given.skeletons[0], track=given.tracks[0])
    given.videos.append(clip)
    given.labeled_frames.append(sleap_io.LabeledFrame(clip, 5, [instance]))
    file = sleap.read(encoded(given, tmp_path))
    entry = next(entry for entry in file.entries({}) if entry.problems)
    assert entry.name == "instance 1 of frame 5"
    assert "the clip day1.mp4, which is not read" in entry.problems[0]
    after = opened(file.written([], FOUND, SIZES), tmp_path)
    assert after.labeled_frames[3].instances[0].numpy().tolist() == [[1, 1], [1, 1]]
    alone = sleap_io.Labels([given.labeled_frames[3]])
    with pytest.raises(CongealError, match=r"the clip day1\.mp4, which is not read"):
        sleap.read(encoded(alone, tmp_path))


def test_packages_and_predictions_alone_are_refused(tmp_path: Path) -> None:
    given = labels()
    package = {
        "type": "HDF5Video",
        "filename": ".",
        "dataset": "video0/video",
        "input_format": "channels_last",
    }
    data = encoded(given, tmp_path)
    place = tmp_path / "package.slp"
    place.write_bytes(data)
    with h5py.File(place, "a") as file:
        del file["videos_json"]
        row = json.dumps({"filename": ".", "backend": package})
        file.create_dataset("videos_json", data=[row], dtype=h5py.string_dtype())
    with pytest.raises(CongealError, match="its images lie in the file itself"):
        sleap.read(place.read_bytes())
    guessed = sleap_io.Labels([given.labeled_frames[2]])
    with pytest.raises(CongealError, match="no instance in it was marked by hand"):
        sleap.read(encoded(guessed, tmp_path))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match="no SLEAP file"):
        sleap.read(b"scorer,me\n")
    data = encoded(labels(), tmp_path)
    with pytest.raises(CongealError, match="no HDF5 file that h5py reads"):
        sleap.read(data[:300])
    other = tmp_path / "other.slp"
    with h5py.File(other, "w") as file:
        file["x"] = [1]
    with pytest.raises(CongealError, match="sleap-io cannot read it"):
        sleap.read(other.read_bytes())
    with h5py.File(other, "w") as file:
        file["frames"] = h5py.ExternalLink("elsewhere.h5", "frames")
    with pytest.raises(CongealError, match="frames in it lies in another file"):
        sleap.read(other.read_bytes())


def test_what_a_kill_leaves_of_a_file_says_whose_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(labels(), tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[str] = []
    load = sleap_io.load_slp
    monkeypatch.setattr(
        sleap_io,
        "load_slp",
        lambda name, **more: (seen.append(Path(name).parent.name), load(name, **more))[1],
    )
    sleap.read(data)
    assert [whose.rpartition("-")[0] for whose in seen] == [f"congeal-labels-{os.getpid()}"]


def test_without_sleap_io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(labels(), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
    with pytest.raises(CongealError, match=r"pip install 'congeal\[sleap\]'"):
        sleap.read(data)
