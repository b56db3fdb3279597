"""Features by OpenVINO are those by PyTorch, the same bits every time, and nothing is sent to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from models import TINY, load, pictures, random_weights

from congeal.backbones import cache_folder, engines, openvino_model
from congeal.backbones.architectures import untrained
from congeal.backbones.engine_agreement import LEAST_COSINE, check_agreement
from congeal.backbones.extractor import BackboneSpec, DenseFeatures, load_backbone
from congeal.backbones.registry import resolve_name
from congeal.errors import BackboneError

TESTS = Path(__file__).resolve().parents[2]

FAMILIES: list[tuple[str, dict[str, Any]]] = [
    (TINY, {"image_size": 64}),
    (TINY, {"image_size": 64, "stride": 8}),
    (TINY, {"image_size": 64, "layer": 2, "facet": "key", "beside": ("3.token", "4.value")}),
    ("dino_vits8:2", {"image_size": 40}),
    ("dinov2_vits14:2", {"image_size": 70}),
    ("dinov2_vits14_reg:2@20", {"image_size": 112}),
    ("dinov3_vits16:2", {"image_size": 80, "facet": "query"}),
    ("deit_tiny_distilled_patch16_224:2", {"image_size": 80}),
    ("vit_base_patch16_rope_reg1_gap_256:1", {"image_size": 48}),
    ("eva02_tiny_patch14_224:2", {"image_size": 56}),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path))
    return tmp_path / "openvino"


def lively(name: str) -> bytes:
    """Random weights of a part of a model; of gains near 1, so that its tokens differ."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for key, value in untrained(resolve_name(name), 4).state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        gain = (key.endswith("weight") and value.ndim == 1) or "gamma" in key
        scale = max(np.prod(value.shape[1:]), 1) ** 0.5
        state[key] = 1 + 0.2 * noise if gain else noise / scale
    return safetensors.torch.save(state)


@pytest.mark.parametrize(("name", "spec"), FAMILIES, ids=str)
def test_what_it_finds_is_what_pytorch_finds(name: str, spec: dict[str, Any]) -> None:
    data = lively(name)
    engine, reference = load(name, data, engine="openvino", **spec), load(name, data, **spec)
    assert (engine.engine, engine.precision, engine.grid) == ("openvino", "float32", reference.grid)
    assert (engine.taps, engine.fingerprint) == (reference.taps, reference.fingerprint)
    images = pictures(reference.image_size, 3)
    found, expected = engine(images), reference(images)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert check_agreement(engine, reference) > LEAST_COSINE


@pytest.mark.parametrize("itself", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_embedded_backbone_on_fewer_cells_than_it_shows(itself: bool) -> None:
    spec = BackboneSpec("embedded", image_size=112, precision="float32")
    engine = load_backbone(replace(spec, engine="openvino", engine_shrinks=itself))
    images = pictures(112, 1)
    for one, other in zip(engine(images), load_backbone(spec)(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def same(one: DenseFeatures, other: DenseFeatures) -> bool:
    return all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


@pytest.mark.parametrize("name", [TINY, f"{TINY}@20"])
def test_an_image_has_the_same_bits_in_any_batch_with_any_number_of_threads(name: str) -> None:
    engine = load(name, lively(name), image_size=64, engine="openvino")
    images = pictures(64, 5)
    whole = engine(images)
    assert same(whole, engine(images))
    for row in range(5):
        alone = engine(images[row : row + 1])
        assert all(torch.equal(one[0], every[row]) for one, every in zip(alone, whole, strict=True))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert same(whole, engine(images))
    finally:
        torch.set_num_threads(threads)


def test_it_is_compiled_once_for_all_processes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(TINY, image_size=64, engine="openvino")
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(openvino_model, "_converted", None)  # cannot be called
    again = load(TINY, image_size=64, engine="openvino")
    assert same(first(pictures(64)), again(pictures(64)))


@pytest.mark.slow
def test_an_interrupt_in_the_main_thread_is_one_after_models_have_come_and_gone() -> None:
    """A signal is taken on the stack that it had before, so that Ctrl-C ends no interpreter."""
    script = (
        "import faulthandler, gc, signal; faulthandler.enable()\n"
        "from models import TINY, load, pictures\n"
        "for _ in range(2):\n"
        "    load(TINY, image_size=64, engine='openvino')(pictures(64)); gc.collect()\n"
        "try:\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler); signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')"
    )
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


def test_other_weights_and_other_places_are_other_models(cache: Path) -> None:
    load(TINY, image_size=64, engine="openvino")
    load(TINY, image_size=64, engine="openvino", layer=2)
    load(TINY, image_size=64, engine="openvino", facet="key")
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"short", b"0" * 100_000])
def test_a_damaged_cache_is_made_anew(cache: Path, damage: bytes) -> None:
    expected = load(TINY, image_size=64, engine="openvino")(pictures(64))
    (kept,) = cache.iterdir()
    kept.write_bytes(damage)
    assert same(load(TINY, image_size=64, engine="openvino")(pictures(64)), expected)
    assert kept.read_bytes() != damage


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache_folder.VARIABLE, str(tmp_path / "file"))
    assert load(TINY, image_size=64, engine="openvino")(pictures(64)).features.isfinite().all()


