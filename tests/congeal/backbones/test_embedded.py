from __future__ import annotations

import numpy as np
import pytest
import torch

from congeal.backbones import embedded, packed_checkpoint
from congeal.backbones.extractor import (
    Backbone,
    BackboneSpec,
    geometry,
    load_backbone,
    resolve_name,
)

SIZE = 448  # 32 cells a side


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(BackboneSpec(embedded.NAME, image_size=SIZE, precision="float32"), None, "cpu")


def scene(left: int, top: int) -> np.ndarray:
    """A thing with an outer shape and inner parts, somewhere on a plain ground."""
    picture = np.full((SIZE, SIZE, 3), (150, 165, 140), np.uint8)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    x, y = (columns - left) / 2.2, (rows - top) / 2.2
    picture[(np.hypot(x - 40, (y - 40) * 1.3) < 38)] = (200, 60, 40)
    picture[np.hypot(x - 28, y - 34) < 9] = (250, 250, 240)
    picture[np.hypot(x - 28, y - 34) < 4] = (10, 10, 10)
    picture[(abs(y - 40) < 6) & (x > 60) & (x < 95)] = (40, 80, 200)
    return picture


def test_it_is_small_and_its_card_belongs_to_it() -> None:
    data, card = embedded.weights(), embedded.card()
    said = packed_checkpoint.about(data)
    assert len(data) <= 8_000_000
    assert said is not None
    assert said.backbone == card["student"]["backbone"] == embedded.ARCHITECTURE
    assert said.sha256 == card["student"]["sha256"]
    assert card["student"]["bytes"] == len(data)
    assert {"teacher", "data", "recipe", "agreement"} <= card.keys()
    assert card["agreement"]["token_cosine"] > 0.7
    assert card["agreement"]["matches"] > 0.45


def test_it_is_loaded_by_its_name_alone(backbone: Backbone) -> None:
    assert resolve_name("embedded") == backbone.name == "embedded"
    shape = geometry(BackboneSpec(embedded.NAME))
    assert shape.worked < shape.grid == backbone.grid == 32
    assert backbone.fingerprint.startswith("sha256:")
    by_architecture = load_backbone(
        BackboneSpec(embedded.ARCHITECTURE, image_size=SIZE, precision="float32"), embedded.weights(), "cpu"
    )
    images = scene(20, 30)[None]
    assert torch.equal(by_architecture(images).features, backbone(images).features)


def test_it_finds_a_thing_again_where_it_was_moved(backbone: Backbone) -> None:
    """By 6 cells down and 9 to the right, of 14 pixels each."""
    seen = backbone(np.stack([scene(28, 42), scene(28 + 9 * 14, 42 + 6 * 14)]))
    unit = torch.nn.functional.normalize(seen.features, dim=-1)
    inside = [(row, column) for row in range(6, 13) for column in range(4, 14)]
    found = 0
    for row, column in inside:
        best = int((unit[1].flatten(0, 1) @ unit[0, row, column]).argmax())
        found += abs(best // 32 - (row + 6)) <= 2 and abs(best % 32 - (column + 9)) <= 2
    assert found >= 0.6 * len(inside)  # by chance: a fortieth


def test_its_attention_lies_on_the_thing(backbone: Backbone) -> None:
    saliency = backbone(scene(112, 112)[None]).saliency[0]
    thing = torch.zeros(32, 32, dtype=torch.bool)
    thing[10:19, 8:22] = True
    assert saliency[thing].mean() > 1.5 * saliency[~thing].mean()


def test_a_picture_is_most_like_another_of_its_kind(backbone: Backbone) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    embedding = backbone(np.stack([scene(16, 32), scene(150, 120), noise])).embedding
    alike = embedding @ embedding.T
    assert alike[0, 1] > alike[0, 2]
    assert alike[0, 1] > alike[1, 2]
