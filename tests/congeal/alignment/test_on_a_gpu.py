"""Nothing of the solver's inner steps is made on the CPU while the images are on a GPU.

The tensors are make-believe: they have a device, a type and a shape, and no numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from congeal.alignment.inputs import cosaliency as saliency
from congeal.alignment.inputs import feature_basis as features
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.inputs.tokens import select_tokens
from congeal.alignment.maps import confidence as quality
from congeal.alignment.maps import error_estimation as reliability
from congeal.alignment.maps import flow_registration as registration
from congeal.alignment.maps import guided_matching as dense
from congeal.alignment.model import OK, Verdict
from congeal.alignment.poses.pairwise_matching import mutual_matches, robust_similarities
from congeal.alignment.poses.pose_consensus import Settled
from congeal.alignment.poses.pose_synchronization import Poses
from congeal.alignment.selection import mirror_selection as facings
from congeal.geometry import warps
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps

GPU = torch.device("cuda:0")
N, G, D = 4, 12, 8


@pytest.fixture(autouse=True)
def make_believe() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def some(*shape: int, kind: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=kind, device=GPU)


def company() -> Company:
    seen, shown = some(N, G, G, D), some(N, G, G)
    tokens = select_tokens(seen, shown, 1.0, 50)
    members = Membership((3, 1), some(N, kind=torch.int64))
    sound = some(N, kind=torch.bool)
    return Company(members, seen, seen, shown, shown, shown, sound, ~sound, 1.0, tokens, tokens)


def placed() -> tuple[Oriented, Warps]:
    mirrored, pose = some(N, kind=torch.bool), some(N, kind=torch.complex64)
    return company().facing(mirrored, some(N)), warps.rigid(pose, pose, mirrored, G)


def test_bases_and_saliency() -> None:
    features.fit_basis(some(N, G, G, D), some(N, G, G), 6, some(2, D))
    found = saliency.Discriminant(some(D), some())(some(N, G, G, D), some(N, G, G))
    assert found.device == GPU


def test_matches_and_similarities() -> None:
    images, pairs = company(), some(5, kind=torch.int64)
    matches = mutual_matches(images.tokens, images.mirrored_tokens, pairs, pairs, 20)
    found = robust_similarities(matches, some(5, 16, 2), tolerance=0.1, max_angle=0.5)
    assert found.score.device == GPU
    assert images.tokens_facing(some(N, kind=torch.bool), pairs).weight.device == GPU


def test_flow_maps_and_quality() -> None:
    faced, rigid = placed()
    bent = registration.follow(rigid, faced)
    template = registration.leave_one_out(faced, bent)(slice(0, N))
    registration.as_placed(faced, bent)
    maps = dense.resampled(dense.guided(template, faced, bent), bent, 1.0, 10, 10)
    figures = quality.measure(template, faced, bent, dense.warped(bent, G, G).forward)
    found = quality.backward_likeness(maps, figures.likeness, faced.saliency, 1.0)
    assert found.device == GPU


def test_reliability(monkeypatch: pytest.MonkeyPatch) -> None:
    faced, rigid = placed()
    drawn = Membership((6, 0), some(6, kind=torch.int64))
    monkeypatch.setattr(reliability, "_triples", lambda *_: (some(6, 3, kind=torch.int64), drawn))
    journeys = reliability.travel(faced, [0, 0])
    assert journeys is not None
    assert reliability.explained(rigid, journeys).device == GPU
    assert reliability.error_of_warps(rigid, journeys).device == GPU


def test_facings(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Membership((6, 0), some(6, kind=torch.int64))
    monkeypatch.setattr(reliability, "_triples", lambda *_: (some(6, 3, kind=torch.int64), drawn))

    def settled(n: int) -> Settled:
        pose, each = torch.empty(n, dtype=torch.complex64), torch.empty(n)
        poses = Poses(each > 0, pose, pose, each)
        return Settled(poses, each, each, each > 0, 9.0, Verdict(OK, each, [None] * n, 0.3, 0))

    found = facings._explained(company(), [settled(3), settled(1)], some(3, kind=torch.int64), [0, 0])
    assert found.device == GPU
