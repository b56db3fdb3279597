from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import FITTING, known, opened

from congeal.transfer.formats import tps
from infra.errors import UserError
from infra.storage.location import Location
from tasks.propagation import (
    Order,
    propagate_tps,
)

__all__ = ["known", "opened"]


def test_tps_in_and_out(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    # In an image of 60 rows, y = 30 from the top is the 29th pixel from the bottom.
    given = b"LM=2\n32 29\nNA NA\nCURVES=1\nPOINTS=2\n40 24\n45 24\nIMAGE=a/0.png\nID=bird 1\nSCALE=0.5\n"
    facts = propagate_tps(opened, "b.tps", given, Order(out))
    assert facts["images"] == 4
    specimens = {one.image: one for one in tps.read((out / "landmarks.tps").read_bytes())}
    assert list(specimens) == FITTING
    assert (out / "landmarks.tps").read_bytes().startswith(given)
    own = specimens["a/0.png"]
    assert (own.name, own.scale) == ("bird 1", 0.5)
    assert own.landmarks[0].tolist() == [32, 29]
    wide = specimens["a/1.png"]
    # 32, 30 from the top is 64.5, 60.5 in twice the size, and 119 - 60.5 from the bottom.
    np.testing.assert_allclose(wide.landmarks[0], [64.5, 58.5], atol=1e-3)
    assert np.isnan(wide.landmarks[1]).all()
    np.testing.assert_allclose(wide.curves[0][0], [80.5, 48.5], atol=1e-3)
    assert wide.scale is None
    assert wide.comment.startswith("confidence 0.000 to 0.800, from a/0.png")


def test_tps_files_that_cannot_be_carried(opened: Any, tmp_path: Path) -> None:
    order = Order(Location.parse(tmp_path / "out"))
    for data, words in (
        (
            b"LM=1\n500 1\nIMAGE=a/0.png\n",
            "b.tps cannot be transferred: .* on a/0.png: point 0 at .* lies outside",
        ),
        (b"LM=1\n1 1\nIMAGE=a/0.png\nLM=2\n1 1\n2 2\nIMAGE=a/1.png\n", "have 1 to 2 points"),
        (b"nothing", "b.tps cannot be used: line 1"),
        (b"LM=1\n1 1\nID=0\n", "There is no image ''"),
        (b"LM=0\nIMAGE=a/0.png\n", "no specimen in it has a landmark"),
    ):
        with pytest.raises(UserError, match=words):
            propagate_tps(opened, "b.tps", data, order)


def test_two_specimens_on_one_photograph_stay_two(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    block = "LM=2\n{}\n{}\nIMAGE=a/0.png\nID={}\n"
    given = block.format("32 29", "40 24", "left") + block.format("50 29", "45 40", "right")
    facts = propagate_tps(opened, "b.tps", given.encode(), Order(out, to=["a/1.png"]))
    text = (out / "landmarks.tps").read_bytes().decode()
    assert text.startswith(given)
    assert facts["carried"] == 2
    first, second = tps.read(text.encode())[2:]
    np.testing.assert_allclose(first.landmarks, [[64.5, 58.5], [80.5, 48.5]], atol=1e-3)
    np.testing.assert_allclose(second.landmarks, [[100.5, 58.5], [90.5, 80.5]], atol=1e-3)
    assert "a/0.png" in first.comment


def test_specimens_without_landmarks_are_targets(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    given = "LM=2\n32 29\nNA NA\nIMAGE=a/0.png\nID=0\n" + "".join(
        f"LM=0\nIMAGE={name}\nID={n}\n" for n, name in enumerate(["a/1.png", "c/outlier.png"], 1)
    )
    facts = propagate_tps(opened, "b.tps", given.encode(), Order(out))
    specimens = tps.read((out / "landmarks.tps").read_bytes())
    assert [(one.image, one.name, len(one.landmarks)) for one in specimens] == [
        ("a/0.png", "0", 2),
        ("a/1.png", "1", 2),
        ("c/outlier.png", "2", 0),
        ("a/2.png", "3", 2),
        ("a/3.png", "4", 2),
    ]
    # What the person could not see is not filled in.
    assert np.isnan(specimens[0].landmarks[1]).all()
    assert specimens[0].comment == ""
    assert facts["images"] == 4
