"""New images are seen by the engine that the collection's own were seen by, and as it made them smaller."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from congeal.backbones import engines
from congeal.backbones.extractor import BackboneSpec
from congeal.errors import BackboneError
from congeal.results import new_image_fitting
from congeal.settings import load_settings, recorded
from tasks.features.features_stage import VERSION, scope
from tasks.features.run_backbone import Shape, Weights

DEEP = "vit_small_patch14_dinov2.lvd142m"


def collection(backbone: str, engine: str, *, engine_shrinks: bool) -> Any:
    """A version as far as its features are concerned."""
    settings = load_settings(None, [f"features.engine={engine}"], environ={})
    weights = Weights(backbone, None, "f", Shape(448, 32, 384), engine_shrinks)
    units = ["0123456789abcdef/position", f"{scope(settings, weights)}/unit"]
    publication = SimpleNamespace(
        settings=recorded(settings), backbone=backbone, weights_fingerprint="f", units={"features": units}
    )
    marker = SimpleNamespace(stage_version=VERSION)
    tables = SimpleNamespace(marker=lambda stage, unit: marker)
    return SimpleNamespace(publication=publication, tables=tables, storage=None)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[BackboneSpec]:
    asked: list[BackboneSpec] = []

    def load(spec: BackboneSpec, data: bytes | None, device: str) -> Any:
        asked.append(spec)
        return SimpleNamespace(fingerprint="f")

    monkeypatch.setattr(new_image_fitting, "_loaded", load)
    monkeypatch.setattr(engines, "openvino_fault", lambda: None)
    return asked


@pytest.mark.parametrize(
    ("backbone", "engine", "begun", "shrinks"),
    [
        ("embedded", "openvino", False, False),
        ("embedded", "openvino", True, True),  # begun by an earlier version
        (DEEP, "openvino", False, False),
        ("embedded", "torch", False, False),
    ],
)
def test_the_engine_of_the_collection(
    loaded: list[BackboneSpec], backbone: str, engine: str, begun: bool, shrinks: bool
) -> None:
    new_image_fitting.backbone_of(collection(backbone, engine, engine_shrinks=begun), None, "cpu")
    assert [(one.engine, one.engine_shrinks) for one in loaded] == [(engine, shrinks)]


def test_pytorch_where_the_engine_cannot_be_used(
    loaded: list[BackboneSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = collection("embedded", "openvino", engine_shrinks=False)
    monkeypatch.setattr(engines, "openvino_fault", lambda: "OpenVINO is not installed")
    new_image_fitting.backbone_of(there, None, "cpu")
    assert [one.engine for one in loaded] == ["torch"]
    load = new_image_fitting._loaded

    def only_pytorch(spec: BackboneSpec, data: bytes | None, device: str) -> Any:
        if spec.engine == "openvino":
            raise BackboneError("the engine openvino cannot compile it")
        return load(spec, data, device)

    monkeypatch.setattr(engines, "openvino_fault", lambda: None)
    monkeypatch.setattr(new_image_fitting, "_loaded", only_pytorch)
    new_image_fitting.backbone_of(there, None, "cpu")
    assert [one.engine for one in loaded] == ["torch", "torch"]
