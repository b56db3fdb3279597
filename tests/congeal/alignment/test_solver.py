from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from synthetic import Pose, Scene, Thing, scene, varied_poses
from transfer_errors import LANDMARKS, SIDE, TOKEN, errors, maps

from congeal.alignment.atlas_fitting import fit
from congeal.alignment.config import SolverConfig
from congeal.alignment.maps.confidence import where_it_folds
from congeal.alignment.model import GUIDED, Alignment
from congeal.alignment.solver import align
from congeal.errors import CongealError
from congeal.geometry.frames import Frame
from congeal.geometry.warps import flip
from congeal.transfer.points import transfer


def solved(made: Scene, **options: object) -> Alignment:
    arguments = made.arguments()
    return align(arguments.pop("features"), arguments.pop("saliency"), **arguments, **options)


@pytest.fixture(scope="module")
def mirrored_scene() -> Scene:
    return scene([Thing(0)] * 8, varied_poses(8, mirrored=True))


@pytest.fixture(scope="module")
def mirrored_found(mirrored_scene: Scene) -> Alignment:
    return solved(mirrored_scene)


def test_known_poses_and_facings_are_recovered(mirrored_scene: Scene, mirrored_found: Alignment) -> None:
    assert mirrored_found.status == "ok"
    truth = np.array([pose.mirrored for pose in mirrored_scene.poses])
    assert np.array_equal(mirrored_found.mirrored, truth) or np.array_equal(mirrored_found.mirrored, ~truth)
    found = errors(mirrored_found, mirrored_scene.poses, list(range(8)))
    assert np.median(found) < 0.3
    assert np.quantile(found, 0.95) < 0.8
    assert not mirrored_found.outlier.any()
    assert mirrored_found.margin > 0.3


def test_scales_and_rotations_come_out_as_they_are(mirrored_scene: Scene, mirrored_found: Alignment) -> None:
    true_scale = np.log([pose.scale for pose in mirrored_scene.poses])
    found_scale = np.log(mirrored_found.scale)
    assert np.allclose(found_scale - found_scale.mean(), true_scale - true_scale.mean(), atol=0.06)
    true_angle = np.array([pose.angle for pose in mirrored_scene.poses])
    difference = mirrored_found.rotation - true_angle
    assert np.ptp(difference) < 0.1


def test_a_bent_object_needs_the_flow_and_gets_it() -> None:
    made = scene([Thing(1)] * 8, varied_poses(8, bend=0.35))
    found = solved(made)
    flat = dataclasses.replace(found, forward=_rigid_part(found))
    images = list(range(8))
    assert np.median(errors(found, made.poses, images)) < 0.35
    assert np.median(errors(flat, made.poses, images)) > 1.2 * np.median(errors(found, made.poses, images))


def _rigid_part(found: Alignment) -> np.ndarray:
    """Each image's forward map replaced by the best affine one."""
    cells = np.stack(np.meshgrid(*[(np.arange(64) + 0.5) / 32 - 1] * 2), -1).reshape(-1, 2)
    basis = np.column_stack([cells, np.ones(len(cells))])
    flat = found.forward.reshape(len(found.forward), -1, 2)
    return np.stack([(basis @ np.linalg.lstsq(basis, one, rcond=None)[0]).reshape(64, 64, 2) for one in flat])


def folds_of(found: Alignment) -> np.ndarray:
    """bool [n, r, r]."""
    oriented = flip(torch.as_tensor(found.forward), torch.as_tensor(found.mirrored))
    return where_it_folds(oriented).numpy()


def test_guided_maps_are_averaged_among_neighbours_and_never_sure_where_they_fold(
    mirrored_scene: Scene,
) -> None:
    config = SolverConfig.preset("guided")
    usual = solved(mirrored_scene, config=config)
    snapped = solved(mirrored_scene, config=config.replace({"guided.neighbour_rounds": 0}))
    for found in (usual, snapped):
        assert found.atlas.deformation == GUIDED
        folds = folds_of(found)
        assert folds.any()
        assert found.forward_confidence[folds].max() <= 0.5 < found.forward_confidence[~folds].max()
    assert folds_of(usual).mean() < 0.8 * folds_of(snapped).mean()


