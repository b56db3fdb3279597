from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.transfer.formats.deeplabcut import read
from congeal.transfer.formats.deeplabcut_h5 import csv_of

COLUMNS = [("me", part, one) for part in ("snout", "tail base") for one in "xy"]
SEVERAL = [("me", who, "snout", one) for who in ("m1", "single") for one in "xy"]
FRAMES = [("labeled-data", "v", "a.png"), ("labeled-data", "v", "b, c.png")]
VALUES = np.array([[1.5, 2.25, np.nan, np.nan], [3.0, 4.0, 5.123456789, 6.0]])


def levels(group: Any, name: str, rows: Sequence[tuple[str, ...]]) -> None:
    """An index of pandas, as its fixed format keeps it: the names of each level and a number for each row."""
    for number, values in enumerate(zip(*rows, strict=True)):
        known = sorted(set(values))
        group[f"{name}_level{number}"] = np.array([value.encode() for value in known])
        group[f"{name}_label{number}"] = np.array([known.index(value) for value in values], np.int8)


def made(columns: Sequence[tuple[str, ...]] = COLUMNS, frames: Any = FRAMES, **more: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("df_with_missing")
        levels(group, "axis0", columns)
        levels(group, "block0_items", columns)
        if isinstance(frames[0], str):
            group["axis1"] = np.array([name.encode() for name in frames])
        else:
            levels(group, "axis1", frames)
        group["block0_values"] = VALUES
        for name, value in more.items():
            if name in group:
                del group[name]
            if value is not None:
                group[name] = value
    return buffer.getvalue()


def test_what_the_arrays_hold_is_the_csv() -> None:
    assert csv_of(made(), "x.csv") == (
        "scorer,,,me,me,me,me\nbodyparts,,,snout,snout,tail base,tail base\ncoords,,,x,y,x,y\n"
        'labeled-data,v,a.png,1.5,2.25,,\nlabeled-data,v,"b, c.png",3.0,4.0,5.123456789,6.0\n'
    )


def test_several_animals_and_one_index_column() -> None:
    text = csv_of(made(SEVERAL, ["v/a.png", "v/b.png"]), "x.csv")
    assert text == (
        "scorer,me,me,me,me\nindividuals,m1,m1,single,single\nbodyparts,snout,snout,snout,snout\n"
        "coords,x,y,x,y\nv/a.png,1.5,2.25,,\nv/b.png,3.0,4.0,5.123456789,6.0\n"
    )
    file = read(text.encode())
    assert [entry.annotation.category for entry in file.entries({})] == ["m1", "single"] * 2


def pickled() -> Any:
    """Bytes of any length, as pandas keeps objects that it has pickled; what they hold is never looked at."""
    values = np.empty(1, object)
    values[0] = np.frombuffer(b"objects", np.uint8)
    return values


def test_pickled_names_are_not_read() -> None:
    buffer = io.BytesIO(made(axis1_level0=None))
    with h5py.File(buffer, "a") as file:
        file["df_with_missing"].create_dataset(
            "axis1_level0", data=pickled(), dtype=h5py.vlen_dtype(np.uint8)
        )
    with pytest.raises(CongealError, match=r"pickled objects, which are not read: give x\.csv"):
        csv_of(buffer.getvalue(), "x.csv")
    with pytest.raises(CongealError, match=r"pickled objects, which are not read: give x\.csv"):
        csv_of(made(table=np.zeros(2)), "x.csv")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"block0_values": np.zeros((3, 4))}, "no table of numbers"),
        ({"axis1_label0": np.array([0, 7])}, "numbers names that it does not hold"),
        ({"axis0_label2": None}, "axis0_label2 in it is no array"),
        ({"axis1_label2": np.array([0])}, "names of its rows and columns are missing"),
    ],
)
def test_files_that_do_not_hold_together(more: dict[str, Any], words: str) -> None:
    with pytest.raises(CongealError, match=rf"{words}.*: give x\.csv"):
        csv_of(made(**more), "x.csv")


def test_files_that_are_none() -> None:
    with pytest.raises(CongealError, match=r"no HDF5 file that h5py reads .*: give x\.csv"):
        csv_of(made()[:200], "x.csv")
    reasons = []
    for write in (empty, linked, claiming):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            write(file)
        with pytest.raises(CongealError) as caught:
            csv_of(buffer.getvalue(), "x.csv")
        reasons.append(str(caught.value))
    assert [reason.split(": give x.csv")[0] for reason in reasons] == [
        "it holds 0 tables, not one",
        "df_with_missing in it lies in another file",
        "its arrays claim more than 1 GiB",
    ]


def empty(file: Any) -> None:
    pass


def linked(file: Any) -> None:
    file["df_with_missing"] = h5py.ExternalLink("elsewhere.h5", "/df_with_missing")


def claiming(file: Any) -> None:
    file.create_dataset("df_with_missing/block0_values", shape=(1 << 28, 4), dtype=float, chunks=(1024, 4))


def test_without_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CongealError, match=r"pip install 'congeal\[deeplabcut\]', or give x\.csv"):
        csv_of(data, "x.csv")
