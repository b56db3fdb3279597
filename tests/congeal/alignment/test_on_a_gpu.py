"""Nothing of the solver's inner steps is made on the CPU while the images are on a GPU.

The tensors are make-believe: they have a device, a type and a shape, and no numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.inputs import FeaturesConfig, TokensConfig
from congeal.alignment.inputs import cosaliency as saliency
from congeal.alignment.inputs import feature_basis as features
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.tokens import select_tokens
from congeal.alignment.maps import confidence as quality
from congeal.alignment.maps import error_estimation as reliability
from congeal.alignment.maps import flow_registration as registration
from congeal.alignment.maps import guided_matching as dense
from congeal.alignment.maps.salient_cells import Cells
from congeal.alignment.model import Verdict
from congeal.alignment.outcomes import OK
from congeal.alignment.poses.pairwise_matching import mutual_matches, robust_similarities
from congeal.alignment.poses.pose_consensus import Consensus
from congeal.alignment.poses.pose_synchronization import Poses
from congeal.alignment.selection import mirror_selection as mirrors
from congeal.geometry import warps
from congeal.geometry.complex_math import length
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps

GPU = torch.device("cuda:0")
N, G, D = 4, 12, 8
CONFIG = SolverConfig()


@pytest.fixture(autouse=True)
def make_believe() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def some(*shape: int, kind: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=kind, device=GPU)


def batch() -> SetBatch:
    seen, shown = some(N, G, G, D), some(N, G, G)
    tokens = select_tokens(seen, shown, 1.0, TokensConfig(most=50))
    members = Membership((3, 1), some(N, kind=torch.int64))
    sound = some(N, kind=torch.bool)
    return SetBatch(seen, seen, shown, shown, shown, sound, ~sound, 1.0, members, tokens, tokens)


def placed() -> tuple[Oriented, Warps]:
    mirrored, pose = some(N, kind=torch.bool), some(N, kind=torch.complex64)
    return batch().oriented(mirrored, some(N)), warps.rigid(pose, pose, mirrored, G)


def test_bases_and_saliency() -> None:
    features.fit_basis(some(N, G, G, D), some(N, G, G), FeaturesConfig(channels=6), some(2, D))
    found = saliency.Discriminant(some(D), some())(some(N, G, G, D), some(N, G, G))
    assert found.device == GPU


def test_matches_and_similarities() -> None:
    images, pairs = batch(), some(5, kind=torch.int64)
    matches = mutual_matches(images.tokens, images.mirrored_tokens, pairs, pairs, 20)
    found = robust_similarities(matches, some(5, 16, 2), CONFIG.matching, tolerance=0.1, max_angle=0.5)
    assert found.score.device == GPU
    assert images.oriented_tokens(some(N, kind=torch.bool), pairs).weight.device == GPU


def test_flow_maps_and_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Cells(some(2, 16, kind=torch.int64), some(2, 16, kind=torch.bool))
    monkeypatch.setattr(Cells, "salient", lambda *_: chosen)
    faced, rigid = placed()
    bent = registration.register(rigid, faced, CONFIG.flow)
    template = registration.leave_one_out(faced, registration.cells_by(bent))(slice(0, N))
    registration.as_placed(faced, registration.cells_by(bent))
    expected = dense.Expected.by(bent, faced)
    found_maps = dense.guided(template, faced, expected, length(bent.a), CONFIG)
    maps = dense.resampled(found_maps, expected, 1.0, dense.warped(bent, 10, 10))
    figures = quality.measure(template, faced, bent, CONFIG, dense.warped(bent, G, G).forward)
    found = quality.backward_likeness(maps, figures.likeness, faced.saliency, 1.0, CONFIG.confidence)
    assert found.device == GPU


def test_reliability(monkeypatch: pytest.MonkeyPatch) -> None:
    faced, rigid = placed()
    drawn = Membership((6, 0), some(6, kind=torch.int64))
    monkeypatch.setattr(reliability, "_triples", lambda *_: (some(6, 3, kind=torch.int64), drawn))
    cycles = reliability.match_cycles(faced, [0, 0], CONFIG.errors)
    assert cycles is not None
    assert reliability.share_explained(rigid, cycles, CONFIG.errors).device == GPU
    matching = reliability.error_of_matching(rigid, cycles, CONFIG.errors)
    assert reliability.agreement(rigid, cycles, CONFIG.errors).error(matching).device == GPU


def test_mirror_states(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Membership((6, 0), some(6, kind=torch.int64))
    monkeypatch.setattr(reliability, "_triples", lambda *_: (some(6, 3, kind=torch.int64), drawn))

    chosen = Cells(some(2, 16, kind=torch.int64), some(2, 16, kind=torch.bool))
    monkeypatch.setattr(Cells, "salient", lambda *_: chosen)
    monkeypatch.setattr("congeal.alignment.selection.flow_trial._rows", lambda _: some(3, kind=torch.int64))

    def agreed(n: int) -> Consensus:
        pose, each = torch.empty(n, dtype=torch.complex64), torch.empty(n)
        poses = Poses(each > 0, pose, pose, each)
        return Consensus(poses, each, each, each > 0, 9.0, Verdict(OK, each, [None] * n, 0.3, 0))

    sets = [agreed(3), agreed(1)]
    found, flows = mirrors._explained(batch(), sets, some(2, kind=torch.bool), [0, 0], CONFIG)
    assert flows is not None
    assert found.device == flows.displacement.device == GPU