def test_mirroring_all_inputs_mirrors_the_maps(mirrored_scene: Scene, mirrored_found: Alignment) -> None:
    made = mirrored_scene
    turned = Scene(made.mirrored_features, made.features, made.mirrored_saliency, made.saliency, made.poses)
    found = solved(turned)
    assert np.array_equal(found.mirrored, mirrored_found.mirrored)
    poses = [dataclasses.replace(pose) for pose in made.poses]
    frame = Frame(SIDE, SIDE)
    for a, b in [(0, 1), (2, 3), (4, 7)]:
        points = [frame.to_pixels(poses[i].to_frame(LANDMARKS) * [-1, 1]) for i in (a, b)]
        moved = transfer(points[0], maps(found, a), maps(found, b)).xy
        assert np.median(np.linalg.norm(moved - points[1], axis=1)) < 0.5 * TOKEN


def test_order_does_not_matter(mirrored_scene: Scene, mirrored_found: Alignment) -> None:
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    found = solved(mirrored_scene.select(order))
    assert np.median(errors(found, [mirrored_scene.poses[i] for i in order], list(range(8)))) < 0.3
    back = np.argsort(order)
    same = found.mirrored[back] == mirrored_found.mirrored
    assert same.all() or not same.any()


def test_the_same_seed_gives_the_same_bytes(mirrored_scene: Scene, mirrored_found: Alignment) -> None:
    again = solved(mirrored_scene)
    for name in ("forward", "backward", "forward_confidence", "backward_confidence", "residual"):
        assert getattr(again, name).tobytes() == getattr(mirrored_found, name).tobytes()


def test_both_maps_are_each_others_inverse(mirrored_found: Alignment) -> None:
    at = np.array([[-0.4, 0.1], [0.3, -0.2], [0.0, 0.0]], np.float64)
    for image in range(8):
        one = maps(mirrored_found, image)
        from placed_maps import from_atlas

        from congeal.transfer.points import to_atlas

        pixels, _ = from_atlas(at, one)
        back, _ = to_atlas(pixels, one)
        assert np.abs(back - at).max() < 0.02


def test_strangers_are_outliers_and_do_no_harm() -> None:
    poses = varied_poses(9)
    made = scene([Thing(0)] * 7 + [Thing(50), Thing(51)], poses)
    found = solved(made)
    assert found.outlier.tolist() == [False] * 7 + [True, True]
    assert all(reason and reason.endswith("%") for reason in found.outlier_reason[7:])
    assert np.median(errors(found, poses, list(range(7)))) < 0.3
    assert found.forward_confidence[7:].mean() < 0.5 * found.forward_confidence[:7].mean()


def test_a_set_with_nothing_in_common_is_called_that() -> None:
    found = solved(scene([Thing(100 + image) for image in range(6)], varied_poses(6)))
    assert found.status == "nothing-in-common"
    assert found.outlier.all()
    assert found.forward_confidence.max() == 0
    assert set(found.outlier_reason) == {"the set has nothing in common that could be found"}


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_get_an_honest_answer(count: int) -> None:
    made = scene([Thing(0)] * count, varied_poses(count))
    found = solved(made)
    assert found.status == ("single" if count == 1 else "ok")
    assert found.forward.shape == (count, 64, 64, 2)
    assert np.isfinite(found.forward).all()
    assert found.forward_confidence.max() > 0.3
    if count == 2:
        assert np.median(errors(found, made.poses, [0, 1])) < 0.5


def test_two_images_are_matched_one_by_one_if_few_matches_support_their_poses() -> None:
    made = scene([Thing(0)] * 3, varied_poses(3))
    pair = made.select([0, 1])
    assert solved(pair).atlas.deformation != GUIDED
    many = SolverConfig().replace({"deformation.few_matches": 1000})
    found = solved(pair, config=many)
    assert found.atlas.deformation == GUIDED
    assert np.median(errors(found, made.poses, [0, 1])) < 1.0
    assert solved(made, config=many).atlas.deformation != GUIDED  # three can be asked otherwise


def test_identical_images_lie_on_each_other() -> None:
    one = scene([Thing(0)], [Pose()])
    found = solved(one.select([0] * 5))
    assert found.status == "ok"
    assert not found.outlier.any()
    assert np.abs(found.forward - found.forward[0]).max() < 0.02


