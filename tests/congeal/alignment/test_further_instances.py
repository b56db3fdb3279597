"""Several things of a kind in one image, on features with exact truth."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from synthetic import GRID, Pose, Scene, Thing, lit, scene, varied_poses

from congeal.alignment.further_instances import Known, focused, further_instances
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.model import Alignment
from congeal.alignment.solver import align
from congeal.errors import CongealError
from congeal.geometry.frames import cell_centres

COUNT = 6
SECOND = Pose(scale=0.4, angle=0.2, shift=(0.55, 0.5))
OTHER = Pose(scale=0.4, angle=-0.2, shift=(-0.55, 0.55))


def with_more(made: Scene, image: int, poses: list[Pose]) -> Scene:
    """The scene with the same thing in further poses in one image."""
    for pose in poses:
        u = pose.to_thing(cell_centres(GRID))
        where = np.zeros(made.features.shape[:3], bool)
        where[image] = Thing(0).inside(u)
        features = np.broadcast_to(Thing(0).features(u), made.features.shape)
        made = lit(made, where, np.asarray(features))
    return made


def several_poses() -> list[Pose]:
    return [
        replace(pose, scale=0.45, shift=(-0.35 + 0.05 * image, -0.4), angle=0.1 * image)
        for image, pose in enumerate(varied_poses(COUNT))
    ]


@cache
def several() -> tuple[Alignment, ImageArrays]:
    """Six images of a thing; it is seen once more in images 2 and 4."""
    poses = several_poses()
    made = with_more(scene([Thing(0)] * COUNT, poses), 2, [SECOND])
    made = with_more(made, 4, [OTHER])
    arrays = ImageArrays(made.features, made.saliency, made.mirrored_features, made.mirrored_saliency)
    return align(**made.arguments()), arrays


def test_every_instance_is_found_and_mapped_by_itself() -> None:
    aligned, arrays = several()
    found = further_instances(Known.of(aligned), arrays, 4)
    assert list(zip(found.rows.tolist(), found.numbers.tolist(), strict=True)) == [(2, 1), (4, 1)]
    assert found.aligned is not None
    thing = aligned.atlas.saliency > 0.8
    # The first map of image 0, and the pose that it is in, tell where the atlas' cells are on the thing; the
    # two instances of an image lie where it is, one the first, one the other, whichever was found first.
    on_thing = several_poses()[0].to_thing(aligned.forward[0][thing])
    for at, image, more in ((0, 2, SECOND), (1, 4, OTHER)):
        maps = (aligned.forward[image][thing], found.aligned.forward[at][thing])
        truth = [pose.to_frame(on_thing) for pose in (several_poses()[image], more)]
        off = [[np.abs(one - true).max(-1).mean() for true in truth] for one in maps]
        assert min(off[0][0] + off[1][1], off[0][1] + off[1][0]) < 0.15


def test_one_thing_is_one_instance_and_most_is_kept_to() -> None:
    aligned, arrays = several()
    assert further_instances(Known.of(aligned), arrays, 1).aligned is None
    assert further_instances(Known.of(aligned), arrays, 2).numbers.tolist() == [1, 1]
    rows = further_instances(Known.of(aligned), arrays, 4).rows.tolist()
    assert not set(rows) & {0, 1, 3, 5}


def test_nothing_is_looked_for_where_the_first_does_not_fit() -> None:
    aligned, arrays = several()
    known = replace(Known.of(aligned), good=np.zeros(COUNT, bool))
    assert len(further_instances(known, arrays, 4).rows) == 0


def test_exemplars_count_where_the_atlas_is_salient() -> None:
    aligned, _ = several()
    before = aligned.atlas.exemplars.weight
    from congeal.alignment.config import SolverConfig

    after = focused(aligned.atlas, SolverConfig().instances).exemplars.weight
    assert ((after == before) | (after == 0)).all()
    assert 0 < (after > 0).sum() < (before > 0).sum()


def test_what_does_not_fit_together_is_refused() -> None:
    aligned, arrays = several()
    with pytest.raises(CongealError, match="1 instance at least"):
        further_instances(Known.of(aligned), arrays, 0)
    few = replace(arrays, features=np.asarray(arrays.features)[:2])
    with pytest.raises(CongealError, match="features of 2 images"):
        further_instances(Known.of(aligned), few, 2)
