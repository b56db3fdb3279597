from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from synthetic import Scene, Thing, beside_patches, lit, scene, varied_poses

import congeal
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.set_arrays import SIDE_BY_SIDE, SetArrays, batches
from congeal.alignment.model import GUIDED, Alignment, Anchor
from congeal.alignment.solver import align, align_many
from congeal.errors import CongealError

CPU = torch.device("cpu")


def given(made: Scene, **options: object) -> SetArrays:
    return SetArrays(**made.arguments(), **options)


def coarse(made: Scene) -> SetArrays:
    """The same at three quarters of the tokens a side, over a smaller part of the frame."""
    arrays = {name: array[:, 3:-3, 3:-3] for name, array in made.arguments().items()}
    return SetArrays(**arrays, extent=0.75)


def cluttered() -> Scene:
    """Things beside patches of bright noise."""
    made, _, patches = beside_patches(6)
    grain = np.random.default_rng(4).normal(0, 1.5, made.features.shape)
    return lit(made, patches, grain.astype(np.float32))


def alone(one: SetArrays) -> Alignment:
    arrays = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    return align(arrays.pop("features"), arrays.pop("saliency"), **arrays)


def assert_same(found: Alignment, expected: Alignment) -> None:
    assert found.status == expected.status
    assert found.outlier_reason == expected.outlier_reason
    assert found.medoid == expected.medoid
    assert found.atlas.deformation == expected.atlas.deformation
    assert np.array_equal(found.mirrored, expected.mirrored)
    assert found.margin == pytest.approx(expected.margin, abs=1e-4)
    assert found.atlas.evidence == pytest.approx(expected.atlas.evidence, abs=1e-2)
    for name in ("rotation", "scale", "translation", "forward", "backward", "support", "residual"):
        assert np.allclose(getattr(found, name), getattr(expected, name), atol=1e-4), name
    for name in ("forward_confidence", "backward_confidence"):
        assert np.allclose(getattr(found, name), getattr(expected, name), atol=1e-3), name
    assert np.allclose(found.atlas.saliency, expected.atlas.saliency, atol=1e-4)
    assert np.allclose(found.atlas.features, expected.atlas.features, atol=5e-3)
    assert np.allclose(found.atlas.exemplars.places, expected.atlas.exemplars.places, atol=1e-4)


@pytest.fixture(scope="module")
def sets() -> dict[str, SetArrays]:
    """Sets of every kind."""
    broken = scene([Thing(1)] * 5, varied_poses(5, seed=1))
    broken.features[3, 2, 2, 0] = np.nan
    return {
        "mirrored": given(scene([Thing(0)] * 7, varied_poses(7, mirrored=True)), seed=5),
        "one image": given(scene([Thing(4)], varied_poses(1))),
        "bent": given(scene([Thing(1)] * 6, varied_poses(6, bend=0.35))),
        "nothing in common": given(scene([Thing(100 + i) for i in range(4)], varied_poses(4))),
        "not finite": given(broken),
        "strangers": given(scene([Thing(0)] * 6 + [Thing(50)], varied_poses(7, seed=3))),
        "another grid": coarse(scene([Thing(2)] * 4, varied_poses(4, seed=2))),
        "nothing finite": SetArrays(np.full((2, 24, 24, 24), np.nan), np.ones((2, 24, 24))),
        "symmetric": given(scene([Thing(3, symmetric=True)] * 4, varied_poses(4))),
        "cluttered": given(cluttered()),
        "two images": given(scene([Thing(0)] * 2, varied_poses(2))),
    }


@pytest.fixture(scope="module")
def together(sets: dict[str, SetArrays]) -> dict[str, Alignment]:
    return dict(zip(sets, align_many(list(sets.values())), strict=True))


def test_a_set_comes_out_as_it_would_alone(
    sets: dict[str, SetArrays], together: dict[str, Alignment]
) -> None:
    for name, one in sets.items():
        assert_same(together[name], alone(one))


