from __future__ import annotations

import numpy as np
import torch

from congeal.distillation.augmentation import View, draw_view, recolour
from congeal.imaging.decoding import square


def picture(height: int = 60, width: int = 90) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_whole_view_is_the_image_in_its_frame() -> None:
    assert np.array_equal(View().render(picture(), 32), square(picture(), 32))


def test_a_view_shows_the_part_it_names_and_its_mirror() -> None:
    part = View(1 / 3, 0.0, 2 / 3, 0.5)
    shown = part.render(picture(), 30)
    assert np.array_equal(shown, square(np.ascontiguousarray(picture()[:30, 30:60]), 30))
    mirrored = View(1 / 3, 0.0, 2 / 3, 0.5, mirrored=True).render(picture(), 30)
    assert np.array_equal(mirrored, shown[:, ::-1])


def test_the_narrowest_view_still_shows_something() -> None:
    assert View(1.0, 1.0, 1.0, 1.0).render(picture(3, 2), 8).shape == (8, 8, 3)


def test_drawn_views_keep_to_the_image_and_to_the_smallest_size() -> None:
    generator = np.random.default_rng(1)
    views = [draw_view(generator, 0.4) for _ in range(300)]
    for view in views:
        assert 0 <= view.left < view.right <= 1 + 1e-9
        assert 0 <= view.top < view.bottom <= 1 + 1e-9
        assert min(view.right - view.left, view.bottom - view.top) > 0.4 / 1.2**0.5 - 1e-9
    assert 90 < sum(view.mirrored for view in views) < 210
    assert min(view.right - view.left for view in views) < 0.5
    assert draw_view(np.random.default_rng(5), 0.4) == draw_view(np.random.default_rng(5), 0.4)


def test_whole_views_are_whole() -> None:
    view = draw_view(np.random.default_rng(2), 1.0)
    assert (view.left, view.top, view.right, view.bottom) == (0, 0, 1, 1)


def test_another_light_changes_colours_and_not_places() -> None:
    images = torch.from_numpy(np.stack([square(picture(), 24)] * 40))
    lit = recolour(images, torch.Generator().manual_seed(3))
    assert lit.shape == (40, 3, 24, 24)
    assert 0 <= float(lit.min()) <= float(lit.max()) <= 1
    plain = images.permute(0, 3, 1, 2).float() / 255
    greys, greys_lit = (pixels.mean(1).flatten(1) for pixels in (plain, lit))
    similar = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(greys, greys_lit, strict=True)]
    assert min(similar) > 0.8
    assert float((lit - plain).abs().mean()) > 0.05
    assert any(float((one - one.mean(0)).abs().max()) < 1e-6 for one in lit)
    again = recolour(images, torch.Generator().manual_seed(3))
    assert torch.equal(lit, again)


def test_no_strength_no_change_but_for_the_grey_ones() -> None:
    images = torch.from_numpy(square(picture(), 16)[None])
    lit = recolour(images, torch.Generator().manual_seed(0), strength=0.0)
    plain = images.permute(0, 3, 1, 2).float() / 255
    assert torch.allclose(lit, plain, atol=1e-6) or torch.allclose(lit, plain.mean(1, True).expand_as(plain))
