"""What a user hands to the solver: any arrays of numbers, and a sentence that names what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import congeal
from congeal.errors import CongealError

few = {"resolution": 4, "map_resolution": 4}
FORMS = {
    "lists": lambda array: array.tolist(),
    "float64": lambda array: array.astype(np.float64),
    "another byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "columns first in memory": np.asfortranarray,
    "memory that is only read": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(
        array.shape
    ),
    "a tensor": torch.tensor,
    "a tensor with a gradient": lambda array: torch.tensor(array, requires_grad=True),
    "a sparse tensor": lambda array: torch.tensor(array).to_sparse(),
    "a negated view": lambda array: torch._neg_view(torch.tensor(-array)),
}


@pytest.fixture(scope="module")
def features() -> np.ndarray[Any, Any]:
    # Few digits, so that bfloat16 holds them, too.
    numbers = np.random.default_rng(0).integers(-8, 8, (4, 4, 6)).astype(np.float32)
    return np.stack([numbers, numbers, numbers])


@pytest.fixture(scope="module")
def saliency() -> np.ndarray[Any, Any]:
    shown = np.zeros((3, 4, 4), np.float32)
    shown[:, 1:3] = 1
    return shown


@pytest.fixture(scope="module")
def plain(features: Any, saliency: Any) -> congeal.Alignment:
    return congeal.align(features, saliency, **few)


@pytest.mark.parametrize("form", [*FORMS, "bfloat16"])
def test_the_same_numbers_in_another_form_give_the_same(
    form: str, features: Any, saliency: Any, plain: congeal.Alignment
) -> None:
    made = FORMS.get(form, lambda array: torch.tensor(array).bfloat16())
    given, kept = made(features), features.copy()
    found = [
        congeal.align(given, made(saliency), **few),
        congeal.align_many(iter([congeal.SetArrays(given, made(saliency))]), **few)[0],
    ]
    for one in found:
        assert np.array_equal(one.forward, plain.forward)
        assert np.array_equal(one.backward_confidence, plain.backward_confidence)
    fitted = congeal.fit(plain.atlas, given, made(saliency), map_resolution=4)
    assert np.array_equal(
        fitted.forward, congeal.fit(plain.atlas, features, saliency, map_resolution=4).forward
    )
    assert np.array_equal(features, kept)


def test_a_mask_is_a_saliency_and_what_is_below_0_counts_as_0(
    features: Any, saliency: Any, plain: congeal.Alignment
) -> None:
    for given in (saliency > 0, saliency.astype(int), np.where(saliency > 0, 1, -3)):
        assert np.array_equal(congeal.align(features, given, **few).forward, plain.forward)


def test_equal_images_and_a_single_one_are_no_error(features: Any, saliency: Any) -> None:
    assert congeal.align(features[:2], saliency[:2], **few).outlier.tolist() == [False, False]
    assert congeal.align(features[:1], saliency[:1], **few).status == "single"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", None, "seed is a whole number"),
        ("seed", 2**70, "seed is a whole number from"),
        ("extent", 0, "extent is a number of frame units above 0, not 0"),
        ("extent", float("nan"), "extent is a number"),
        ("extent", 10**400, "extent is a number of frame units above 0, from 1e-06 to 1e"),
        ("extent", 1e-300, "extent is a number of frame units above 0, from 1e-06 to 1e"),
        ("device", "gpu", "no device 'gpu'; use auto, cpu, cuda"),
        ("config", {}, "config is dict, not congeal.SolverConfig"),
        ("map_resolution", 10**6, "map_resolution is at most 1024 cells"),
        ("turned", np.zeros(3), "turned is ndarray, not"),
        ("features", torch.empty((3, 4, 4, 6), device="meta"), "features is a tensor on the device meta"),
        ("features", np.zeros((3, 1, 1, 6)), "g ≥ 2"),
        ("features", np.zeros((3, 6, 4, 4)), "the channels come last"),
    ],
)
def test_what_is_no_argument_is_named(
    name: str, value: Any, said: str, features: Any, saliency: Any, plain: congeal.Alignment
) -> None:
    asked: dict[str, Any] = {"features": features, "saliency": saliency} | few | {name: value}
    if name == "features" and np.shape(value)[1] == 1:
        asked["saliency"] = np.zeros((3, 1, 1))
    with pytest.raises(CongealError, match=said) as raised:
        congeal.align(**asked)
    assert "\n" not in str(raised.value)
    del asked["resolution"]
    with pytest.raises(CongealError, match=said):
        congeal.fit(plain.atlas, **asked)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("anchor", 3, "anchor is int, not"),
        ("parts", ["a"], "parts is list, not a dictionary"),
        ("parts", {"a": "6"}, "parts has whole numbers"),
        ("parts", {"a": True, "b": 5}, "parts has whole numbers"),
        ("blank", "x", "blank is str, not numbers"),
        ("blank", 0.1, "blank has no list of numbers"),
        ("position", np.full((2, 6), np.nan), "position holds numbers that are not finite"),
    ],
)
def test_what_only_an_alignment_takes_is_named(
    name: str, value: Any, said: str, features: Any, saliency: Any
) -> None:
    with pytest.raises(CongealError, match=said):
        congeal.align(features, saliency, **few, **{name: value})


def test_a_list_of_tensors_that_numpy_cannot_read_is_named(saliency: Any) -> None:
    with pytest.raises(CongealError, match="features is list, not numbers"):
        congeal.align([torch.zeros(4, 4, 6).bfloat16()] * 3, saliency)


def test_a_set_by_itself_is_no_list_of_sets(features: Any, saliency: Any) -> None:
    one: Any = congeal.SetArrays(features, saliency)
    with pytest.raises(CongealError, match="sets is SetArrays, not a list"):
        congeal.align_many(one)
    with pytest.raises(CongealError, match="set 1: seed is a whole number, not 'x'"):
        congeal.align_many([one, congeal.SetArrays(features, saliency, seed="x")])
