from __future__ import annotations

import numpy as np

from congeal.geometry.frames import Frame
from congeal.results.schema.tables import CORRESPONDENCES
from congeal.transfer.points import interpolate
from tasks.index.atlas_lattice import correspondences, lattice_points


def test_points_lie_on_what_is_salient() -> None:
    saliency = np.zeros((16, 16), np.float32)
    saliency[:8, :8] = 0.9
    points = lattice_points(saliency, 4)
    assert points.ids.tolist() == [0, 1, 4, 5]
    assert (points.uv < 0).all()
    everywhere = lattice_points(np.zeros((16, 16), np.float32), 4)
    assert everywhere.ids.tolist() == list(range(16))


def test_rows_are_the_maps_at_the_points_image_after_image() -> None:
    random = np.random.default_rng(0)
    points = lattice_points(random.random((8, 8)), 6)
    ids, sizes = ["b", "a", "c"], [(60, 40), (40, 60), (50, 50)]
    forward = random.uniform(-5, 65, (3, 8, 8, 2)).astype(np.float32)
    confidence = random.uniform(-0.1, 1.2, (3, 8, 8)).astype(np.float16)
    table = correspondences("c0", ids, sizes, forward, confidence, points).to_pandas()
    assert list(table.columns) == CORRESPONDENCES.names
    assert table["image_id"].tolist() == [name for name in ids for _ in points.ids]
    assert table["point_id"].tolist() == points.ids.tolist() * 3
    for k, name in enumerate(ids):
        rows = table[table["image_id"] == name]
        at = interpolate(forward[k], points.uv)
        np.testing.assert_allclose(rows[["x", "y"]], at, rtol=1e-6)
        np.testing.assert_allclose(rows[["u", "v"]], points.uv, rtol=1e-6)
        inside = np.asarray(Frame(*sizes[k]).inside(at))
        sure = np.where(inside, np.clip(interpolate(confidence[k], points.uv), 0, 1), 0)
        np.testing.assert_allclose(rows["confidence"], sure, rtol=1e-6)
        assert 0 < inside.sum() < len(inside)
        assert not rows["visible"][~inside].any()
