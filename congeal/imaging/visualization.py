"""Pictures of an alignment: averages, members in the atlas' place, feature colours, contact sheets.

Images are uint8 [s, s, 3] squares as `congeal.imaging.decoding.square` frames them; maps are in frame
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Real, UInt8

from congeal.geometry.eigenvectors import leading_eigenvectors
from congeal.geometry.shape_checks import Numbers, checked

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

GAP = 4
CAPTION = 11  # pixels
PAPER = 255


def _enlarged(field: Floats, size: int) -> torch.Tensor:
    """A cell-centred field [r, r, c] at size×size, float32 [size, size, c]."""
    layers = torch.tensor(np.asarray(field, np.float32)).permute(2, 0, 1)[None]
    mode = "bicubic" if size > field.shape[0] else "area"
    options = {"align_corners": False} if mode == "bicubic" else {}
    return torch.nn.functional.interpolate(layers, size=(size, size), mode=mode, **options)[0].permute(
        1, 2, 0
    )


def _in_place(image: Pixels, forward: Floats, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The image's colours at the atlas' places, float32 [size, size, 3], and whether it reaches there.

    The latter is float32 [size, size, 1], from 1 on the square that frames the image to 0 a pixel beyond it.
    """
    places = _enlarged(forward, size)[None]
    colours = torch.tensor(np.asarray(image, np.float32)).permute(2, 0, 1)[None]
    across = np.asarray(forward[..., 0], np.float64)
    # A single cell shows one place, however large it is drawn.
    shrink = float(np.abs(np.gradient(across, axis=1)).mean()) if across.shape[1] > 1 else 0.0
    pixels_apart = shrink * forward.shape[0] / size * image.shape[0] / 2
    if pixels_apart > 1.5:  # the atlas shows the image smaller than it is: average, do not skip
        kernel = int(pixels_apart) | 1
        colours = torch.nn.functional.avg_pool2d(colours, kernel, 1, kernel // 2, count_include_pad=False)
    seen = torch.nn.functional.grid_sample(colours, places, align_corners=False, padding_mode="border")
    reaches = ((1 - places[0].abs()) * image.shape[0] / 2 + 0.5).clamp(0, 1).amin(-1, keepdim=True)
    return seen[0].permute(1, 2, 0), reaches


@checked
def warped(image: UInt8[Pixels, "s s 3"], forward: Real[Floats, "r r 2"], size: int | None = None) -> Pixels:
    """One image moved to the atlas' place, on white where it does not reach.

    Args:
        image: uint8 [s, s, 3], the framed image.
        forward: [r, r, 2], for each atlas cell its place in the image's frame.
        size: side of the result; absent, that of the image.
    """
    return _on_paper(*_in_place(image, forward, size or image.shape[0]))


def _on_paper(colours: torch.Tensor, reaches: torch.Tensor) -> Pixels:
    return _pixels(torch.lerp(torch.tensor(float(PAPER)), colours, reaches))


def _pixels(colours: torch.Tensor) -> Pixels:
    """Colours from 0 to 255 as bytes."""
    return colours.round().clamp(0, 255).byte().numpy()


@checked
def average_image(
    images: UInt8[Pixels, "n s s 3"],
    forward: Real[Floats, "n r r 2"],
    weights: Numbers[Floats, "n ..."],
    size: int | None = None,
) -> Pixels:
    """The average of a set in the atlas' place, of those who reach there; white where nobody does.

    Args:
        images: uint8 [n, s, s, 3].
        forward: [n, r, r, 2].
        weights: [n], an image's share, or [n, r, r], the share of each of its cells; not negative.
        size: side of the result; absent, that of the images.
    """
    return _averaged(images, forward, weights, size or images.shape[1], lambda *_: None)


@checked
def average_and_members(
    images: UInt8[Pixels, "n s s 3"], forward: Real[Floats, "n r r 2"], weights: Numbers[Floats, "n ..."]
) -> tuple[Pixels, list[Pixels]]:
    """`average_image` of a set and `warped` of each of its images, uint8 [s, s, 3] each.

    Most of their work is the same. Arguments: as of `average_image`.
    """
    members: list[Pixels] = []

    def keep(colours: torch.Tensor, reaches: torch.Tensor) -> None:
        members.append(_on_paper(colours, reaches))

    return _averaged(images, forward, weights, images.shape[1], keep), members


def _averaged(
    images: Pixels,
    forward: Floats,
    weights: Floats,
    side: int,
    each: Callable[[torch.Tensor, torch.Tensor], None],
) -> Pixels:
    """The average; `each` is given what `_in_place` says of every image, in order."""
    mass = torch.full((side, side, 1), 1e-6)
    total = mass * torch.full((3,), float(PAPER))
    even: dict[float, torch.Tensor] = {}  # shares that are the same for a whole image, enlarged
    for image, places, weight in zip(images, forward, weights, strict=True):
        share = np.asarray(weight, np.float32)
        known = even.get(float(share)) if share.ndim == 0 else None
        if known is None:
            cells = np.broadcast_to(share[..., None], (*places.shape[:2], 1))
            known = _enlarged(cells, side).clamp_min(0) + 1e-3
            if share.ndim == 0:
                even[float(share)] = known
        colours, reaches = _in_place(image, places, side)
        each(colours, reaches)
        part = known * reaches
        total += colours * part
        mass += part
    return _pixels(total / mass)


@checked
def feature_colours(
    features: Real[Floats, "r r c"], saliency: Real[Floats, "r r"] | None = None, size: int = 192
) -> Pixels:
    """Features [r, r, c] as colours: the three leading principal components, dimmed where not salient."""
    flat = torch.as_tensor(np.asarray(features, np.float32)).flatten(0, 1)
    flat = torch.nn.functional.normalize(torch.nan_to_num(flat), dim=-1)
    weight = torch.ones(len(flat)) if saliency is None else torch.as_tensor(saliency).float().flatten() + 1e-3
    weight = weight / weight.sum()
    centred = flat - weight @ flat
    _, axes = leading_eigenvectors((centred * weight[:, None]).T @ centred, 3)
    score = centred @ axes
    spread = (weight[:, None] * score**2).sum(0).sqrt().clamp_min(1e-9)
    colours = torch.sigmoid(1.5 * score / spread)
    if saliency is not None:
        colours = colours * torch.as_tensor(saliency).float().flatten().clamp(0.15, 1)[:, None]
    r = features.shape[0]
    picture = _enlarged(colours.view(r, r, 3).numpy(), size)
    return _pixels(picture * 255)


def contact_sheet(pictures: Sequence[Pixels], columns: int, captions: Sequence[str] | None = None) -> Pixels:
    """Pictures of one size in rows on white, each with a caption under it if captions are given.

    pictures: uint8 [h, w, 3] each; the sheet is one, too. A caption that is too long for its picture is
    shortened in the middle: names differ at their ends.
    """
    # torchvision's make_grid gives the same bytes, but for two things: a single picture gets no border, and
    # captions drawn on their pictures lose what reaches out to the left, as a first j does.
    from PIL import Image, ImageDraw, ImageFont

    height, width = pictures[0].shape[:2]
    caption = CAPTION + 3 if captions else 0
    font = ImageFont.load_default(CAPTION)
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    sheet = Image.new(
        "RGB",
        (columns * (width + GAP) + GAP, rows * (height + caption + GAP) + GAP),
        (PAPER, PAPER, PAPER),
    )
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        left = GAP + index % columns * (width + GAP)
        top = GAP + index // columns * (height + caption + GAP)
        sheet.paste(Image.fromarray(picture), (left, top))
        if captions:
            text = _fitting(captions[index], lambda words: font.getlength(words) <= width)
            draw.text((left, top + height + 1), text, fill=(40, 40, 40), font=font)
    return np.asarray(sheet)


def _fitting(text: str, fits: Callable[[str], bool]) -> str:
    """The text, without its middle if it does not fit; what cannot be printed is a question mark."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if fits(text):
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = kept // 2
        shortened = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if fits(shortened):
            return shortened
    return ""