def test_a_mirror_symmetric_thing_stays_unmirrored_with_no_margin() -> None:
    found = solved(scene([Thing(3, symmetric=True)] * 6, varied_poses(6)))
    assert not found.mirrored.any()
    assert abs(found.margin) < 0.15


def test_matches_that_change_sides_do_not_take_over_on_a_symmetric_thing() -> None:
    found = solved(scene([Thing(0, symmetric=True)] * 6, varied_poses(6)))
    assert found.margin < SolverConfig().deformation.symmetric_margin
    assert found.atlas.deformation != GUIDED


def test_where_smooth_maps_go_astray_cells_are_matched_near_them(
    mirrored_scene: Scene,
) -> None:
    found = solved(mirrored_scene, config=SolverConfig().replace({"deformation.guided_gain": -1}))
    assert found.atlas.deformation == GUIDED
    assert np.median(errors(found, mirrored_scene.poses, [0, 1, 2, 3])) < 1.0


def test_an_image_that_is_not_finite_is_an_outlier_with_the_reason(mirrored_scene: Scene) -> None:
    broken = mirrored_scene.select(list(range(8)))
    broken.features[3, 2, 2, 0] = np.nan
    found = solved(broken)
    assert found.outlier.tolist() == [image == 3 for image in range(8)]
    assert found.outlier_reason[3] == "its features are not finite numbers"
    assert all(np.isfinite(getattr(found, name)).all() for name in ("forward", "backward", "residual"))


def blank(made: Scene, rows: list[int]) -> Scene:
    """The scene with some images that show nothing, but for a little noise."""
    random = np.random.default_rng(1)
    shown, attention = made.features.copy(), made.saliency.copy()
    shown[rows] = 1 + 0.1 * random.normal(0, 1, shown[rows].shape)
    attention[rows] = random.random(attention[rows].shape)
    mirrored, turned = shown[:, :, ::-1].copy(), attention[:, :, ::-1].copy()
    return Scene(shown, mirrored, attention, turned, made.poses)


PLAIN = [0.02]  # contrast of an image without content
NOTHING = "it shows nothing by which one place in it could be told from another"


def test_images_that_show_nothing_are_outliers_and_do_no_harm(mirrored_scene: Scene) -> None:
    rows = [1, 4, 6]
    found = solved(blank(mirrored_scene, rows), blank=PLAIN)
    rest = [row for row in range(8) if row not in rows]
    alone = solved(mirrored_scene.select(rest))
    assert found.status == "ok"
    assert [reason == NOTHING for reason in found.outlier_reason] == [row in rows for row in range(8)]
    assert float(found.forward_confidence[rows].max()) == 0
    assert np.median(errors(found, mirrored_scene.poses, rest)) < 0.3
    assert found.forward_confidence[rest].mean() > 0.9 * alone.forward_confidence.mean()


def test_a_set_of_images_that_show_nothing_has_nothing_in_common(mirrored_scene: Scene) -> None:
    found = solved(blank(mirrored_scene, list(range(8))), blank=PLAIN)
    assert found.status == "nothing-in-common"
    assert found.outlier_reason == [NOTHING] * 8
    assert float(found.backward_confidence.max()) == 0


def test_nothing_fits_the_atlas_of_a_set_with_nothing_in_common(mirrored_scene: Scene) -> None:
    unlike = scene([Thing(100 + image) for image in range(6)], varied_poses(6))
    late = mirrored_scene.select([0, 3])
    found = fit(solved(unlike).atlas, late.features, late.saliency)
    assert found.status == "nothing-in-common"
    assert found.outlier_reason == ["the set has nothing in common that could be found"] * 2
    assert float(found.forward_confidence.max()) == float(found.backward_confidence.max()) == 0


def test_a_newcomer_that_shows_nothing_is_an_outlier(mirrored_scene: Scene) -> None:
    late = blank(mirrored_scene, [2]).select([2, 3])
    arguments = late.arguments()
    found = fit(
        solved(mirrored_scene, blank=PLAIN).atlas,
        late.features,
        late.saliency,
        mirrored_features=arguments["mirrored_features"],
        mirrored_saliency=arguments["mirrored_saliency"],
    )
    assert found.outlier_reason == [NOTHING, None]
    assert float(found.forward_confidence[0].max()) == 0