def test_another_precision_than_was_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that has not got it: there OpenVINO takes another, and says so if it is asked."""
    monkeypatch.setitem(openvino_model._HINTS, "bfloat16", "f32")
    with pytest.raises(BackboneError, match=r"OpenVINO computes in float32 .* where bfloat16 is asked for"):
        load(TINY, image_size=64, engine="openvino", precision="bfloat16")


def test_it_computes_on_processors_alone() -> None:
    with pytest.raises(BackboneError, match=r"there is no engine 'onnx'; use torch or openvino"):
        load(TINY, engine="onnx")
    spec = BackboneSpec(TINY, engine="openvino")
    with pytest.raises(BackboneError, match="cuda"):
        load_backbone(spec, random_weights(TINY), "cuda:7")


def test_what_cannot_be_converted_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("Check failed\nat a line")

    monkeypatch.setattr(openvino_model, "_converted", fails)
    with pytest.raises(
        BackboneError, match=r"OpenVINO cannot compile this backbone .*Check failed at a line"
    ):
        load(TINY, image_size=64, engine="openvino")


def test_a_missing_or_old_openvino_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.importlib.metadata, "version", lambda _: "2025.4.0")
    with pytest.raises(BackboneError, match=r"OpenVINO 2025\.4\.0 is older than 2026\.1 .*congeal\[cpu\]"):
        load(TINY, image_size=64, engine="openvino")
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BackboneError, match=r"OpenVINO is not installed \(pip install congeal\[cpu\]\)"):
        load(TINY, image_size=64, engine="openvino")


@pytest.mark.parametrize(
    ("flags", "gains"),
    [("sse2 avx2 fma", False), ("avx2 avx512f", True), ("avx2 avx_vnni", True), ("", False)],
)
def test_a_processor_says_whether_there_is_anything_to_gain(flags: str, gains: bool) -> None:
    assert engines.gains_by_openvino(flags) is gains


class Wrong:
    """A backbone that finds something else."""

    engine = "openvino"

    def __init__(self, right: Any, change: str) -> None:
        self.image_size, self._right, self._change = right.image_size, right, change

    def __call__(self, images: np.ndarray) -> DenseFeatures:
        found = self._right(images)
        features, saliency = found.features.clone(), found.saliency
        if self._change == "token":
            features[1, 2, 3] = features[1, 3, 2]
        elif self._change == "nan":
            features[0, 0, 0] = torch.nan
        else:
            saliency = saliency.flip(-1)
        return found._replace(features=features, saliency=saliency)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("token", "openvino gives other features than PyTorch"),
        ("nan", "openvino gives other features than PyTorch"),
        ("saliency", "openvino gives another saliency than PyTorch"),
    ],
)
def test_a_single_token_that_differs_is_found(change: str, sentence: str) -> None:
    right = load(TINY, image_size=96)
    wrong: Any = Wrong(right, change)
    with pytest.raises(BackboneError, match=sentence):
        check_agreement(wrong, right)


WATCHED = """
import socket, sys, urllib.request
def caught(*arguments, **named):
    print("CALLED HOME", arguments)
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, caught)
for name in ("getaddrinfo", "create_connection", "gethostbyname"):
    setattr(socket, name, caught)
urllib.request.urlopen = caught
sys.path.insert(0, sys.argv[1])
from models import TINY, load, pictures
print(load(TINY, image_size=64, engine="openvino")(pictures(64)).features.isfinite().all().item())
print(sorted(name for name in sys.modules if name.startswith("openvino_telemetry.")))
"""


@pytest.mark.slow
def test_nothing_is_sent_and_nothing_left_in_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # Such packages are quiet in continuous integration, where nobody looks.
    quiet = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL", "TRAVIS", "DO_NOT_TRACK")
    environ = {name: value for name, value in os.environ.items() if name not in quiet} | {"HOME": str(home)}
    tests = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tests)], env=environ, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["True", "[]"]
    assert list(home.iterdir()) == []
