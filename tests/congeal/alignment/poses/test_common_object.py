from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import CHANNELS, GRID, Scene, Thing, beside_patches, lit, scene, varied_poses

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.poses.common_object import BatchPoses, agreeing_mass
from congeal.alignment.poses.pose_estimation import match_pairs
from congeal.alignment.solver import align
from congeal.geometry.frames import cell_centres
from congeal.geometry.warps import sample

Beside = tuple[Scene, np.ndarray, np.ndarray]  # where the thing is, and where the other, bool [n, g, g]
COUNT = 8


@pytest.fixture(scope="module")
def beside_flowers() -> Beside:
    """A thing, and beside it a bright patch of the same stuff in every image, without any place in it."""
    made, things, patches = beside_patches(COUNT)
    stuff = np.random.default_rng(3).normal(0, 1.5, CHANNELS)
    grain = np.random.default_rng(4).normal(0, 0.8, made.features.shape)
    return lit(made, patches, (stuff + grain).astype(np.float32)), things, patches


@pytest.fixture(scope="module")
def beside_a_limb() -> Beside:
    """A thing, and a part of it that is somewhere else in every image."""
    made, things, patches = beside_patches(COUNT)
    cells, limb = cell_centres(GRID), Thing(7)
    features = np.stack([limb.features((cells - cells[patch].mean(0)) / 0.5) for patch in patches])
    return lit(made, patches, features), things, patches


def _atlas_saliency(made: Scene) -> tuple[np.ndarray, float]:
    """What the atlas finds salient, carried to the images [n, m, m], and the thing's share of its frame."""
    arguments = made.arguments()
    found = align(arguments.pop("features"), arguments.pop("saliency"), **arguments)
    carried = sample(
        torch.tensor(found.atlas.saliency)[None, ..., None].expand(COUNT, -1, -1, -1),
        torch.tensor(found.backward),
        1.0,
        "zeros",
    )[..., 0]
    small = torch.nn.functional.interpolate(carried[None], size=(GRID, GRID), mode="area")[0]
    return small.numpy(), float((found.atlas.saliency > 0.3).mean())


def test_what_only_stands_beside_the_thing_is_not_part_of_it(beside_flowers: Beside) -> None:
    made, things, flowers = beside_flowers
    salient, share = _atlas_saliency(made)
    assert salient[things].mean() > 0.7
    assert salient[flowers].mean() < 0.15
    assert share > 0.3  # the frame is about the thing, not about all that is bright


def _salient(made: Scene) -> np.ndarray:
    """What the discriminant of the set's atlas finds salient in its images, [n, g, g]."""
    arguments = made.arguments()
    atlas = align(arguments.pop("features"), arguments.pop("saliency"), **arguments).atlas
    compared = Basis(torch.tensor(atlas.mean), torch.tensor(atlas.projection))(torch.tensor(made.features))
    learned = torch.tensor(atlas.discriminant)
    found = Discriminant(learned[:-1], learned[-1])(compared, torch.ones(compared.shape[:3]))
    return np.asarray(found.numpy())


def test_a_limb_that_moves_stays_part_of_the_thing(beside_a_limb: Beside) -> None:
    made, things, limb = beside_a_limb
    salient = _salient(made)
    assert salient[things].mean() > 0.7
    assert salient[limb].mean() > 0.7


def test_before_one_and_the_same_background_nothing_is_taken_for_it(beside_flowers: Beside) -> None:
    made, things, flowers = beside_flowers
    backdrop = np.where((things | flowers)[..., None], made.features, made.features[0])
    salient = _salient(lit(made, ~(things | flowers), backdrop, light=0.0))
    assert salient[things].mean() > 0.7
    assert salient[flowers].mean() > 0.95


def test_the_order_of_the_images_does_not_matter(beside_flowers: Beside) -> None:
    made, _, _ = beside_flowers
    rows = list(np.random.default_rng(0).permutation(COUNT))
    salient, share = _atlas_saliency(made)
    shuffled, again = _atlas_saliency(made.select(rows))
    assert abs(share - again) < 0.05
    assert np.abs(shuffled - salient[rows]).mean() < 0.05


def test_padding_is_neither_thing_nor_background(beside_flowers: Beside) -> None:
    made, _, _ = beside_flowers
    valid = np.ones(made.saliency.shape, np.float32)
    valid[:, :2] = valid[:, -2:] = 0
    arguments = made.arguments()
    found = align(arguments.pop("features"), arguments.pop("saliency"), **arguments, valid=valid)
    assert found.status == "ok"
    assert np.isfinite(found.forward).all()
    assert not found.outlier.any()


def test_a_few_images_tell_the_thing_from_what_stands_beside_it(beside_flowers: Beside) -> None:
    made, _, _ = beside_flowers
    arguments, few = made.arguments(), SolverConfig().replace({"common_object.images": 4})
    features, saliency = arguments.pop("features"), arguments.pop("saliency")
    atlas = align(features, saliency, **arguments, config=few).atlas
    whole = align(features, saliency, **arguments).atlas
    assert np.abs(atlas.saliency - whole.saliency).mean() < 0.02


def test_kept_matches_serve_images_in_any_mirror_state() -> None:
    """Mass by the matches that are kept is that by matches found anew between the oriented images."""
    made, config = scene([Thing(0)] * 4, varied_poses(4, mirrored=True)), SolverConfig()
    read = read_tensors(ImageArrays(**made.arguments()), 1.0, "cpu")
    batch = SetBatch.of([prepare(read, config.features, config.cosaliency)], config.tokens)
    kept = match_pairs(batch.tokens, batch.mirrored_tokens, batch.members, [0], config.matching)
    mirrored = torch.tensor([False, True, False, True])
    one = torch.ones(4, dtype=torch.complex64)
    poses = BatchPoses(mirrored, one, 0.05 * one, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    oriented = batch.oriented_tokens(mirrored, torch.arange(4))
    anew = match_pairs(oriented, oriented, batch.members, [0], config.matching)
    still = BatchPoses(torch.zeros_like(mirrored), poses.a, poses.b, poses.weight)
    turned = replace(batch, tokens=oriented, mirrored_tokens=oriented)
    found = agreeing_mass(batch, kept, poses, config.matching)
    expected = agreeing_mass(turned, anew, still, config.matching)
    torch.testing.assert_close(found, expected)
    assert float(found[:3].sum()) == pytest.approx(3, abs=1e-4)
    assert float(found[3].sum()) == 0
