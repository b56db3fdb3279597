from __future__ import annotations

import torch
from synthetic import Thing, scene, varied_poses

from congeal.alignment.config.inputs import CosaliencyConfig, FeaturesConfig
from congeal.alignment.inputs.cosaliency import learn_saliency
from congeal.alignment.inputs.feature_basis import fit_basis

CONFIG = CosaliencyConfig()


def test_the_common_object_is_found_from_a_few_bright_spots() -> None:
    made = scene([Thing(0)] * 6, varied_poses(6))
    features = torch.nn.functional.normalize(torch.tensor(made.features), dim=-1)
    valid = torch.ones(features.shape[:3])
    compared = fit_basis(features, valid, FeaturesConfig(channels=16)).compared(features)
    truth = torch.tensor(made.saliency) > 0.5
    generator = torch.Generator().manual_seed(0)
    spots = truth & (torch.rand(truth.shape, generator=generator) < 0.4)  # a thin, patchy attention
    found = learn_saliency(compared, spots.float(), valid, CONFIG)(compared, valid) > 0.5
    overlap = (found & truth).sum() / (found | truth).sum()
    assert float(overlap) > 0.85


def test_padding_is_never_salient() -> None:
    made = scene([Thing(0)] * 3, varied_poses(3))
    features = torch.nn.functional.normalize(torch.tensor(made.features), dim=-1)
    valid = torch.ones(features.shape[:3])
    valid[:, :10] = 0
    compared = fit_basis(features, valid, FeaturesConfig(channels=16)).compared(features)
    found = learn_saliency(compared, torch.tensor(made.saliency), valid, CONFIG)(compared, valid)
    assert float(found[:, :10].max()) == 0


def test_attention_that_says_nothing_leaves_everything_salient() -> None:
    features = torch.randn((2, 6, 6, 8), generator=torch.Generator().manual_seed(0))
    valid = torch.ones((2, 6, 6))
    for attention in (torch.zeros(2, 6, 6), torch.ones(2, 6, 6)):
        assert float(learn_saliency(features, attention, valid, CONFIG)(features, valid).min()) > 0.99


def test_the_basis_is_deterministic_and_takes_given_directions_out() -> None:
    features = torch.randn((2, 6, 6, 8), generator=torch.Generator().manual_seed(0))
    valid = torch.ones((2, 6, 6))
    direction = torch.nn.functional.normalize(torch.randn((2, 8)), dim=1)
    direction = torch.linalg.qr(direction.T).Q.T.contiguous()
    basis = fit_basis(features, valid, FeaturesConfig(channels=8), direction)
    assert float((direction @ basis.projection).abs().max()) < 1e-5
    again = fit_basis(features, valid, FeaturesConfig(channels=8), direction)
    assert torch.equal(basis.projection, again.projection)


def test_components_and_contrast_are_those_of_the_centred_features() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(3.0, 0.2, 12)
    features = torch.randn((4, 9, 9, 12), generator=generator) * spread + 1.5
    features = torch.nn.functional.normalize(features, dim=-1)
    valid = (torch.rand((4, 9, 9), generator=generator) < 0.8).float()
    within = torch.arange(12) < 9
    basis = fit_basis(features, valid, FeaturesConfig(channels=5), within=within)
    weight = valid / valid.sum()
    mean = (weight[..., None] * features).sum((0, 1, 2))
    centred = ((features - mean) * weight.sqrt()[..., None]).flatten(0, 2) * within
    vectors = torch.linalg.svd(centred).Vh[:5].T
    torch.testing.assert_close((basis.projection.T @ vectors).abs(), torch.eye(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(basis.mean, mean)
    share = (valid / valid.sum((1, 2), keepdim=True))[..., None]
    shown = features @ basis.projection
    variance = (share * (shown - (share * shown).sum((1, 2), keepdim=True)) ** 2).sum((1, 2, 3))
    whole = (share * (features * within) ** 2).sum((1, 2, 3))
    torch.testing.assert_close(basis.contrast(features, valid), variance / whole, atol=1e-4, rtol=0)
