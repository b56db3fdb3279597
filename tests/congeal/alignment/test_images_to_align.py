"""What `congeal.align_images` takes for a set of images, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import TINY, load
from PIL import Image

from congeal.alignment.image_alignment import align_images
from congeal.backbones.extractor import Backbone
from congeal.errors import CongealError, ImageError
from congeal.geometry.frames import Frame
from congeal.imaging.decoding import decode


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return load(TINY, image_size=96)


def small(seed: int, width: int = 60, height: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def png(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_files_bytes_pillow_images_and_arrays_are_one(tiny: Backbone, tmp_path: Path) -> None:
    pixels = [small(seed) for seed in range(4)]
    (tmp_path / "a.png").write_bytes(png(pixels[0]))
    grey = pixels[2][..., 0]
    mixed = [tmp_path / "a.png", png(pixels[1]), grey, Image.fromarray(pixels[3])]
    found = align_images(mixed, backbone=tiny, resolution=8, map_resolution=8)
    assert found.names == ("a.png", "image 1", "image 2", "image 3")
    arrays = [pixels[0], pixels[1], np.repeat(grey[..., None], 3, 2), pixels[3]]
    other = align_images(arrays, backbone=tiny, resolution=8, map_resolution=8)
    np.testing.assert_array_equal(found.squares, other.squares)
    assert found.frames == other.frames == (Frame(60, 48),) * 4


def test_exif_orientation_is_applied(tiny: Backbone, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png(small(0), exif=exif)
    upright = decode(data)
    (tmp_path / "turned.png").write_bytes(data)
    with Image.open(io.BytesIO(data)) as picture:
        found = align_images(
            [tmp_path / "turned.png", data, picture, upright], backbone=tiny, resolution=8, map_resolution=8
        )
    assert set(found.frames) == {Frame(48, 60)}
    for square in found.squares[1:]:
        np.testing.assert_array_equal(square, found.squares[0])


def test_transparency_lies_on_white_and_deep_greys_are_scaled(tiny: Backbone) -> None:
    clear = Image.new("RGBA", (60, 48), (255, 0, 0, 0))
    ramp = Image.fromarray((np.arange(48 * 60, dtype=np.uint16) * 20).reshape(48, 60))
    found = align_images([clear, ramp, small(0)], backbone=tiny, resolution=8, map_resolution=8)
    assert (found.squares[0] == 255).all()
    assert found.squares[1].min() < 5
    assert found.squares[1].max() > 250


def test_a_folder_stands_for_its_images_and_a_dictionary_names_them(tiny: Backbone, tmp_path: Path) -> None:
    for name in ("b.png", "a.jpeg"):
        (tmp_path / name).write_bytes(png(small(len(name))))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "below").mkdir()
    few = {"resolution": 8, "map_resolution": 8}
    assert align_images(tmp_path, backbone=tiny, **few).names == ("a.jpeg", "b.png")
    named = align_images({"left": small(0), "right": tmp_path / "b.png"}, backbone=tiny, **few)
    assert named.names == ("left", "right")
    assert named.warp("right", 32).shape == (32, 32, 3)
    # Where file names are the same, images are called by their paths.
    (tmp_path / "below" / "b.png").write_bytes(png(small(9)))
    twice = [tmp_path / "b.png", tmp_path / "below" / "b.png"]
    assert align_images(twice, backbone=tiny, **few).names == tuple(map(str, twice))


def test_one_image_is_an_alignment_of_its_own(tiny: Backbone) -> None:
    alone = align_images([small(0)], backbone=tiny, resolution=8, map_resolution=8)
    assert alone.status == "single"
    assert alone.show(size=32).width > 32


def test_an_unreadable_image_is_named(tiny: Backbone, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(png(small(0))[:400])
    images = [small(0), tmp_path / "broken.jpg", small(1), b"no image"]
    with pytest.raises(ImageError, match=r"the image 'broken\.jpg': truncated"):
        align_images(images, backbone=tiny)
    with pytest.raises(ImageError, match=r"the image 'gone\.jpg': cannot be read: No such file"):
        align_images([small(0), tmp_path / "gone.jpg"], backbone=tiny)
    found = align_images(images, backbone=tiny, resolution=8, map_resolution=8, errors="skip")
    assert set(found.failed) == {"broken.jpg", "image 3"}
    assert found.failed["image 3"] == "not an image"
    assert [row.status for row in found.images] == ["ok", "failed", "ok", "failed"]
    assert found.images[1].error == found.failed["broken.jpg"]
    # Positions are those of what was given.
    np.testing.assert_array_equal(found.warp(2), found.warp("image 2"))
    assert len(found.alignment.outlier) == 2
    with pytest.raises(CongealError, match=r"'broken\.jpg' could not be read: truncated"):
        found.maps(1)
    assert "2 could not be read" in repr(found)
    with pytest.raises(CongealError, match="none of the 2 images can be read; 'image 0': not an image"):
        align_images([b"no", b"image"], backbone=tiny, errors="skip")


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([], "there are no images"),
        ({}, "there are no images"),
        (5, "a list of paths, bytes, Pillow images or arrays"),
        (b"bytes", "a list of paths, bytes, Pillow images or arrays"),
        ("/nowhere/at/all", "the folder '/nowhere/at/all' is not there"),
        (
            [np.zeros((4, 20, 20, 3), np.uint8)],
            r"uint8 \[h, w, 3\] or \[h, w\], not uint8 \[4, 20, 20",
        ),
        ([np.zeros((20, 20, 3))], r"'image 0': an array is uint8 \[h, w, 3\] or \[h, w\], not float64"),
        ([np.zeros((20, 20, 4), np.uint8)], r"not uint8 \[20, 20, 4\]"),
        ([np.zeros((4, 20), np.uint8)], "4 pixels, smaller than 8"),
        ([3.5], "a value of type float is no image"),
    ],
)
def test_what_is_no_set_of_images_is_a_sentence(tiny: Backbone, images: Any, sentence: str) -> None:
    with pytest.raises(CongealError, match=sentence):
        align_images(images, backbone=tiny)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"rotation": "sideways"}, "rotation is 'upright' or 'any', not 'sideways'"),
        ({"errors": "ignore"}, "errors is 'raise' or 'skip', not 'ignore'"),
        ({"backbone": "vit_small_patch14_dinov3"}, "there is no backbone"),
        ({"backbone": 5}, "a backbone is a name or what congeal.load_backbone returns, not int"),
        ({"backbone": "embedded", "weights": "/nowhere.safetensors"}, "cannot be read: No such file"),
        ({"atlas_size": 0}, "atlas_size is a number of images, at least 1, not 0"),
        ({"resolution": 0}, "resolution is a whole number of cells"),
        ({"weights": b"x"}, "a loaded backbone has its weights"),
        ({"device": "abacus", "backbone": "embedded"}, "there is no device 'abacus'"),
        ({"value_range": 3}, r"value_range is a low value and a high one, as \(0, 4095\), not 3"),
        ({"value_range": (5, 1)}, "value_range is a low value and a high one"),
        ({"image_size": "224", "backbone": "embedded"}, "image_size is a whole number of pixels, not '224'"),
        ({"seed": None}, "seed is a whole number, not None"),
    ],
)
def test_arguments_that_cannot_be_are_a_sentence(
    tiny: Backbone, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CongealError, match=sentence):
        align_images([small(0), small(1)], **({"backbone": tiny} | arguments))
