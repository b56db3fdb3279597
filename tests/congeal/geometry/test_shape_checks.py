"""What `checked` lets through, what it refuses, and how it says so."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float, Integer
from placed_maps import identity

from congeal.errors import CongealError
from congeal.evaluation.pck import Annotated, bounding_unit, nearest_neighbour
from congeal.geometry import warps
from congeal.geometry.frames import Frame
from congeal.geometry.procrustes import procrustes
from congeal.geometry.shape_checks import Numbers, checked
from congeal.imaging.visualization import average_image, warped
from congeal.transfer.forward_backward_error import forward_backward_error
from congeal.transfer.fusion import combine_points
from congeal.transfer.points import Maps, transfer

shapes = st.lists(st.integers(0, 4), max_size=5).map(tuple)


@checked
def similarity(
    features: Float[np.ndarray, "n g g c"],
    saliency: Numbers[np.ndarray, "n g g"],
    owner: Integer[np.ndarray, " n"] | None = None,
    at: Float[np.ndarray, "n ... 2"] | None = None,
) -> str:
    return "done"


@given(shapes, shapes)
def test_only_arrays_that_fit_each_other_pass(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    fits = len(first) == 4 and first[1] == first[2] and second == first[:3]
    features, saliency = np.zeros(first, np.float16), np.zeros(second, bool)
    if fits:
        assert similarity(features, saliency) == "done"
    else:
        with pytest.raises(CongealError, match=r"^(features|saliency) has the shape .*, not \[n, g, g"):
            similarity(features, saliency)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"saliency": np.zeros((3, 4, 4))},
            "saliency has the shape [3, 4, 4], not [n, g, g] with n = 5, g = 4 as in features",
        ),
        ({"features": np.zeros((4, 4, 2))}, "features has the shape [4, 4, 2], not [n, g, g, c]"),
        (
            {"features": np.zeros((5, 4, 4, 2), np.uint8)},
            "features holds uint8, not floating-point numbers [n, g, g, c]",
        ),
        ({"features": None}, "features is NoneType, not floating-point numbers [n, g, g, c]"),
        ({"features": [[1.0], [1.0, 2.0]]}, "features is list, not floating-point numbers [n, g, g, c]"),
        ({"features": "features"}, "features holds <U8, not floating-point numbers [n, g, g, c]"),
        ({"owner": np.zeros(5)}, "owner holds float64, not whole numbers [n] with n = 5 as in features"),
        ({"at": np.zeros((5, 3))}, "at has the shape [5, 3], not [n, ..., 2] with n = 5 as in features"),
        ({"at": np.zeros((4, 2))}, "at has the shape [4, 2], not [n, ..., 2] with n = 5 as in features"),
    ],
)
def test_the_sentence_names_the_argument_what_it_is_and_what_it_must_be(
    arguments: dict[str, Any], sentence: str
) -> None:
    sound = {"features": np.zeros((5, 4, 4, 2)), "saliency": np.zeros((5, 4, 4))}
    with pytest.raises(CongealError) as raised:
        similarity(**(sound | arguments))
    assert str(raised.value) == sentence


def test_tensors_and_lists_are_arrays_too() -> None:
    assert similarity(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2), torch.zeros(1, dtype=torch.int64))
    assert similarity([[[[1.0]]]], [[[1]]], at=[[0.5, 0.5]])


def test_a_call_that_lacks_an_argument_says_so_as_ever() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'saliency'"):
        similarity(np.zeros((5, 4, 4, 2)))


def test_only_the_outermost_call_is_checked() -> None:
    @checked
    def outer(points: Float[np.ndarray, "k 2"], inner: Callable[[], Any]) -> Any:
        return inner()

    points = np.zeros((3, 2))
    assert outer(points, lambda: similarity(points, points)) == "done"
    # And again after it, and after an error inside.
    for _ in range(2):
        with pytest.raises(CongealError, match="features has the shape"):
            similarity(points, points)
        with pytest.raises(ZeroDivisionError):
            outer(points, lambda: 1 / 0)


def test_checked_functions_can_be_pickled_and_keep_their_documentation() -> None:
    assert pickle.loads(pickle.dumps(transfer)) is transfer
    assert transfer.__name__ == "transfer"
    assert "pixels of the source" in (transfer.__doc__ or "")


# --- the public door --------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(shapes.filter(lambda shape: len(shape) != 2 or shape[1] != 2))
def test_points_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    maps = identity(64, 48)
    with pytest.raises(CongealError, match=r"^points has the shape .*, not \[k, 2\]"):
        transfer(np.zeros(shape), maps, maps)
    with pytest.raises(CongealError, match=r"^points has the shape"):
        bounding_unit(np.zeros(shape))
    with pytest.raises(CongealError, match=r"^points has the shape"):
        Annotated(Frame(64, 48), np.zeros(shape), 1.0)


@settings(max_examples=50)
@given(st.sampled_from(["forward", "forward_confidence", "backward", "backward_confidence"]), shapes)
def test_maps_of_another_shape_are_refused(name: str, shape: tuple[int, ...]) -> None:
    maps = identity(64, 48)
    if np.shape(getattr(maps, name)) == shape:
        return
    values = {field: getattr(maps, field) for field in Maps.__dataclass_fields__}
    with pytest.raises(CongealError, match="has the shape"):
        Maps(**(values | {name: np.zeros(shape)}))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: transfer([["a", "b"]], identity(9, 9), identity(9, 9)), "points holds"),
        (lambda: nearest_neighbour([], np.zeros((3, 4, 5, 6))), "features has the shape"),
        (lambda: procrustes([[1, 2], [3, 4]]), "landmarks has the shape"),
        (lambda: procrustes("wings"), "landmarks holds"),
        (lambda: combine_points(np.zeros((2, 3, 4, 2)), np.zeros((2, 3, 5)), np.ones(3)), "confidence has"),
        (lambda: warped(np.zeros((8, 8, 3)), np.zeros((4, 4, 2))), "image holds float64, not uint8"),
        (
            lambda: average_image(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((3, 4, 4, 2)), np.ones(2)),
            "forward has the shape",
        ),
        (
            lambda: forward_backward_error(np.zeros((2, 4, 4, 2)), np.zeros((2, 4, 4)), np.ones((4, 4)), 0.3),
            "backward has the shape",
        ),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(call: Callable[[], Any], name: str) -> None:
    with pytest.raises(CongealError, match=f"^{name}") as raised:
        call()
    assert "\n" not in str(raised.value)


@settings(max_examples=30)
@given(shapes)
def test_fields_of_another_shape_have_no_warp(shape: tuple[int, ...]) -> None:
    field, at = torch.zeros(2, 4, 4, 3), torch.zeros(2, 5, 2)
    if len(shape) < 2 or shape[0] != 2 or shape[-1] != 2:
        with pytest.raises(CongealError, match=r"^at has the shape"):
            warps.sample(field, torch.zeros(shape))
        with pytest.raises(CongealError, match=r"^(points|mirrored) has the shape"):
            warps.flip(torch.zeros(shape), torch.zeros(2, dtype=torch.bool))
    if len(shape) != 4 or shape[0] != 2 or shape[1] != shape[2]:
        with pytest.raises(CongealError, match="has the shape"):
            warps.sample(torch.zeros(shape), at)
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 2:
        with pytest.raises(CongealError, match=r"^places has the shape"):
            warps.jacobian_determinants(torch.zeros(shape))
