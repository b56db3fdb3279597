from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, shortest_path
from synthetic import Pose, Scene, Thing, scene, varied_poses

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.poses import MatchingConfig
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.tokens import Tokens
from congeal.alignment.outcomes import NOTHING_IN_COMMON
from congeal.alignment.poses.pair_plan import appearance, plan_pairs, sparse_pairs
from congeal.alignment.poses.pose_consensus import Consensus, solve_sets
from congeal.alignment.poses.pose_estimation import match_pairs
from congeal.geometry.segments import Membership

CONFIG = MatchingConfig(all_pairs_up_to=20, neighbours=4, drawn_pairs=6)


def looks(n: int, seed: int, kinds: int = 1) -> np.ndarray:
    """Images of some kinds, which look nothing like each other."""
    random = np.random.default_rng(seed)
    found = np.eye(8)[np.arange(n) % kinds] + 0.05 * random.normal(size=(n, 8))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def tokens_of(shown: np.ndarray) -> Tokens:
    """Images of five tokens that all look like the image; of the last one only that counts."""
    n = len(shown)
    features = torch.tensor(shown, dtype=torch.float32)[:, None].expand(-1, 5, -1)
    weight = torch.ones((n, 5))
    return Tokens(weight.long(), torch.zeros((n, 5), dtype=torch.complex64), weight, features)


@settings(max_examples=60)
@given(
    n=st.integers(2, 150),
    neighbours=st.integers(0, 10),
    drawn=st.integers(2, 12),
    seed=st.integers(0, 100),
    kinds=st.integers(1, 4),
)
def test_every_image_is_in_one_graph_of_bounded_degree(
    n: int, neighbours: int, drawn: int, seed: int, kinds: int
) -> None:
    first, second, _ = sparse_pairs(looks(n, seed, kinds), neighbours, drawn, seed)
    assert bool((first < second).all())
    assert first.min() >= 0
    assert second.max() < n
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)
    degree = np.bincount(np.concatenate([first, second]), minlength=n)
    assert degree.max() <= neighbours + max(2, drawn)
    assert connected_components(graph(n, first, second), directed=False)[0] == 1


def graph(n: int, first: np.ndarray, second: np.ndarray) -> coo_array:
    return coo_array((np.ones(len(first)), (first, second)), shape=(n, n))


def test_any_two_images_are_a_few_steps_apart() -> None:
    n = 400
    first, second, drawn = sparse_pairs(looks(n, 0, 4), 16, 16, 0)
    steps = shortest_path(graph(n, first[drawn], second[drawn]), directed=False, unweighted=True)
    assert steps.max() <= 4
    assert len(first) < n * 16


