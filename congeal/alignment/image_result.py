"""What `congeal.align_images` answers: points from image to image, pictures, what became of each image."""

from __future__ import annotations

import difflib
import io
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from congeal.alignment.model import SALIENT, Alignment, Atlas
from congeal.alignment.outcomes import MEANINGLESS
from congeal.errors import CongealError, ImageError
from congeal.geometry.frames import Frame, cell_centres
from congeal.imaging import visualization
from congeal.imaging.decoding import Pixels, square
from congeal.imaging.image_inputs import read_image
from congeal.transfer.object_confidence import object_confidence
from congeal.transfer.points import Maps, Transferred, transfer
from congeal_floors.plurals import counted

ImageKey = int | str | os.PathLike[str]  # a position among the images given, a name, or the path

OK, FAILED = "ok", "failed"
COLUMNS = 7  # most pictures side by side


class ImageRow(NamedTuple):
    """What became of one image.

    Attributes:
        name: what the image is called.
        status: "ok", or "failed": it could not be read.
        error: why it could not be read, else None.
        outlier: whether it does not fit the atlas; None where it could not be read, and so are the following.
        outlier_reason: one sentence, or None.
        confidence: mean of its map over the object, 0 to 1, as in a run's table of clusters.
        residual: mean 1 − cosine between the image and the atlas of the others.
        coverage: share of the salient atlas that the image shows with confidence.
        mirrored: whether it is aligned mirrored left to right.
        width, height: pixels, after EXIF orientation.
    """

    name: str
    status: str
    error: str | None = None
    outlier: bool | None = None
    outlier_reason: str | None = None
    confidence: float | None = None
    residual: float | None = None
    coverage: float | None = None
    mirrored: bool | None = None
    width: int | None = None
    height: int | None = None


def maps_of(aligned: Alignment, row: int, frame: Frame) -> Maps:
    """The dense maps of an image of an alignment, float32 [r, r, 2] and [m, m, 2], in pixels of its frame."""
    return Maps(
        frame,
        np.asarray(frame.to_pixels(aligned.forward[row]), np.float32),
        aligned.forward_confidence[row],
        aligned.backward[row],
        aligned.backward_confidence[row],
    )


