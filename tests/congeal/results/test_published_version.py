from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, known, opened
from PIL import Image

import congeal
from infra.errors import UserError
from infra.ledger.sealed_text import opened_text, sealed_text

__all__ = ["known", "opened"]


def test_pixels_come_from_the_source(opened: Any, known: Path) -> None:
    expected = np.array(Image.open(known.parent / "source" / "a" / "2.png").convert("RGB"))
    np.testing.assert_array_equal(opened.image("a/2.png"), expected)
    with pytest.raises(UserError, match=r"broken.jpg could not be used: not an image"):
        opened.image("broken.jpg")


def test_a_source_that_has_changed_is_noticed(known: Path, tmp_path: Path) -> None:
    home = shutil.copytree(known.parent, tmp_path / "home")
    for path in (home / "destination" / "published" / "versions").iterdir():
        text, _ = opened_text(path.read_bytes())
        path.write_bytes(
            sealed_text(json.loads(text.replace(str(known.parent).encode(), str(home).encode())))
        )
    opened = congeal.open(home / "destination")
    shutil.copy(home / "source" / "a" / "1.png", home / "source" / "a" / "0.png")
    with pytest.raises(UserError, match=r"a/0.png has changed since it was catalogued"):
        opened.image("a/0.png")
    (home / "source" / "a" / "3.png").unlink()
    with pytest.raises(UserError, match=r"a/3.png does not exist"):
        opened.image("a/3.png")


def test_several_names_in_the_order_asked(opened: Any) -> None:
    by_name = opened.images.set_index("uri")["image_id"]
    names = ["b/0.png", by_name["a/1.png"], "a/copy.png", "b/0.png"]
    rows = opened._published.find_all(names)
    assert [row["uri"] for row in rows] == ["b/0.png", "a/1.png", "a/copy.png", "b/0.png"]
    assert opened._published.find_all([]) == []
    with pytest.raises(UserError, match=r"There is no image 'a/9.png'"):
        opened._published.find_all([*names, "a/9.png"])


def test_names_in_annotation_files(opened: Any) -> None:
    assert opened.locate(["a/0.png", "misfit.png"]) == {"a/0.png": "a/0.png", "misfit.png": "a/misfit.png"}
    with pytest.raises(UserError, match=r"2 images are called '1.png'"):
        opened.locate(["1.png"])
    # A part of a file name is not its name.
    with pytest.raises(UserError, match=r"There is no image 'fit.png'"):
        opened.locate(["fit.png"])


def test_who_belongs_and_who_fits(opened: Any) -> None:
    rows = opened.members(BIRDS)
    assert [row["uri"] for row in rows] == ["a/0.png", "a/1.png", "a/2.png", "a/3.png", "a/misfit.png"]
    assert opened.misfits(BIRDS) == {rows[-1]["image_id"]: "few matches"}
    with pytest.raises(UserError, match="no cluster 'c0'"):
        opened.members("c0")