def test_the_pairs_are_those_of_the_seed() -> None:
    shown = looks(80, 1)
    one, again, other = (np.stack(sparse_pairs(shown, 4, 6, seed)[:2]) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_neighbours_are_those_that_look_alike() -> None:
    first, second, drawn = sparse_pairs(looks(120, 2, 3), 6, 4, 0)
    assert bool((first[~drawn] % 3 == second[~drawn] % 3).all())
    # Every kind meets every other one by chance.
    met = {(one % 3, other % 3) for one, other in zip(first[drawn], second[drawn], strict=True)}
    assert len(met) == 9


def test_a_larger_set_has_about_as_many_pairs_an_image() -> None:
    shares = [2 * len(sparse_pairs(looks(n, 0), 8, 8, 0)[0]) / n for n in (100, 200, 400)]
    assert max(shares) <= 16
    for smaller, larger in pairwise(shares):
        assert larger == pytest.approx(smaller, rel=0.15)


def test_a_small_set_is_compared_whole_and_a_large_one_is_not() -> None:
    sizes = (20, 1, 21, 2)
    images = Membership.of(sizes, "cpu")
    tokens = tokens_of(looks(sum(sizes), 0))
    plan = plan_pairs(tokens, tokens, images, [0, 0, 0, 0], CONFIG)
    assert plan.pairs.sizes[:2] == (190, 0)
    assert plan.pairs.sizes[3] == 1
    assert plan.pairs.sizes[2] < 210
    for rows, part in zip(images.slices, plan.pairs.slices, strict=True):
        both = torch.cat([plan.first[part], plan.second[part]])
        assert len(both) == 0 or (rows.start <= int(both.min()) and int(both.max()) < rows.stop)
    assert not bool(plan.drawn[plan.pairs.slices[0]].any())
    assert bool(plan.drawn[plan.pairs.slices[2]].any())


@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_pairs_of_small_sets_are_all_those_within_a_set(sizes: list[int]) -> None:
    images, tokens = Membership.of(sizes, "cpu"), tokens_of(looks(sum(sizes), 0))
    plan = plan_pairs(tokens, tokens, images, [0] * len(sizes), CONFIG)
    expected = [
        (a, b, number)
        for number, rows in enumerate(images.slices)
        for a, b in combinations(range(rows.start, rows.stop), 2)
    ]
    found = zip(plan.first.tolist(), plan.second.tolist(), plan.pairs.owner.tolist(), strict=True)
    assert list(found) == expected
    assert not bool(plan.drawn.any())


def test_the_pairs_of_a_set_do_not_depend_on_the_others() -> None:
    tokens = tokens_of(looks(60, 0))
    alone = plan_pairs(tokens, tokens, Membership.of([60], "cpu"), [7], CONFIG)
    more = tokens_of(np.concatenate([looks(30, 5), looks(60, 0)]))
    beside = plan_pairs(more, more, Membership.of([30, 60], "cpu"), [1, 7], CONFIG)
    part = beside.pairs.slices[1]
    assert torch.equal(beside.first[part] - 30, alone.first)
    assert torch.equal(beside.second[part] - 30, alone.second)


def test_an_image_and_its_mirror_image_look_the_same() -> None:
    plain, turned = tokens_of(looks(6, 0)), tokens_of(looks(6, 1))
    assert np.allclose(appearance(plain, turned, slice(0, 6)), appearance(turned, plain, slice(0, 6)))


def test_images_that_show_nothing_have_pairs_too() -> None:
    shown = looks(90, 0)
    shown[[3, 50]] = 0
    first, second, _ = sparse_pairs(shown, 4, 4, 0)
    assert {3, 50} <= set(first.tolist()) | set(second.tolist())


SPARSE = SolverConfig().replace(
    {"matching.all_pairs_up_to": 10, "matching.neighbours": 6, "matching.drawn_pairs": 8}
)


def consensus_of(made: Scene, config: SolverConfig, seed: int = 0) -> Consensus:
    given = made.arguments()
    arrays = ImageArrays(
        given["features"], given["saliency"], given["mirrored_features"], given["mirrored_saliency"]
    )
    prepared = prepare(read_tensors(arrays, 1.0, "cpu"), config.features, config.cosaliency)
    images = SetBatch.of([prepared], config.tokens)
    matches = match_pairs(images.tokens, images.mirrored_tokens, images.members, [seed], config.matching)
    (found,) = solve_sets(images, matches, [seed], config)
    return found


def far_from(found: Consensus, poses: list[Pose], images: np.ndarray) -> np.ndarray:
    """By how much each image's pose is off the truth, in sizes of the thing, [k]: two points of it."""
    mirrored = found.poses.mirrored.numpy()
    other_way = bool((mirrored[images] != [poses[at].mirrored for at in images]).mean() > 0.5)
    places = []
    for at in images:
        thing = np.array([[-0.4, 0.1], [0.4, -0.1]], np.float32)
        seen = poses[at].to_frame(thing)
        assert bool(mirrored[at]) == (poses[at].mirrored != other_way)
        x = seen[:, 0] * (-1 if mirrored[at] else 1) + 1j * seen[:, 1]
        places.append((x - complex(found.poses.b[at])) / complex(found.poses.a[at]))
    middle = np.median(np.real(places), 0) + 1j * np.median(np.imag(places), 0)
    return np.abs(np.array(places) - middle).max(1) / np.abs(middle[1] - middle[0])


@settings(max_examples=4)
@given(count=st.integers(24, 40), seed=st.integers(0, 1000))
def test_a_sparse_plan_gives_the_poses_that_all_pairs_give(count: int, seed: int) -> None:
    """Known poses, a third of the images mirrored, two strangers among them."""
    things = [Thing(0)] * count
    things[3], things[11] = Thing(5), Thing(6)
    made = scene(things, varied_poses(count, seed, mirrored=True), seed=seed)
    members = np.setdiff1d(np.arange(count), [3, 11])
    whole, sparse = consensus_of(made, SolverConfig()), consensus_of(made, SPARSE, seed)
    assert whole.verdict.status == sparse.verdict.status == "ok"
    for found in (whole, sparse):
        assert np.flatnonzero(~found.good.numpy()).tolist() == [3, 11]
        assert np.median(far_from(found, made.poses, members)) < 0.03
        assert far_from(found, made.poses, members).max() < 0.15
    assert sparse.shared == pytest.approx(whole.shared, rel=0.15)


def test_of_two_kinds_in_one_set_a_sparse_plan_finds_the_larger() -> None:
    count = 36
    things = [Thing(0) if image % 3 else Thing(7) for image in range(count)]
    made = scene(things, varied_poses(count, 2))
    members = np.array([image for image in range(count) if image % 3])
    for config in (SolverConfig(), SPARSE):
        found = consensus_of(made, config)
        assert bool(found.good[members].all())
        assert far_from(found, made.poses, members).max() < 0.15


def test_unrelated_images_have_nothing_in_common_by_a_sparse_plan_either() -> None:
    made = scene([Thing(10 + image) for image in range(24)], varied_poses(24))
    for config in (SolverConfig(), SPARSE):
        assert consensus_of(made, config).verdict.status == NOTHING_IN_COMMON


def test_images_are_the_same_pairs_in_any_order() -> None:
    """The neighbours do not depend on the order; the poses hardly do."""
    made = scene([Thing(0)] * 26, varied_poses(26, 1))
    order = np.random.default_rng(0).permutation(26).tolist()
    plain, shuffled = consensus_of(made, SPARSE), consensus_of(made.select(order), SPARSE)
    assert bool(plain.good.all())
    assert bool(shuffled.good.all())
    ratio = (shuffled.poses.a / plain.poses.a[order]).abs()
    assert float(ratio.max() / ratio.min()) < 1.1
