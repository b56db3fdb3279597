"""Two individuals on images that show both, one of them, or the other: each is told by how it looks."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import Flock, known_collection
from PIL import Image
from placed_maps import placed

import congeal
from congeal.geometry.frames import Frame, cell_centres
from congeal.transfer.annotations import Annotation
from congeal.transfer.points import Maps
from infra.errors import UserError
from infra.storage.location import Location
from tasks.propagation import Order, propagate_deeplabcut, propagate_sleap

BLACK, WHITE = 40, 210
LEFT, RIGHT = -0.5, 0.5
# Who is the first instance of an image, and where; who is the second.
SHOWN = {
    "a/0.png": ((BLACK, LEFT), (WHITE, RIGHT)),
    "a/1.png": ((WHITE, LEFT), (BLACK, RIGHT)),
    "a/2.png": ((WHITE, RIGHT),),
    "a/3.png": ((WHITE, RIGHT), (BLACK, LEFT)),
}
SIZES = {"a/0.png": (80, 60), "a/1.png": (160, 120), "a/2.png": (64, 84), "a/3.png": (100, 100)}


def seen(name: str, x: float) -> Maps:
    """A map of what lies on one side of an image, and is sure there alone."""
    maps = placed(Frame(*SIZES[name]), 0.3, (x, 0.0), 0.0, 0.8)
    side = (cell_centres(16)[..., 0] * x) > 0
    return replace(maps, backward_confidence=np.where(side, 0.8, 0.05))


def file_of(name: str) -> bytes:
    """The image: grey, with whoever it shows on either side."""
    width, height = SIZES[name]
    pixels = np.random.default_rng(len(name)).integers(110, 140, (height, width, 3)).astype(np.uint8)
    for grey, x in SHOWN[name]:
        pixels[:, width // 2 :] = grey if x > 0 else pixels[:, width // 2 :]
        pixels[:, : width // 2] = grey if x < 0 else pixels[:, : width // 2]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    maps = {name: [seen(name, x) for _, x in shown] for name, shown in SHOWN.items()}
    flock = Flock(maps, {name: file_of(name) for name in SHOWN})
    return congeal.open(known_collection(tmp_path_factory.mktemp("two"), flock))


def place(name: str, x: float) -> list[float]:
    """The middle of what lies on one side of an image, pixels."""
    return np.asarray(Frame(*SIZES[name]).to_pixels(np.array([[x, 0.0]])))[0].tolist()


def mark(name: str, who: str, x: float) -> Annotation:
    return Annotation(name, who, keypoints=np.array([place(name, x)]), instances="own")


def where(c: Any, *marks: Annotation, **more: Any) -> dict[tuple[str, str], list[float]]:
    found = c.propagate_annotations(marks, marked=False, **more)
    return {(one.image, one.category): one.keypoints[0].tolist() for one in found}


def test_each_is_carried_to_itself(two: Any) -> None:
    assert two.instances("a/1.png") == (0, 1)
    found = where(two, mark("a/0.png", "black", LEFT), mark("a/0.png", "white", RIGHT))
    expected = {
        ("a/1.png", "white"): place("a/1.png", LEFT),
        ("a/1.png", "black"): place("a/1.png", RIGHT),
        ("a/2.png", "white"): place("a/2.png", RIGHT),  # who is not there gets nothing
        ("a/3.png", "white"): place("a/3.png", RIGHT),
        ("a/3.png", "black"): place("a/3.png", LEFT),
    }
    assert found.keys() == expected.keys()
    for key, xy in expected.items():
        np.testing.assert_allclose(found[key], xy, atol=0.5)


def test_one_alone_is_told_from_the_others(two: Any) -> None:
    found = where(two, mark("a/1.png", "black", RIGHT))
    np.testing.assert_allclose(found["a/3.png", "black"], place("a/3.png", LEFT), atol=0.5)
    np.testing.assert_allclose(found["a/0.png", "black"], place("a/0.png", LEFT), atol=0.5)
    # Nothing says that it is not the one that a/2.png shows.
    assert ("a/2.png", "black") in found
    first = where(two, mark("a/1.png", "black", RIGHT), instances=False)
    np.testing.assert_allclose(first["a/3.png", "black"], place("a/3.png", RIGHT), atol=0.5)


def test_who_is_marked_on_an_image_takes_its_instance(two: Any) -> None:
    marks = [mark("a/0.png", "black", LEFT), mark("a/0.png", "white", RIGHT), mark("a/3.png", "black", RIGHT)]
    found = where(two, *marks)  # a person says that the white one is called black there
    np.testing.assert_allclose(found["a/3.png", "white"], place("a/3.png", LEFT), atol=0.5)
    assert ("a/3.png", "black") not in found


def test_individuals_of_deeplabcut_keep_their_names(two: Any, tmp_path: Path) -> None:
    (x, y), (p, q) = place("a/0.png", LEFT), place("a/0.png", RIGHT)
    text = (
        "scorer,,,me,me,me,me,me,me\nindividuals,,,black,black,white,white,single,single\n"
        "bodyparts,,,eye,eye,eye,eye,corner,corner\ncoords,,,x,y,x,y,x,y\n"
        f"labeled-data,a,0.png,{x},{y},{p},{q},{x},{y}\nlabeled-data,a,2.png,,,,,,\n"
    )
    out = Location.parse(tmp_path / "out")
    facts = propagate_deeplabcut(two, "c.csv", text.encode(), Order(out))
    rows = list(csv.reader(io.StringIO((out / "c.csv").read_bytes().decode())))
    assert [",".join(row) for row in rows[:5]] == text.splitlines()[:5]
    by_image = {row[2]: row[3:] for row in rows[4:]}
    assert facts["carried"] == 2 + 3 + 3  # white and single on a/2.png
    assert by_image["2.png"][:2] == ["", ""]
    np.testing.assert_allclose(
        [float(one) for one in by_image["2.png"][2:4]], place("a/2.png", RIGHT), atol=0.5
    )
    for name, black in (("a/1.png", RIGHT), ("a/3.png", LEFT)):
        cells = [float(one) for one in by_image[Path(name).name][:4]]
        np.testing.assert_allclose(cells, [*place(name, black), *place(name, -black)], atol=0.5)
    again = (out / "c.csv").read_bytes()
    assert propagate_deeplabcut(two, "c.csv", again, Order(out / "again"))["carried"] == 0
    assert (out / "again/c.csv").read_bytes() == again


def test_tracks_of_sleap_keep_their_names(two: Any, tmp_path: Path) -> None:
    import sleap_io

    names = [f"a/{number}.png" for number in range(4)]
    about = {"type": "ImageVideo", "shape": [4, 60, 80, 3], "filename": names[0], "filenames": names}
    video = sleap_io.Video(filename=names, backend_metadata=about, open_backend=False)
    skeleton = sleap_io.Skeleton(["eye"])
    tracks = [sleap_io.Track("black"), sleap_io.Track("white")]
    birds = [
        sleap_io.Instance.from_numpy(np.array([place(names[0], x)]), skeleton, track=track)
        for track, x in zip(tracks, (LEFT, RIGHT), strict=True)
    ]
    given = tmp_path / "given.slp"
    labels = sleap_io.Labels([sleap_io.LabeledFrame(video, 0, birds)])
    sleap_io.save_slp(labels, str(given), embed=False, verbose=False)
    propagate_sleap(two, "given.slp", given.read_bytes(), Order(Location.parse(tmp_path / "out")))
    back = sleap_io.load_slp(str(tmp_path / "out" / "labels.slp"), open_videos=False)
    found = {
        names[frame.frame_idx]: {one.track.name: one.numpy()[0] for one in frame.instances}
        for frame in back.labeled_frames
    }
    assert {name: sorted(one) for name, one in found.items()} == {
        "a/0.png": ["black", "white"],
        "a/1.png": ["black", "white"],
        "a/2.png": ["white"],
        "a/3.png": ["black", "white"],
    }
    for name, black in (("a/0.png", LEFT), ("a/1.png", RIGHT), ("a/3.png", LEFT)):
        np.testing.assert_allclose(found[name]["black"], place(name, black), atol=0.5)
        np.testing.assert_allclose(found[name]["white"], place(name, -black), atol=0.5)


def deeplabcut(*individuals: str) -> str:
    """A file in which each has an eye; on a/0.png, the first on the left, the others on the right."""
    xy = [place("a/0.png", LEFT), *[place("a/0.png", RIGHT)] * (len(individuals) - 1)]
    cells = [",".join([one] * 2) for one in individuals]
    return (
        f"scorer,,,{','.join(['me'] * 2 * len(cells))}\nindividuals,,,{','.join(cells)}\n"
        f"bodyparts,,,{','.join(['eye'] * 2 * len(cells))}\ncoords,,,{','.join(['x,y'] * len(cells))}\n"
        f"labeled-data,a,0.png,{','.join(f'{x},{y}' for x, y in xy)}\n"
    )


def rows_of(two: Any, text: str, out: Location) -> tuple[dict[str, Any], dict[str, list[str]]]:
    facts = propagate_deeplabcut(two, "c.csv", text.encode(), Order(out))
    rows = list(csv.reader(io.StringIO((out / "c.csv").read_bytes().decode())))
    return facts, {row[2]: row[3:] for row in rows[4:]}


@pytest.mark.parametrize("gone", ["a/3.png", "a/0.png"])
def test_an_image_that_is_gone_stops_no_other(two: Any, tmp_path: Path, gone: str) -> None:
    file = Path(two.source.url.removeprefix("file://")) / gone
    kept = file.read_bytes()
    file.unlink()
    try:
        text = deeplabcut("black", "white")
        (x, y) = place("a/1.png", LEFT)
        text += f"labeled-data,a,1.png,,,{x},{y}\n"  # the white one once more
        facts, rows = rows_of(two, text, Location.parse(tmp_path))
        with pytest.raises(UserError, match="does not exist"):
            where(two, mark("a/0.png", "black", LEFT), mark("a/0.png", "white", RIGHT))
    finally:
        file.write_bytes(kept)
    assert [one["image"] for one in facts["unseen"]] == [gone]
    assert "does not exist" in facts["unseen"][0]["reason"]
    assert gone not in facts["nothing_to_see"]
    if gone == "a/3.png":
        assert rows.keys() == {"0.png", "1.png", "2.png"}
        return
    # The black one is marked there alone: nobody knows how it looks. The white one is known from the other.
    assert rows["3.png"][:2] == ["", ""]
    white = [float(one) for one in rows["3.png"][2:]]
    np.testing.assert_allclose(white, place("a/3.png", RIGHT), atol=0.5)


def test_body_parts_of_nobody_stand_beside_individuals(two: Any, tmp_path: Path) -> None:
    _, rows = rows_of(two, deeplabcut("black", "", "white"), Location.parse(tmp_path))
    for name, black in (("a/1.png", RIGHT), ("a/3.png", LEFT)):
        cells = [float(one) for one in rows[Path(name).name]]
        np.testing.assert_allclose(cells[:2], place(name, black), atol=0.5)
        np.testing.assert_allclose(cells[4:], place(name, -black), atol=0.5)
