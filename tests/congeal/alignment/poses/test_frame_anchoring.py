from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment.config.poses import AtlasConfig
from congeal.alignment.model import Alignment, Anchor
from congeal.alignment.poses.frame_anchoring import anchored
from congeal.alignment.poses.pose_synchronization import Poses
from congeal.alignment.solver import align
from congeal.errors import CongealError
from congeal.geometry.frames import cell_centres

OLD, NEW = list(range(8)), list(range(4, 12))  # four images are in both


def poses(n: int, seed: int) -> Poses:
    random = np.random.default_rng(seed)
    a = random.uniform(0.4, 1.0, n) * np.exp(1j * random.uniform(-0.6, 0.6, n))
    b = random.uniform(-0.3, 0.3, n) + 1j * random.uniform(-0.3, 0.3, n)
    mirrored = random.random(n) < 0.4
    return Poses(
        torch.as_tensor(mirrored),
        torch.as_tensor(a, dtype=torch.complex64),
        torch.as_tensor(b, dtype=torch.complex64),
        torch.ones(n),
    )


def anchor_at(known: Poses, weight: np.ndarray | None = None) -> Anchor:
    sign = np.where(known.mirrored.numpy(), -1, 1)
    shift = np.stack([known.b.real.numpy() * sign, known.b.imag.numpy()], -1)
    n = len(known.a)
    trust = np.ones(n) if weight is None else weight
    return Anchor(known.mirrored.numpy(), known.a.angle().numpy(), known.a.abs().numpy(), shift, trust)


def moved(known: Poses, s: complex, t: complex, turned: bool) -> Poses:
    """The same solution with another atlas: moved by a similarity, and mirrored if `turned`."""
    a, b, mirrored = known.a * s, known.a * t + known.b, known.mirrored
    if turned:
        a, b, mirrored = a.conj(), -b.conj(), ~mirrored
    return Poses(mirrored, a.resolve_conj(), b.resolve_conj(), known.support)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 99),
    size=st.floats(0.5, 2),
    turn=st.floats(-3, 3),
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    turned=st.booleans(),
)
def test_whatever_the_new_frame_is_the_old_one_comes_back(
    seed: int, size: float, turn: float, x: float, y: float, turned: bool
) -> None:
    known = poses(7, seed)
    other = moved(known, size * np.exp(1j * turn), complex(x, y), turned)
    # Two images have another pose than before, and one was not there.
    other.a[0] *= 1.5
    other.b[1] += 0.4
    found = anchored(other, anchor_at(known, np.array([1, 1, 0, 1, 1, 1, 1.0])), torch.ones(7), AtlasConfig())
    assert found is not None
    assert torch.equal(found.mirrored, known.mirrored)
    rest = [2, 3, 4, 5, 6]
    torch.testing.assert_close(found.a[rest], known.a[rest], atol=2e-4, rtol=0)
    torch.testing.assert_close(found.b[rest], known.b[rest], atol=2e-4, rtol=0)


def test_images_that_face_the_other_way_now_have_no_say() -> None:
    known = poses(6, 0)
    other = moved(known, 0.7, 0.2, False)
    other.mirrored[:2] = ~other.mirrored[:2]
    found = anchored(other, anchor_at(known), torch.ones(6), AtlasConfig())
    assert found is not None
    torch.testing.assert_close(found.a[2:], known.a[2:], atol=1e-4, rtol=0)
    assert torch.equal(found.mirrored, other.mirrored)


def test_without_a_tie_there_is_no_frame_to_hold() -> None:
    known = poses(4, 1)
    assert anchored(known, anchor_at(known, np.zeros(4)), torch.ones(4), AtlasConfig()) is None
    assert anchored(known, anchor_at(known), torch.zeros(4), AtlasConfig()) is None


def test_an_anchor_of_other_images_is_refused() -> None:
    with pytest.raises(CongealError, match="the anchor has 4 images, and the set 5"):
        anchored(poses(5, 0), anchor_at(poses(4, 0)), torch.ones(5), AtlasConfig())
    with pytest.raises(CongealError, match="weight of the anchor"):
        anchor_at(poses(4, 0), np.ones(3))


@pytest.fixture(scope="module")
def made() -> Scene:
    """Twelve views of a thing. Of the first eight few are mirrored, of the last eight most are."""
    facing = [True, False, False, False, False, True, False, True, True, True, True, False]
    views = varied_poses(12)
    views = [
        type(view)(view.scale, view.angle, view.shift, turn) for view, turn in zip(views, facing, strict=True)
    ]
    return scene([Thing(0)] * 12, views)


def solved(made: Scene, rows: list[int], anchor: Anchor | None = None) -> Alignment:
    arguments = made.select(rows).arguments()
    return align(arguments.pop("features"), arguments.pop("saliency"), anchor=anchor, **arguments)


def known_poses(found: Alignment) -> Anchor:
    """What the first solution says of the images of the second."""
    rows = np.array([OLD.index(row) if row in OLD else 0 for row in NEW])
    names = ("mirrored", "rotation", "scale", "translation")
    trust = np.array([row in OLD for row in NEW], np.float32)
    return Anchor(*(getattr(found, name)[rows] for name in names), weight=trust)


def apart(first: Alignment, second: Alignment) -> float:
    """How far the same places of both atlases lie apart in the images that both have, frame units."""
    inner = np.linalg.norm(cell_centres(64), axis=-1) < 0.4
    far = [
        np.linalg.norm(first.forward[OLD.index(row)] - second.forward[NEW.index(row)], axis=-1)[inner]
        for row in OLD
        if row in NEW
    ]
    return float(np.median(far))


def test_a_thing_solved_twice_from_different_halves_keeps_its_points(made: Scene) -> None:
    first = solved(made, OLD)
    free, held = solved(made, NEW), solved(made, NEW, known_poses(first))
    # Left to itself, the second solution faces the other way.
    assert apart(first, free) > 0.2
    assert apart(first, held) < 0.02
    assert held.status == "ok"
    assert not held.outlier.any()


def test_an_anchor_that_says_nothing_changes_nothing(made: Scene) -> None:
    first = solved(made, OLD)
    known = known_poses(first)
    nothing = Anchor(known.mirrored, known.rotation, known.scale, known.translation, np.zeros(len(NEW)))
    free, held = solved(made, NEW), solved(made, NEW, nothing)
    assert held.forward.tobytes() == free.forward.tobytes()


def test_a_set_of_one_keeps_its_frame_too(made: Scene) -> None:
    first = solved(made, OLD)
    names = ("mirrored", "rotation", "scale", "translation")
    anchor = Anchor(*(getattr(first, name)[[5]] for name in names), weight=np.ones(1))
    alone = solved(made, [5], anchor)
    assert alone.status == "single"
    assert alone.mirrored[0] == first.mirrored[5]
    assert alone.scale[0] == pytest.approx(first.scale[5], abs=1e-4)