@dataclass(frozen=True, repr=False)
class ImageAlignment:
    """Images and their alignment. Made by `congeal.align_images`.

    Methods take an image by its position among those given (from 0; those that could not be read count), or
    by its name. Points are pixels of the original image after EXIF orientation: x right, y down, (0, 0) the
    centre of the top-left pixel.

    Attributes:
        names: of all images given, in their order.
        failed: name to reason, of the images that could not be read.
        alignment: poses, dense maps and figures of the images that could be read, in their order; in frame
            coordinates (see `congeal.geometry.frames`).
        frames: of those images, n.
        squares: uint8 [n, s, s, 3], what the backbone saw of them.
        inputs: those images as they were given, n.
        backbone: its name.
    """

    names: tuple[str, ...]
    failed: Mapping[str, str]
    alignment: Alignment
    frames: tuple[Frame, ...]
    squares: Pixels
    inputs: tuple[Any, ...]
    backbone: str

    def __repr__(self) -> str:
        outliers = int(self.alignment.outlier.sum())
        unread = f", {len(self.failed)} could not be read" if self.failed else ""
        return (
            f"<congeal alignment of {counted(len(self.frames), 'image')} ({self.status}): "
            f"{outliers} outlier{'' if outliers == 1 else 's'}{unread}; "
            f"backbone {self.backbone}; .images .transfer .average .warp .show .maps .alignment>"
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def status(self) -> str:
        """ "ok", "single", "nothing-in-common" or "collapsed", see `congeal.Alignment`."""
        return self.alignment.status

    @property
    def atlas(self) -> Atlas:
        """The template, over the square [-1, 1]²."""
        return self.alignment.atlas

    @property
    def images(self) -> tuple[ImageRow, ...]:
        """A row an image given, in their order; `pandas.DataFrame(result.images)` is the table."""
        rows = iter(range(len(self.frames)))
        return tuple(
            ImageRow(name, FAILED, self.failed[name])
            if name in self.failed
            else self._row_of(name, next(rows))
            for name in self.names
        )

    def maps(self, image: ImageKey) -> Maps:
        """The dense maps of an image both ways, in pixels of the original, float32.

        As `congeal.open(…).maps(image)` gives them; there the confidences are stored in float16.
        """
        row = self._find(image)
        return maps_of(self.alignment, row, self.frames[row])

    # "all" is a str as names are, and a str is a sequence of str: for mypy these overlap; the order decides.
    @overload
    def transfer(  # type: ignore[overload-overlap]
        self, source: ImageKey, points: npt.ArrayLike, target: Literal["all"]
    ) -> dict[str, Transferred]: ...

    @overload
    def transfer(  # type: ignore[overload-overlap]
        self, source: ImageKey, points: npt.ArrayLike, target: ImageKey
    ) -> Transferred: ...

    @overload
    def transfer(
        self, source: ImageKey, points: npt.ArrayLike, target: Sequence[ImageKey]
    ) -> dict[str, Transferred]: ...

    def transfer(
        self, source: ImageKey, points: npt.ArrayLike, target: ImageKey | Sequence[ImageKey]
    ) -> Transferred | dict[str, Transferred]:
        """Carry points of one image to others, through the atlas.

        Args:
            source: the image.
            points: float [k, 2], x and y in pixels of the original image.
            target: an image; or several, or "all" (every other image that fits the atlas).

        Returns:
            xy float64 [k, 2] in pixels of the target, confidence float64 [k] in [0, 1] and visible bool [k];
            for several targets, or "all", a dictionary of name to these.

        Raises:
            CongealError: for an image that is not there, could not be read or does not fit the atlas, for
                points of another shape or beyond the image, and if the images have nothing in common.
        """
        if self.status in MEANINGLESS:
            raise CongealError(f"nothing can be carried: {MEANINGLESS[self.status]} (status {self.status})")
        given = _points(points)
        maps = self._fitting(source)
        if isinstance(target, str) and target == "all" and "all" not in self.names:
            here = self._find(source)
            target = [
                row.name for row in self.images if row.outlier is False and self._find(row.name) != here
            ]
        elif isinstance(target, (int, np.integer, str, os.PathLike)):
            return transfer(given, maps, self._fitting(target))
        return {self.names[self._position(one)]: transfer(given, maps, self._fitting(one)) for one in target}

    def average(self, size: int | None = None) -> Pixels:
        """The average of the aligned images that fit, uint8 [size, size, 3], over the atlas' square.

        White where none of them reaches. size: pixels a side; absent, as many as the backbone saw.
        """
        fits = ~self.alignment.outlier
        shown = np.stack(
            [
                frame.inside(frame.to_pixels(places))
                for frame, places in zip(self.frames, self.alignment.forward, strict=True)
            ]
        )
        weights = shown * (fits if fits.any() else np.ones_like(fits))[:, None, None]
        side = None if size is None else _size(size)
        return visualization.average_image(self.squares, self.alignment.forward, weights, side)

    def warp(self, image: ImageKey, size: int | None = None) -> Pixels:
        """An image moved to its place in the atlas' square, uint8 [size, size, 3].

        White where the image does not reach. size: pixels a side; absent, as many as the backbone saw. For a
        larger one the image is read again, at its full size.
        """
        row = self._find(image)
        side = self.squares.shape[1] if size is None else _size(size)
        frame, picture = self.frames[row], self.squares[row]
        wanted = min(frame.side, int(side / max(float(self.alignment.scale[row]), 0.1)))
        if side > len(picture) and wanted > len(picture):
            try:
                picture = square(read_image(self.inputs[row]), wanted)
            except ImageError as error:
                raise ImageError(f"the image {image!r} can no longer be read: {error.reason}") from error
        return visualization.warped(_on_white(picture, frame), self.alignment.forward[row], side)

    def show(self, most: int = 12, size: int = 160) -> Image.Image:
        """A contact sheet: the images as they are, below each the same in the atlas' place, and the averages.

        Returns a Pillow image: a notebook shows it; a script calls `.show()` or `.save("sheet.png")` on it.

        most: images that are shown, the first that could be read. size: pixels a side of each.
        """
        side, count = _size(size), min(len(self.frames), max(most, 1))
        names = [name for name in self.names if name not in self.failed][:count]
        marks = [" (outlier)" if outlier else "" for outlier in self.alignment.outlier[:count]]
        before = [_resized(_on_white(self.squares[row], self.frames[row]), side) for row in range(count)]
        after = [self.warp(name, side) for name in names]
        before.append(_resized(self.squares.mean(0).round().astype(np.uint8), side))
        after.append(self.average(side))
        above = [*(name + mark for name, mark in zip(names, marks, strict=True)), "average"]
        below = [*["aligned"] * count, "average, aligned"]
        columns = -(-len(before) // -(-len(before) // COLUMNS))
        return Image.fromarray(_pairs(before, after, above, below, columns))

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.show().save(buffer, "PNG")
        return buffer.getvalue()

    def _row_of(self, name: str, row: int) -> ImageRow:
        aligned = self.alignment
        (sure,) = object_confidence(aligned.forward_confidence[row][None], aligned.atlas.saliency, SALIENT)
        return ImageRow(
            name,
            OK,
            outlier=bool(aligned.outlier[row]),
            outlier_reason=aligned.outlier_reason[row],
            confidence=float(sure),
            residual=float(aligned.residual[row]),
            coverage=float(aligned.coverage[row]),
            mirrored=bool(aligned.mirrored[row]),
            width=self.frames[row].width,
            height=self.frames[row].height,
        )

    def _position(self, image: Any) -> int:
        """Where an image stands among those given."""
        if isinstance(image, (str, os.PathLike)):
            text = os.fspath(image)
            if text in self.names:
                return self.names.index(text)
            last = Path(text).name
            if last in self.names:
                return self.names.index(last)
            near = difflib.get_close_matches(text, self.names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f": {_counted(self.names)}"
            raise CongealError(f"there is no image {text!r}{hint}")
        try:
            position = operator.index(image)
        except TypeError:
            position = None
        if position is None or isinstance(image, bool):
            raise CongealError(f"an image is a position or a name, not {type(image).__name__}")
        if not -len(self.names) <= position < len(self.names):
            raise CongealError(f"there is no image {position}: {_counted(self.names)}")
        return position % len(self.names)

    def _find(self, image: Any) -> int:
        """The row of an image in `alignment`."""
        position = self._position(image)
        name = self.names[position]
        if name in self.failed:
            raise CongealError(f"the image {name!r} could not be read: {self.failed[name]}")
        return position - sum(other in self.failed for other in self.names[:position])

    def _fitting(self, image: Any) -> Maps:
        """The maps of an image through which something can be carried."""
        row = self._find(image)
        if self.alignment.outlier[row]:
            name = self.names[self._position(image)]
            reason = self.alignment.outlier_reason[row] or "it does not fit"
            raise CongealError(f"the image {name!r} does not fit the atlas: {reason}")
        return self.maps(image)


def _points(points: Any) -> npt.NDArray[np.float64]:
    try:
        given = np.asarray(points, np.float64) if points is not None else np.array(np.nan)
    except (ValueError, TypeError) as error:
        raise CongealError("points are no array of numbers: give x and y of each, [k, 2]") from error
    if given.shape == (2,):
        return given[None]
    return given.reshape(0, 2) if given.shape == (0,) else given


def _pairs(
    upper: Sequence[Pixels],
    lower: Sequence[Pixels],
    above: Sequence[str],
    below: Sequence[str],
    columns: int,
) -> Pixels:
    """Rows of pictures, each with a row of other pictures below it, and their captions."""
    blank = np.full_like(upper[0], visualization.PAPER)
    pictures: list[Pixels] = []
    captions: list[str] = []
    for start in range(0, len(upper), columns):
        some = slice(start, start + columns)
        missing = columns - len(upper[some])
        for row, words in ((upper, above), (lower, below)):
            pictures += [*row[some], *[blank] * missing]
            captions += [*words[some], *[""] * missing]
    return visualization.contact_sheet(pictures, columns, captions)


def _on_white(picture: Pixels, frame: Frame) -> Pixels:
    """A square without the edges that are repeated in its padding."""
    shown = frame.inside(frame.to_pixels(cell_centres(len(picture)).astype(np.float64)))
    return np.where(shown[..., None], picture, np.uint8(visualization.PAPER))


def _resized(picture: Pixels, size: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


def _size(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 1 <= size <= 16_384:
        raise CongealError(f"size is a number of pixels a side, 1 to 16384, not {size!r}")
    return int(size)


def _counted(names: Sequence[str]) -> str:
    return f"there are {len(names)}, counted from 0" if len(names) > 1 else "there is one, 0"
