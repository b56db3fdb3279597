from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
from known_collection import known
from PIL import Image

from congeal.transfer.formats import tps

__all__ = ["known"]

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_from_a_destination_to_landmarks(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DESTINATION", str(known))
    monkeypatch.setenv("OUT", str(tmp_path))
    runpy.run_path(str(EXAMPLES / "landmarks.py"))
    said = capsys.readouterr().out
    assert "marked: a/0.png" in said
    # What is known of these images is that they are similar.
    assert "not in shape" in said
    with Image.open(tmp_path / "landmarks.png") as picture:
        assert picture.size == (6 * 220, 220)
    specimens = tps.read((tmp_path / "landmarks.tps").read_bytes())
    assert [one.image for one in specimens] == ["a/0.png", "a/1.png", "a/2.png", "a/3.png"]
    assert all(len(one.landmarks) == 5 for one in specimens)
    assert (tmp_path / "landmarks.csv").read_text().startswith("image,image_id,point,x,y,confidence")


@pytest.mark.slow
def test_from_images_to_a_point_in_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = EXAMPLES.parent / "samples" / "mug" / "images"
    place = tmp_path / "samples" / "mug" / "images"
    place.mkdir(parents=True)
    for number in range(1, 4):
        shutil.copy(images / f"mug-{number:02}.jpg", place)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "three_lines.py"))
    assert capsys.readouterr().out.startswith("Transferred(xy=array([[")
    with Image.open(tmp_path / "aligned.png") as picture:
        assert picture.width > 4 * 160
