"""Arrays of wrong shapes and dtypes that a user hands to the solver: one sentence names the argument."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import congeal
from congeal.alignment.inputs.rotated_views import Turned
from congeal.alignment.model import Anchor
from congeal.errors import CongealError

N, G, C = 3, 4, 6
SHAPES = {
    "features": (N, G, G, C),
    "saliency": (N, G, G),
    "mirrored_features": (N, G, G, C),
    "mirrored_saliency": (N, G, G),
    "valid": (N, G, G),
}
few = {"resolution": 4, "map_resolution": 4}


def arrays(**other: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {name: random.random(shape).astype(np.float32) for name, shape in SHAPES.items()} | other


@pytest.fixture(scope="module")
def atlas() -> congeal.Atlas:
    return congeal.align(**arrays(), **few).atlas


other_shapes = st.lists(st.integers(0, 5), max_size=5).map(tuple)


@settings(max_examples=60)
@given(st.sampled_from(sorted(SHAPES)), other_shapes)
def test_an_array_of_another_shape_is_named(atlas: congeal.Atlas, name: str, shape: tuple[int, ...]) -> None:
    if shape == SHAPES[name]:
        return
    wrong = arrays(**{name: np.zeros(shape, np.float32)})
    for call in (
        lambda: congeal.align(**wrong, **few),
        lambda: congeal.fit(atlas, **wrong, map_resolution=4),
        lambda: congeal.align_many([congeal.SetArrays(**arrays()), congeal.SetArrays(**wrong)], **few),
    ):
        with pytest.raises(CongealError) as raised:
            call()
        said = str(raised.value)
        # Where all others fit a wrong first array, they are what does not fit.
        named = "|".join(SHAPES) if name == "features" else name
        assert any(one in said for one in named.split("|")), said
        assert "\n" not in said
        assert str(list(shape)) in said or name == "features"


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("kind", [np.complex64, "U3", object])
def test_an_array_of_another_dtype_is_named(atlas: congeal.Atlas, name: str, kind: Any) -> None:
    wrong = arrays(**{name: np.ones(SHAPES[name]).astype(kind)})
    for lead, call in (
        ("", lambda: congeal.align(**wrong, **few)),
        ("", lambda: congeal.fit(atlas, **wrong, map_resolution=4)),
        ("set 0: ", lambda: congeal.align_many([congeal.SetArrays(**wrong)], **few)),
    ):
        with pytest.raises(CongealError, match=f"^{lead}{name} (holds|is) .*, not numbers"):
            call()


def test_truth_values_will_do_where_they_mean_something() -> None:
    masks = {name: np.ones(SHAPES[name], bool) for name in ("saliency", "mirrored_saliency", "valid")}
    ones = {name: mask.astype(np.float32) for name, mask in masks.items()}
    one, other = (congeal.align(**arrays(**some), **few) for some in (masks, ones))
    np.testing.assert_array_equal(one.forward, other.forward)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"features": None}, r"^features is NoneType, not numbers \[n, g, g, c\]"),
        ({"saliency": None}, r"^saliency is NoneType, not numbers \[n, g, g\] with n = 3, g = 4 as in "),
        ({"position": np.zeros(C)}, r"^position has the shape \[6\], not \[k, c\] with c = 6 as in features"),
        ({"position": np.zeros((2, C + 1))}, r"^position has the shape \[2, 7\]"),
    ],
)
def test_what_align_is_given_wrong_is_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CongealError, match=sentence):
        congeal.align(**arrays(**arguments), **few)


def test_what_is_no_set_is_named() -> None:
    with pytest.raises(CongealError, match=r"^set 1 is dict, not congeal\.SetArrays"):
        congeal.align_many([congeal.SetArrays(**arrays()), arrays()], **few)


def test_an_atlas_and_features_of_different_backbones_do_not_go_together(atlas: congeal.Atlas) -> None:
    wide = arrays(features=np.ones((N, G, G, 9)), mirrored_features=np.ones((N, G, G, 9)))
    with pytest.raises(CongealError, match="the features have 9 channels, and the atlas 6"):
        congeal.fit(atlas, **wide, map_resolution=4)
    with pytest.raises(CongealError, match=r"^atlas is Alignment, not congeal\.Atlas"):
        congeal.fit(congeal.align(**arrays(), **few), **arrays())


def test_turned_features_of_another_shape_are_named() -> None:
    sound = Turned(np.ones((N, 7, G, G, C)), np.ones((N, 7, G, G)))
    for name, shape in (("saliency", (N, 7, G)), ("mirrored_features", (N, 6, G, G, C))):
        with pytest.raises(CongealError, match=f"^{name} has the shape"):
            replace(sound, **{name: np.ones(shape)})
    with pytest.raises(CongealError, match="turned features"):
        congeal.align(**arrays(), turned=Turned(np.ones((2, 7, G, G, C)), np.ones((2, 7, G, G))), **few)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("features", 1e20, np.float32),
        ("features", 1e300, np.float64),
        ("mirrored_features", 1e25, np.float32),
        ("saliency", 2e38, np.float32),
        ("saliency", 1e300, np.float64),
        ("mirrored_saliency", 1e37, np.float32),
        ("valid", 1e38, np.float32),
        ("valid", 255, np.uint8),
    ],
)
def test_numbers_too_large_to_compute_with_are_named(
    atlas: congeal.Atlas, name: str, value: float, kind: type
) -> None:
    array = np.ones(SHAPES[name], kind)
    array[1] = np.full(SHAPES[name][1:], value, kind)
    wrong = arrays(**{name: array})
    for call in (
        lambda: congeal.align(**wrong, **few),
        lambda: congeal.fit(atlas, **wrong, map_resolution=4),
        lambda: congeal.align_many([congeal.SetArrays(**arrays()), congeal.SetArrays(**wrong)], **few),
    ):
        with pytest.raises(CongealError, match=rf"^{name} holds .*: scale it$"):
            call()


def test_the_largest_numbers_that_are_taken_change_nothing() -> None:
    given = arrays()
    plain = congeal.align(**given, **few)
    given["features"], given["saliency"] = given["features"] * 2.0**50, given["saliency"] * 2.0**90
    assert (congeal.align(**given, **few).mirrored == plain.mirrored).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mirrored", 3), ("mirrored", ["a", "b", "c"]), ("mirrored", None), ("rotation", None),
        ("scale", np.array(["a", "b", "c"])), ("translation", [[1, 2]]), ("weight", [1, 2]),
    ],
)  # fmt: skip
def test_an_anchor_names_what_is_none(field: str, value: Any) -> None:
    ones, flags = np.ones(3), np.zeros(3, bool)
    sound = {"mirrored": flags, "rotation": ones, "scale": ones, "weight": ones}
    with pytest.raises(CongealError, match=rf"^{field} of the anchor "):
        Anchor(**{**sound, "translation": np.zeros((3, 2)), field: value})


def test_contrasts_of_blank_images_are_finite() -> None:
    with pytest.raises(CongealError, match=r"^blank holds numbers that are not finite$"):
        congeal.align(**arrays(), **few, blank=[float("nan")])


@pytest.mark.parametrize("wrong", [{"width": float("nan")}, {"height": float("inf")}, {"width": 10**400}])
def test_a_frame_has_a_size(wrong: dict[str, Any]) -> None:
    with pytest.raises(CongealError, match=r"^width and height of a frame are numbers of pixels, not "):
        congeal.Frame(**{"width": 4, "height": 3, **wrong})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3), ("name", None), ("layer", "last"), ("layer", 1.5), ("beside", 3), ("beside", "9.key"),
        ("beside", [3]), ("precision", 16), ("engine", [1]), ("image_size", "large"), ("stride", 2.0),
    ],
)  # fmt: skip
def test_a_spec_of_a_backbone_names_what_is_none(field: str, value: Any) -> None:
    with pytest.raises(CongealError, match=rf"^{field} is "):
        congeal.BackboneSpec(**{"name": "embedded", field: value})
    with pytest.raises(CongealError, match=r"^weights are the bytes of a safetensors file, not str"):
        congeal.load_backbone("embedded", "file.safetensors")
    with pytest.raises(CongealError, match=r"^a device is named by a word"):
        congeal.load_backbone("embedded", device=None)
