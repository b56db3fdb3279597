from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.geometry.frames import Frame, cell_centres

sides = st.integers(1, 20_000)
frames = st.builds(Frame, sides, sides)
positions = st.lists(
    st.tuples(st.floats(-30_000, 30_000), st.floats(-30_000, 30_000)), min_size=1, max_size=8
).map(lambda points: np.array(points, dtype=np.float64))


def test_the_corners_of_a_wide_image_lie_where_the_convention_says() -> None:
    frame = Frame(4, 2)
    assert (frame.side, frame.pad, frame.pixel_size) == (4, (0.0, 1.0), 0.5)
    edges = np.array([[-0.5, -0.5], [3.5, 1.5], [1.5, 0.5]])
    np.testing.assert_allclose(frame.to_frame(edges), [[-1, -0.5], [1, 0.5], [0, 0]])


def test_a_tall_image_is_padded_at_its_sides_by_equal_parts() -> None:
    frame = Frame(3, 6)
    assert frame.pad == (1.5, 0.0)
    np.testing.assert_allclose(frame.to_frame(np.array([[-0.5, -0.5], [2.5, 5.5]])), [[-0.5, -1], [0.5, 1]])


@given(frames, positions)
def test_pixels_survive_the_round_trip(frame: Frame, xy: np.ndarray) -> None:
    np.testing.assert_allclose(frame.to_pixels(frame.to_frame(xy)), xy, atol=1e-6)


@given(frames, positions)
def test_torch_and_numpy_agree(frame: Frame, xy: np.ndarray) -> None:
    tensor = torch.from_numpy(xy)
    np.testing.assert_allclose(frame.to_frame(tensor).numpy(), frame.to_frame(xy))
    np.testing.assert_allclose(frame.to_pixels(tensor).numpy(), frame.to_pixels(xy))
    np.testing.assert_array_equal(frame.inside(tensor).numpy(), frame.inside(xy))


@given(frames, positions)
def test_inside_is_within_the_image_and_the_square(frame: Frame, xy: np.ndarray) -> None:
    inside = frame.inside(xy)
    uv = frame.to_frame(xy[inside])
    assert np.all(np.abs(uv) <= 1 + 1e-9)
    rows = np.array([[0, 0], [frame.width - 1, frame.height - 1]], dtype=float)
    assert frame.inside(rows).all()
    beyond = np.array([[-0.6, 0], [frame.width - 0.4, 0], [0, frame.height - 0.4], [np.nan, 0]])
    assert not frame.inside(beyond).any()


def test_shapes_and_dtypes_are_kept() -> None:
    frame = Frame(10, 20)
    assert frame.to_frame(np.zeros((3, 4, 2), np.float32)).dtype == np.float32
    assert frame.to_frame(np.zeros((3, 4, 2), np.int32)).dtype == np.float64
    assert frame.to_frame(torch.zeros(3, 4, 2)).shape == (3, 4, 2)
    assert frame.to_pixels(torch.zeros(5, 2, dtype=torch.int64)).dtype == torch.float64
    assert frame.to_frame(np.zeros((0, 2))).shape == (0, 2)


def test_what_are_no_coordinates_is_refused() -> None:
    with pytest.raises(CongealError, match=r"\[\.\.\., 2\], not \[3\]"):
        Frame(4, 4).to_frame(np.zeros(3))
    with pytest.raises(CongealError, match="0 x 4"):
        Frame(0, 4)
    with pytest.raises(CongealError, match="at least one cell"):
        cell_centres(0)
    with pytest.raises(CongealError, match=r"coordinates are numbers \[\.\.\., 2\], not <U1"):
        Frame(10, 10).to_pixels(np.array([["a", "b"]]))


def test_inside_is_a_mask_whatever_the_coordinates_are() -> None:
    frame = Frame(10, 6)
    assert frame.inside([[0, 0], [9.5, 5.5], [9.6, 0]]).tolist() == [True, True, False]
    mask = frame.inside(torch.tensor([[[0.0, 0.0]], [[0.0, 6.0]]]))
    assert (mask.dtype, mask.tolist()) == (torch.bool, [[True], [False]])
    assert frame.inside(np.zeros((4, 3, 2), np.float32)).shape == (4, 3)


@given(st.integers(1, 200))
def test_cell_centres_are_the_pixel_centres_of_torch(g: int) -> None:
    identity = torch.eye(2, 3)[None]
    expected = torch.nn.functional.affine_grid(identity, [1, 1, g, g], align_corners=False)[0]
    centres = cell_centres(g)
    assert centres.dtype == np.float32
    np.testing.assert_allclose(centres, expected.numpy(), atol=1e-6)


@given(st.integers(2, 16), st.integers(1, 16), st.integers(0, 40))
def test_cell_centres_of_overlapping_patches(patch: int, stride: int, more: int) -> None:
    size = patch + more * stride
    grid = more + 1
    centres = patch / 2 + stride * np.arange(grid)
    np.testing.assert_allclose(
        cell_centres(grid, grid * stride / size)[0, :, 0], centres / size * 2 - 1, atol=1e-6
    )
