from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from congeal.backbones import backbone_facts, embedded
from congeal.backbones.backbone_facts import BackboneFacts, cached, encoded, measure, remember, shipped
from congeal.backbones.cache_folder import cache_folder
from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.backbones.fingerprint import fingerprint

SPEC = BackboneSpec("embedded")
KEY = ("sha256:0123456789abcdef", "float32", "cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder: Path = tmp_path / "cache"
    monkeypatch.setenv("CONGEAL_CACHE", str(folder))
    return folder


@pytest.fixture
def facts() -> BackboneFacts:
    found = shipped(SPEC, fingerprint(embedded.weights()), "float32")
    assert found is not None
    return found


def only_file(cache: Path) -> Path:
    (place,) = (path for path in cache.rglob("*") if path.is_file())
    return place


def test_the_shipped_facts_are_what_measuring_gives(facts: BackboneFacts) -> None:
    measured = measure(load_backbone(BackboneSpec("embedded", precision="float32"), device="cpu"))
    np.testing.assert_allclose(facts.directions, measured.directions, atol=1e-4)
    np.testing.assert_allclose(facts.blank, measured.blank, rtol=1e-4)


def test_shipped_facts_of_both_precisions_tell_the_same_directions(facts: BackboneFacts) -> None:
    half = shipped(SPEC, fingerprint(embedded.weights()), "bfloat16")
    assert half is not None
    shared = np.linalg.svd(facts.directions @ half.directions.T, compute_uv=False)
    assert shared.min() > 0.999
    np.testing.assert_allclose(half.blank, facts.blank, rtol=0.02)


def test_shipped_facts_are_of_that_backbone_alone() -> None:
    own = fingerprint(embedded.weights())
    assert embedded.facts_card()["version"] == backbone_facts.VERSION
    assert shipped(BackboneSpec("dinov2_vits14"), own, "float32") is None
    assert shipped(BackboneSpec("embedded", layer=3), own, "float32") is None
    assert shipped(BackboneSpec("embedded", image_size=224), own, "float32") is None
    assert shipped(SPEC, "sha256:0000000000000000", "float32") is None
    assert shipped(SPEC, own, "float16") is None
    assert shipped(BackboneSpec("embedded", image_size=448), own, "float32") is not None


def test_facts_of_another_way_to_measure_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    own = fingerprint(embedded.weights())
    assert shipped(SPEC, own, "float32") is not None
    monkeypatch.setattr(backbone_facts, "VERSION", backbone_facts.VERSION + 1)
    assert shipped(SPEC, own, "float32") is None


def test_what_was_measured_is_found_again(facts: BackboneFacts, cache: Path) -> None:
    assert cached(SPEC, *KEY) is None
    remember(facts, SPEC, *KEY)
    found = cached(SPEC, *KEY)
    assert found is not None
    assert found.directions.tobytes() == facts.directions.tobytes()
    assert found.blank.tobytes() == facts.blank.tobytes()
    assert [path.suffix for path in cache.rglob("*") if path.is_file()] == [".safetensors"]


@pytest.mark.parametrize("other", [0, 1, 2])
def test_other_weights_precisions_and_devices_have_facts_of_their_own(
    facts: BackboneFacts, other: int
) -> None:
    remember(facts, SPEC, *KEY)
    key = [*KEY]
    key[other] = ["sha256:fedcba9876543210", "bfloat16", "cuda"][other]
    assert cached(SPEC, *key) is None
    assert cached(BackboneSpec("embedded", layer=5), *KEY) is None
    assert cached(BackboneSpec("embedded", engine="openvino"), *KEY) is None


def _changed(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        arrays = {name: array.copy() for name, array in safetensors.numpy.load(content).items()}
        change(arrays)
        return encoded(arrays)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-8],
        lambda _: b"",
        lambda _: b"\x80\x04pickled",
        _changed(lambda arrays: arrays.pop("blank")),
        _changed(lambda arrays: arrays["directions"].__setitem__((0, 0), np.nan)),
        _changed(lambda arrays: arrays["directions"].__imul__(2)),
        _changed(lambda arrays: arrays["blank"].__imul__(-1)),
        _changed(lambda arrays: arrays.update(directions=arrays["directions"][:, :-1])),
        _changed(lambda arrays: arrays.update(blank=arrays["blank"].astype(np.float64))),
        _changed(lambda arrays: arrays.update(blank=np.zeros(2, np.float32))),
    ],
)
def test_what_is_damaged_counts_as_absent(
    facts: BackboneFacts, cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    remember(facts, SPEC, *KEY)
    place = only_file(cache)
    place.write_bytes(damage(place.read_bytes()))
    assert cached(SPEC, *KEY) is None
    remember(facts, SPEC, *KEY)
    assert cached(SPEC, *KEY) is not None


def test_a_folder_that_cannot_be_written_costs_time_only(
    facts: BackboneFacts, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_bytes(b"a file where the folder should be")
    remember(facts, SPEC, *KEY)
    assert cached(SPEC, *KEY) is None
    monkeypatch.setenv("CONGEAL_CACHE", "none")
    remember(facts, SPEC, *KEY)
    assert cached(SPEC, *KEY) is None


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONGEAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "congeal"
    monkeypatch.setenv("CONGEAL_CACHE", " ")
    assert cache_folder() == tmp_path / "congeal"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "congeal"
