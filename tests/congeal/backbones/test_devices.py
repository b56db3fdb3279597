from __future__ import annotations

import pytest
import torch

from congeal.backbones.devices import resolve_device, resolve_precision
from congeal.errors import BackboneError


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device() == torch.device("cuda")


def test_a_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(BackboneError, match=r"'cuda:2' is not there \(2 GPUs"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BackboneError, match=r"use auto or cpu"):
        resolve_device("cuda")
    for name in ("gpu", "meta", ""):
        with pytest.raises(BackboneError, match="use auto, cpu, cuda"):
            resolve_device(name)


def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert resolve_precision("auto", cpu) == "float32"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert resolve_precision("auto", cpu) == "bfloat16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert resolve_precision("auto", torch.device("cuda")) == "float32"
    assert resolve_precision("float16", cpu) == "float16"
    with pytest.raises(BackboneError, match="'half'; use auto, float32, bfloat16, float16"):
        resolve_precision("half", cpu)