def test_no_finite_image_and_no_saliency_are_no_crash() -> None:
    made = scene([Thing(0)] * 4, varied_poses(4))
    assert align(np.full_like(made.features, np.nan), made.saliency).status == "nothing-in-common"
    blind = align(made.features, np.zeros_like(made.saliency))
    assert np.isfinite(blind.forward).all()


def test_arrays_that_do_not_fit_are_named() -> None:
    made = scene([Thing(0)] * 3, varied_poses(3))
    with pytest.raises(CongealError, match=r"saliency has the shape \[2, 24, 24\]"):
        align(made.features, made.saliency[:2])
    with pytest.raises(CongealError, match="mirrored_features"):
        align(made.features, made.saliency, mirrored_features=made.features[..., :3])
    with pytest.raises(CongealError, match=r"\[n, g, g, c\]"):
        align(made.features[:, :5], made.saliency)


def test_newcomers_fit_a_frozen_atlas_each_on_its_own() -> None:
    poses = varied_poses(10, mirrored=True)
    made = scene([Thing(0)] * 9 + [Thing(60)], poses)
    members = solved(made.select(list(range(6))))
    new = made.select([6, 7, 8, 9])
    arguments = new.arguments()
    fitted = fit(members.atlas, arguments.pop("features"), arguments.pop("saliency"), **arguments)
    assert fitted.outlier.tolist() == [False, False, False, True]
    together = dataclasses.replace(
        members,
        **{
            name: np.concatenate([getattr(members, name), getattr(fitted, name)])
            for name in ("forward", "forward_confidence", "backward", "backward_confidence")
        },
    )
    assert np.median(errors(together, poses, [0, 3, 5, 6, 7, 8])) < 0.5
    alone = new.select([1]).arguments()
    one = fit(members.atlas, alone.pop("features"), alone.pop("saliency"), **alone)
    assert np.allclose(one.forward[0], fitted.forward[1], atol=1e-4)


@pytest.mark.parametrize(
    ("preset", "deformation"), [("rigid", "rigid"), ("flow", "flow"), ("guided", "guided")]
)
def test_a_preset_says_what_maps_may_be(mirrored_scene: Scene, preset: str, deformation: str) -> None:
    config = SolverConfig.preset(preset)
    found = solved(mirrored_scene, config=config)
    assert found.atlas.deformation == deformation
    assert np.median(errors(found, mirrored_scene.poses, list(range(8)))) < 1.0
    late = mirrored_scene.select([0, 3])
    fitted = fit(found.atlas, late.features, late.saliency, config=config)
    assert fitted.atlas.deformation == deformation


def test_without_mirroring_no_image_is_mirrored(mirrored_scene: Scene) -> None:
    found = solved(mirrored_scene, config=SolverConfig.preset("no-mirroring"))
    assert not found.mirrored.any()


def test_what_is_not_configured_is_what_it_was(mirrored_scene: Scene, mirrored_found: Alignment) -> None:
    found = solved(mirrored_scene, config=SolverConfig())
    assert found.forward.tobytes() == mirrored_found.forward.tobytes()
    assert found.backward_confidence.tobytes() == mirrored_found.backward_confidence.tobytes()


def test_a_bent_object_goes_into_the_atlas_only_with_the_mean_shape() -> None:
    made = scene([Thing(1)] * 6, varied_poses(6, bend=0.35))
    config = SolverConfig().replace({"deformation.mean_shape": False})
    usual, drawn = solved(made), solved(made, config=config)
    assert drawn.atlas.deformation == usual.atlas.deformation == "flow"
    assert np.abs(drawn.forward - usual.forward).max() > 0.01


def test_attention_as_it_is_instead_of_learned_saliency(mirrored_scene: Scene) -> None:
    config = SolverConfig().replace({"cosaliency.learned": False, "common_object.relearn": False})
    found = solved(mirrored_scene, config=config)
    assert found.status == "ok"
    assert np.median(errors(found, mirrored_scene.poses, list(range(8)))) < 0.4