def test_every_set_is_what_it_is_whatever_the_others_are(together: dict[str, Alignment]) -> None:
    assert {name: found.status for name, found in together.items()} == {
        "mirrored": "ok",
        "one image": "single",
        "bent": "ok",
        "nothing in common": "nothing-in-common",
        "not finite": "ok",
        "strangers": "ok",
        "another grid": "ok",
        "nothing finite": "nothing-in-common",
        "symmetric": "ok",
        "cluttered": "ok",
        "two images": "ok",
    }
    assert together["not finite"].outlier.tolist() == [False, False, False, True, False]
    assert together["strangers"].outlier.tolist() == [False] * 6 + [True]
    assert together["mirrored"].mirrored.tolist() == [image % 3 == 1 for image in range(7)]
    assert not together["symmetric"].mirrored.any()
    assert together["nothing in common"].forward_confidence.max() == 0
    for found in together.values():
        assert all(np.isfinite(getattr(found, name)).all() for name in ("forward", "backward", "residual"))


def test_the_order_of_the_sets_does_not_matter(
    sets: dict[str, SetArrays], together: dict[str, Alignment]
) -> None:
    names = sorted(sets, reverse=True)
    found = align_many([sets[name] for name in names])
    for name, one in zip(names, found, strict=True):
        assert_same(one, together[name])


def test_each_set_draws_by_its_own_seed(sets: dict[str, SetArrays], together: dict[str, Alignment]) -> None:
    found = align_many([dataclasses.replace(sets["mirrored"], seed=6), sets["bent"]])
    assert found[0].support.tobytes() != together["mirrored"].support.tobytes()
    assert_same(found[1], together["bent"])


def test_some_sets_are_guided_and_others_not(
    sets: dict[str, SetArrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [sets["mirrored"], sets["strangers"]]
    monkeypatch.setattr(
        "congeal.alignment.maps.error_estimation.Agreement.error",
        lambda _, matching: torch.tensor([0.0, 1.0])[-len(matching) :],
    )
    found = align_many(chosen)
    assert [one.atlas.deformation == GUIDED for one in found] == [False, True]
    assert_same(found[1], alone(chosen[1]))


def test_windows_of_one_image_and_one_pair_change_nothing(
    sets: dict[str, SetArrays], together: dict[str, Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("congeal.geometry.chunking.AT_ONCE", {"cpu": 1})
    names = ["two images", "not finite"]
    for name, found in zip(names, align_many([sets[name] for name in names]), strict=True):
        assert_same(found, together[name])


def test_no_sets_give_no_alignments() -> None:
    assert congeal.align_many([]) == []


def test_an_anchor_holds_its_own_set_in_place(
    sets: dict[str, SetArrays], together: dict[str, Alignment]
) -> None:
    before = together["bent"]
    anchor = Anchor(
        before.mirrored, before.rotation, 0.8 * before.scale, before.translation, np.ones(6, np.float32)
    )
    found = align_many([sets["mirrored"], dataclasses.replace(sets["bent"], anchor=anchor)])
    assert np.allclose(found[1].scale, 0.8 * before.scale, rtol=1e-3)
    assert np.allclose(found[1].translation, before.translation, atol=1e-3)
    assert_same(found[0], together["mirrored"])


def test_what_does_not_fit_is_named_with_its_set(sets: dict[str, SetArrays]) -> None:
    good = sets["two images"]
    with pytest.raises(CongealError, match=r"^set 1: saliency has the shape \[1, 24, 24\]"):
        align_many([good, dataclasses.replace(good, saliency=good.saliency[:1])])
    with pytest.raises(CongealError, match=r"^set 2: its features have 12 channels, those of set 0 24"):
        align_many([good, good, SetArrays(good.features[..., :12], good.saliency)])
    anchor = Anchor(np.zeros(3, bool), np.zeros(3), np.ones(3), np.zeros((3, 2)), np.ones(3))
    with pytest.raises(CongealError, match=r"^set 1: the anchor has 3 images, and the set 2"):
        align_many([good, dataclasses.replace(good, anchor=anchor)])
    with pytest.raises(CongealError, match=r"^position has the shape \[2, 12\]"):
        align_many([good], position=np.zeros((2, 12), np.float32))


def test_batches_are_of_one_grid_and_no_larger_than_there_is_room_for(
    sets: dict[str, SetArrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [sets["bent"], sets["another grid"], sets["two images"], sets["one image"]]
    assert batches(many, CPU, SolverConfig()) == [[0, 2, 3], [1]]
    monkeypatch.setitem(SIDE_BY_SIDE, "cpu", 1)
    assert batches(many, CPU, SolverConfig()) == [[0], [1], [2], [3]]
