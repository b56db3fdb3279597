"""Whatever a caller hands to the reader by mistake is answered in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from known_collection import BIRDS, BOATS, known, opened

import congeal
from congeal.errors import CongealError
from infra.errors import SettingsError, UserError

__all__ = ["known", "opened"]

POINTS = [[30.0, 30.0]]
THREE = [[30.0, 30.0], [40.0, 40.0], [35.0, 50.0]]
NOT_TEXT = (None, 3, float("nan"), b"a/0.png", {"image": "a/0.png"})


def refused(call: Callable[[], Any], words: str | None = None) -> None:
    with pytest.raises((UserError, CongealError), match=words) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("wrong", [*NOT_TEXT, ["a/0.png"], []])
def test_one_image_is_named_by_text(opened: Any, wrong: Any) -> None:
    for ask in (
        opened.find,
        opened.image,
        opened.maps,
        lambda image: opened.transfer(image, POINTS, "a/1.png"),
    ):
        refused(lambda ask=ask: ask(wrong), "names no image: a name is text")
    if wrong is not None:
        refused(lambda: opened.correspondences(image=wrong), "names no image")


@pytest.mark.parametrize("wrong", [*NOT_TEXT, [BIRDS], []])
def test_one_cluster_is_named_by_text(opened: Any, wrong: Any) -> None:
    for ask in (opened.atlas, opened.members, opened.misfits):
        refused(lambda ask=ask: ask(wrong), "names no cluster")
    if wrong is not None:
        refused(lambda: opened.correspondences(cluster=wrong), "names no cluster")
        refused(lambda: opened.landmarks([[0, 0]], atlas=wrong), "names no cluster")


@pytest.mark.parametrize("wrong", NOT_TEXT)
def test_several_images_are_a_list_of_names(opened: Any, wrong: Any) -> None:
    mask = np.zeros((60, 80), bool)
    for ask in (
        opened.nearest,
        opened.locate,
        lambda to: opened.transfer("a/0.png", POINTS, to),
        lambda to: opened.landmarks(POINTS, "a/0.png", to=to),
        lambda to: opened.propagate(mask, "a/0.png", to=to),
        lambda source: opened.landmarks(POINTS, source),
        lambda source: opened.propagate(mask, source),
    ):
        refused(lambda ask=ask: ask(wrong))
        refused(lambda ask=ask: ask([wrong]))


def test_a_path_is_a_name(opened: Any, known: Path) -> None:
    assert opened.find(Path("a/0.png"))["uri"] == "a/0.png"
    assert len(opened.transfer(Path("a/0.png"), POINTS, [Path("a/1.png")])) == 1
    assert opened.locate("a/0.png") == {"a/0.png": "a/0.png"}
    assert congeal.open(known, version=1).publication.number == 1


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (None, r"these have \[\]"),
        (3, r"these have \[\]"),
        ([1, 2, 3], r"these have \[3\]"),
        ([[1, 2, 3]], r"these have \[1, 3\]"),
        (np.zeros((2, 3)), r"these have \[2, 3\]"),
        (np.zeros((1, 1, 1, 2)), r"these have \[1, 1, 1, 2\]"),
        ([[1, 2], [3]], "no array of numbers"),
        ([["a", "b"]], "no array of numbers"),
        ([[1j, 2]], "no array of numbers"),
        ("30,30", "no array of numbers"),
        (pd.DataFrame({"name": ["beak"], "z": [1.0]}), "no array of numbers"),
        ([[np.nan, 1]], "lies outside"),
        ([[np.inf, 1]], "lies outside"),
        ([[-30, 1]], "lies outside"),
    ],
)
def test_points_are_numbers_in_pairs(opened: Any, points: Any, words: str) -> None:
    refused(lambda: opened.transfer("a/0.png", points, "a/1.png"), words)
    refused(lambda: opened.landmarks(points, "a/0.png"), words)


def test_no_points_no_targets_and_no_images_are_no_rows(opened: Any) -> None:
    for empty in ([], np.zeros((0, 2))):
        assert len(opened.transfer("a/0.png", empty, "a/1.png")) == 0
        assert len(opened.landmarks(empty, "a/0.png")) == 0
    nobody = opened.transfer("a/0.png", POINTS, [])
    assert list(nobody.columns) == ["target", "point", "x", "y", "confidence", "visible"]
    assert len(nobody) == len(opened.landmarks(POINTS, "a/0.png", to=[])) == 0
    assert list(opened.nearest([]).columns) == list(opened.nearest("a/0.png").columns)
    assert len(opened.nearest([])) == 0
    assert list(opened.propagate(np.zeros((60, 80), bool), "a/0.png", to=[])) == []
    assert opened.locate([]) == {}


def test_columns_of_a_data_frame_are_told_by_name(opened: Any) -> None:
    frame = pd.DataFrame({"name": ["beak"], "y": [31.0], "x": [30.0]})
    plain = opened.transfer("a/0.png", [[30.0, 31.0]], "a/1.png")
    assert opened.transfer("a/0.png", frame, "a/1.png").equals(plain)
    assert opened.transfer("a/0.png", [30.0, 31.0], "a/1.png").equals(plain)


def test_an_image_of_another_cluster_or_of_none_has_no_rows(opened: Any) -> None:
    everything = opened.correspondences()
    for question in (
        {"cluster": BIRDS, "image": "b/0.png"},
        {"cluster": BOATS, "image": "c/outlier.png"},
        {"image": "c/outlier.png"},
        {"image": "broken.jpg"},
    ):
        found = opened.correspondences(**question)
        assert len(found) == 0
        assert found.dtypes.equals(everything.dtypes)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"width": "wide"}, r"The column width holds numbers \(int32\), and 'wide' \(str\) is none"),
        ({"width": 80.5}, "The column width holds numbers"),
        ({"width": 2**40}, "The column width holds numbers"),
        ({"width": True}, "The column width holds numbers"),
        ({"uri": ["a/0.png", 3]}, r"The column uri holds text, and 3 \(int\) is none"),
        ({"status": 1}, "The column status holds text"),
        ({"outlier": "yes"}, "The column outlier holds true or false"),
        ({"uri": {"is": "a/0.png"}}, "The column uri holds text"),
        ({"widht": 80}, "no column widht: did you mean width?"),
        ("uri", "where is a dictionary"),
    ],
)
def test_conditions_that_cannot_be_meant(opened: Any, where: Any, words: str) -> None:
    refused(lambda: opened.table("images", where=where), words)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({"cluster_id": None}, ["broken.jpg", "c/outlier.png"]),
        ({"cluster_id": float("nan"), "status": "ok"}, ["c/outlier.png"]),
        ({"cluster_id": pd.NA, "outlier": True}, ["c/outlier.png"]),
        ({"uri": []}, []),
        ({"uri": np.array(["a/0.png"])}, ["a/0.png"]),
        ({"uri": pd.Series(["a/0.png", "no"])}, ["a/0.png"]),
        ({"uri": pa.array(["a/0.png"])}, ["a/0.png"]),
        ({"uri": (name for name in ["a/0.png"])}, ["a/0.png"]),
        ({"width": np.int64(64)}, ["a/2.png"]),
        ({"width": 64.0}, ["a/2.png"]),
        ({"width": [64, None]}, ["a/2.png", "broken.jpg"]),
    ],
)
def test_conditions_of_every_kind(opened: Any, where: Any, names: list[str]) -> None:
    assert opened.table("images", columns="uri", where=where)["uri"].tolist() == names


@pytest.mark.parametrize("wrong", ["Pandas", "xarry", "", None, 1, ["pandas"]])
def test_every_form_is_a_known_word(opened: Any, wrong: Any) -> None:
    for ask in (
        lambda: opened.table("images", as_=wrong),
        lambda: opened.correspondences(as_=wrong),
        lambda: opened.transfer("a/0.png", POINTS, "a/1.png", as_=wrong),
        lambda: opened.landmarks(POINTS, "a/0.png", as_=wrong),
        lambda: opened.nearest("a/0.png", as_=wrong),
        lambda: opened.sql("SELECT 1", as_=wrong),
        lambda: opened.atlas(BIRDS, as_=wrong),
        lambda: opened.maps("a/0.png", as_=wrong),
    ):
        refused(ask, "There is no form")


def test_the_nearest_word_is_named(opened: Any) -> None:
    refused(lambda: opened.table("images", as_="panda"), "no form 'panda': did you mean 'pandas'?")
    refused(lambda: opened.maps("a/0.png", as_="xarry"), "did you mean 'xarray'?")
    refused(lambda: opened.maps("a/0.png", as_="polars"), "no form 'polars': use numpy, xarray")
    refused(lambda: opened.table("imges"), "no table 'imges': did you mean 'images'?")
    refused(lambda: opened.table(["images"]), "no table")
    mask = np.zeros((60, 80), bool)
    refused(lambda: opened.propagate(mask, "a/0.png", kind="masks"), "did you mean 'mask'?")


@pytest.mark.parametrize("wrong", [1.5, "3", None, float("nan"), True])
def test_numbers_are_whole(opened: Any, wrong: Any) -> None:
    refused(lambda: opened.nearest("a/0.png", wrong), "no number of neighbours")
    if wrong is not None:
        table = opened.landmarks(THREE, "a/0.png")
        refused(lambda: opened.shapes(table, wrong), "no number of components")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["q", "q", "r"], "Two landmarks are called 'q'"),
        ([1, 2, 1], "Two landmarks are called 1"),
        ("abc", "is no list of names"),
        (["a", 1, "b"], "no name beside the others"),
        (["a", None, "b"], r"None \(NoneType\) is no name"),
        ([1.5, 2.5, 3.5], "is no name"),
        (["a"], "3 points and 1 name were given: each"),
    ],
)
def test_names_of_landmarks(opened: Any, names: Any, words: str) -> None:
    refused(lambda: opened.landmarks(THREE, "a/0.png", names=names), words)


def test_shapes_are_measured_from_any_table(opened: Any) -> None:
    table = opened.landmarks(THREE, "a/0.png")
    arrow = opened.landmarks(THREE, "a/0.png", as_="arrow")
    polars = type("DataFrame", (SimpleNamespace,), {"__module__": "polars.dataframe"})
    for given in (arrow, polars(to_arrow=lambda: arrow), table.set_index("image")):
        # By the rigid maps of this collection no shape varies: sizes alone.
        np.testing.assert_array_equal(opened.shapes(given, 0).landmarks, opened.shapes(table, 0).landmarks)


def test_tables_that_hold_no_landmarks(opened: Any) -> None:
    table = opened.landmarks(THREE, "a/0.png")
    for wrong in (None, [1, 2], {"image": ["a"]}, table["x"]):
        refused(lambda wrong=wrong: opened.shapes(wrong), "is no table")
    refused(lambda: opened.shapes(table.assign(x="a")), "column x of the landmarks does not hold numbers")
    refused(lambda: opened.shapes(pd.concat([table, table])), "is there more than once: keep one")
    refused(lambda: opened.shapes(table.drop(columns="x")), "no column x")
    refused(lambda: opened.shapes(table.iloc[:0]), "two are the least")


@pytest.mark.parametrize("wrong", [None, "edit.png", Path("edit.png"), [[0, 1], [1, 0]], [None]])
def test_an_edit_is_an_array(opened: Any, wrong: Any) -> None:
    refused(lambda: opened.propagate(wrong, "a/0.png"), "An edit is an array")


@pytest.mark.parametrize("wrong", [[1], [{"image": "a/0.png"}]])
def test_annotations_are_annotations(opened: Any, wrong: Any) -> None:
    refused(lambda: opened.propagate_annotations(wrong), "Number 0 of the annotations is")


@pytest.mark.parametrize("wrong", [None, 3, ["FROM images"], b"FROM images"])
def test_a_query_is_text(opened: Any, wrong: Any) -> None:
    refused(lambda: opened.sql(wrong), "A query is text")
    refused(lambda: opened.query(wrong), "A query is text")


def test_a_table_that_is_not_there_is_answered_with_those_that_are(opened: Any) -> None:
    for name in ("imags", "results"):
        with pytest.raises(
            UserError, match=r"The tables are images, clusters, .* the views members, landmarks"
        ):
            opened.sql(f"FROM {name}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"foo": 1}, "foo is no setting of the storage: there are endpoint_url, key"),
        ({"endpoint": "http://127.0.0.1:1"}, "did you mean endpoint_url?"),
        ({"anonymous": "perhaps"}, "storage.anonymous cannot be 'perhaps'"),
        ({"secret": 5}, "storage.secret cannot be the value given"),
        ({"options": "none"}, "storage.options cannot be the value given"),
    ],
)
def test_settings_of_the_storage(known: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        congeal.open(known, **given)


@pytest.mark.parametrize("wrong", [None, 5, b"x", ["x"]])
def test_a_destination_is_a_path_or_a_url(wrong: Any) -> None:
    refused(lambda: congeal.open(wrong), "names no place")


@pytest.mark.parametrize("wrong", [1.0, [1], True, -1, 9, "", "one"])
def test_a_version_is_a_number_or_a_name(known: Path, wrong: Any) -> None:
    refused(lambda: congeal.open(known, version=wrong), "version")
