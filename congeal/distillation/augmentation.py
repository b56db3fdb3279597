"""Views of an image to learn from: crops at several scales, mirrored or not, in another light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from congeal.imaging.decoding import Pixels, square

STRETCH = 1.2  # largest change of a crop's aspect ratio


@dataclass(frozen=True)
class View:
    """A crop of an image: its edges as shares of the image's width and height, mirrored or not."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0
    mirrored: bool = False

    def render(self, image: Pixels, size: int) -> Pixels:
        """The view of an image uint8 [h, w, 3] in its own square frame: uint8 [size, size, 3]."""
        height, width = image.shape[:2]
        columns = _span(self.left, self.right, width)
        rows = _span(self.top, self.bottom, height)
        framed = square(np.ascontiguousarray(image[rows, columns]), size)
        return np.ascontiguousarray(framed[:, ::-1]) if self.mirrored else framed


def _span(begin: float, end: float, length: int) -> slice:
    first = min(round(begin * length), length - 1)
    return slice(first, max(round(end * length), first + 1))


def draw_view(generator: np.random.Generator, smallest: float) -> View:
    """A random view: its sides `smallest` to 1 of the image's, anywhere in it, mirrored every other time.

    `smallest` 1 gives the whole image, as it is or mirrored.
    """
    # Not by torchvision's RandomResizedCrop: it stretches crops to squares, and it draws from torch's global
    # generator. Views are drawn in threads: of 2000 draws with seeds of their own, 219 came out otherwise.
    scale = float(np.exp(generator.uniform(np.log(smallest), 0)))
    stretch = float(np.exp(generator.uniform(-1, 1) * np.log(STRETCH) / 2))
    wide, high = (1.0, 1.0) if smallest >= 1 else (min(scale * stretch, 1), min(scale / stretch, 1))
    left, top = generator.uniform(0, 1 - wide), generator.uniform(0, 1 - high)
    return View(left, top, left + wide, top + high, bool(generator.integers(2)))


def recolour(images: Tensor, generator: torch.Generator, strength: float = 0.4) -> Tensor:
    """Images uint8 [b, s, s, 3] in another light: float32 [b, 3, s, s] in [0, 1].

    Each image gets a brightness, a contrast and a saturation of its own, each a factor within 1 ± strength;
    every tenth becomes grey. ``generator``, on the CPU, fixes all.
    """
    # No hue: with it, 8 x 448 x 448 pixels take 0.98 s instead of 0.11 s on one core.
    light = v2.Compose([v2.ColorJitter(strength, strength, strength), v2.RandomGrayscale(0.1)])
    seed = int(torch.randint(2**62, (), generator=generator))
    # torchvision draws from torch's global generators, of which those of the devices are not touched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([light(image) for image in images.permute(0, 3, 1, 2).float() / 255])
