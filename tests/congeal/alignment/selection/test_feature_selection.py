from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from synthetic import CHANNELS, GRID, Scene, Thing, scene, varied_poses

from congeal.alignment.atlas_fitting import fit
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.backbone_stats import BackboneFacts
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.selection.feature_selection import mixtures
from congeal.alignment.solver import align, align_many
from congeal.errors import CongealError

COUNT = 6
FEATURES = SolverConfig().features
FACTOR = FEATURES.blank_contrast_factor
PARTS = {"9.key": CHANNELS, "11.token": CHANNELS}
BLIND_FIRST, BLIND_LAST = {"blind": CHANNELS, "telling": CHANNELS}, {"telling": CHANNELS, "blind": CHANNELS}


def unit(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(features / np.linalg.norm(features, axis=-1, keepdims=True), np.float32)


def blind(seed: int, count: int = COUNT) -> npt.NDArray[np.float32]:
    """Features that tell nothing: another random direction for every token."""
    return unit(np.random.default_rng(seed).normal(0, 1, (count, GRID, GRID, CHANNELS)).astype(np.float32))


@pytest.fixture(scope="module")
def telling() -> Scene:
    made = scene([Thing(0)] * COUNT, varied_poses(COUNT))
    return replace(made, features=unit(made.features), mirrored_features=unit(made.mirrored_features))


def beside(made: Scene, other: npt.NDArray[np.float32], *, first: bool) -> SetArrays:
    """A scene with other features before or behind its own."""

    def both(own: npt.NDArray[np.float32], more: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.concatenate([more, own] if first else [own, more], -1)

    return SetArrays(
        both(made.features, other),
        made.saliency,
        both(made.mirrored_features, other[:, :, ::-1]),
        made.mirrored_saliency,
    )


def test_every_mixture_is_named_once() -> None:
    assert mixtures(["a"]) == [("a",)]
    assert mixtures(["a", "b"]) == [("a",), ("b",), ("a", "b")]
    assert mixtures(["a", "b", "c"]) == [("a",), ("b",), ("c",), ("a", "b", "c")]


@pytest.mark.parametrize("first", [True, False])
def test_features_that_tell_nothing_are_left_out(telling: Scene, first: bool) -> None:
    given = beside(telling, blind(1), first=first)
    (found,) = align_many([given], parts=BLIND_FIRST if first else BLIND_LAST)
    arguments = telling.arguments()
    alone = align(arguments.pop("features"), arguments.pop("saliency"), **arguments)
    assert found.atlas.mixture == ("telling",)
    assert found.atlas.weighed[("blind",)] < found.atlas.weighed[("telling",)]
    assert found.atlas.features.shape[-1] == 2 * CHANNELS
    np.testing.assert_allclose(found.forward, alone.forward, atol=0.02)
    assert alone.atlas.mixture == ()
    assert alone.atlas.weighed == {}


def test_what_is_left_out_has_no_bearing_on_the_maps(telling: Scene) -> None:
    one, other = align_many([beside(telling, blind(seed), first=True) for seed in (1, 2)], parts=BLIND_FIRST)
    np.testing.assert_allclose(one.forward, other.forward, atol=1e-3)


def test_what_gains_nothing_does_not_displace_the_first(telling: Scene) -> None:
    twice = beside(telling, telling.features, first=True)
    (found,) = align_many([twice], parts=PARTS)
    assert found.atlas.mixture == ("9.key",)
    shares = list(found.atlas.weighed.values())
    assert max(shares) - min(shares) < 0.01


def test_newcomers_are_compared_by_what_the_atlas_chose(telling: Scene) -> None:
    (found,) = align_many([beside(telling, blind(1), first=True)], parts=BLIND_FIRST)
    late = scene([Thing(0)] * 2, varied_poses(2, seed=9), seed=3)
    late = replace(late, features=unit(late.features), mirrored_features=unit(late.mirrored_features))
    arrays = [beside(late, blind(seed, 2), first=True) for seed in (4, 5)]
    fitted = [
        fit(
            found.atlas,
            one.features,
            one.saliency,
            mirrored_features=one.mirrored_features,
            mirrored_saliency=one.mirrored_saliency,
        )
        for one in arrays
    ]
    assert not fitted[0].outlier.any()
    np.testing.assert_allclose(fitted[0].forward, fitted[1].forward, atol=1e-3)


def test_each_set_of_a_call_chooses_for_itself(telling: Scene) -> None:
    swapped = [beside(telling, blind(1), first=True), beside(telling, blind(1), first=False)]
    found = align_many(swapped, parts=PARTS)
    assert [one.atlas.mixture for one in found] == [("11.token",), ("9.key",)]


def test_one_part_leaves_nothing_to_choose(telling: Scene) -> None:
    arguments = telling.arguments()
    found = align(
        arguments.pop("features"), arguments.pop("saliency"), parts={"11.token": CHANNELS}, **arguments
    )
    assert found.atlas.mixture == ()


@pytest.mark.parametrize("parts", [{}, {"a": 1}, {"a": 2 * CHANNELS, "b": -CHANNELS}])
def test_parts_that_do_not_make_up_the_features_are_refused(telling: Scene, parts: dict[str, int]) -> None:
    arguments = telling.arguments()
    with pytest.raises(CongealError, match=f"do not make up features of {CHANNELS} channels"):
        align(arguments.pop("features"), arguments.pop("saliency"), parts=parts, **arguments)


def test_a_set_without_anything_in_common_chooses_the_first() -> None:
    noise = SetArrays(np.concatenate([blind(1), blind(2)], -1), np.ones((COUNT, GRID, GRID), np.float32))
    (found,) = align_many([noise], parts=PARTS)
    assert found.status == "nothing-in-common"
    assert found.atlas.mixture == ("9.key",)


def test_there_is_a_contrast_for_each_part(telling: Scene) -> None:
    given = beside(telling, blind(1), first=False)
    with pytest.raises(CongealError, match="blank has 1 numbers, and the features 2 parts"):
        align_many([given], parts=BLIND_LAST, blank=[0.1])
    facts = BackboneFacts(None, BLIND_LAST, [0.01, 0.05])
    assert facts.least_contrast(("blind",), FEATURES) == pytest.approx(FACTOR * 0.05)
    assert facts.least_contrast(("telling", "blind"), FEATURES) == pytest.approx(FACTOR * 0.03)
    assert BackboneFacts(None, None, [5.0]).least_contrast((), FEATURES) == FEATURES.blank_contrast_limit
    assert BackboneFacts().least_contrast((), FEATURES) == 0
    (found,) = align_many([given], parts=BLIND_LAST, blank=[0.01, 9.0])
    assert found.atlas.least_contrast == pytest.approx(FACTOR * 0.01)
    assert not found.outlier.any()
