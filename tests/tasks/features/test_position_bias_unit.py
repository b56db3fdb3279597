from __future__ import annotations

from pathlib import Path

import pytest
from sample_runs import folder, photographs, results, run, tiny

from congeal.backbones import backbone_facts


@pytest.mark.slow
def test_a_second_destination_spares_measuring_and_has_the_same_bytes(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONGEAL_CACHE", str(tmp_path / "cache"))
    source = folder(tmp_path / "source", photographs(2))
    measure, calls = backbone_facts.measure, []
    monkeypatch.setattr(backbone_facts, "measure", lambda backbone: calls.append(1) or measure(backbone))
    for name in ("first", "second"):
        run(source, tmp_path / name, tiny(weights))
    assert calls == [1]
    assert results(tmp_path / "first") == results(tmp_path / "second")
    for path in (tmp_path / "cache").rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    run(source, tmp_path / "third", tiny(weights))
    assert calls == [1, 1]
    assert results(tmp_path / "third") == results(tmp_path / "first")
