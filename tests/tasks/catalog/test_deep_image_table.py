"""Images of more than 8 bits in a run: which units depend on how they become pixels."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sample_runs import encoded, folder, picture, results, run, tiny, units

import congeal
from congeal.imaging import intensity_scaling
from infra.ledger.commits import MARKER
from infra.ledger.sealed_text import sealed_text
from tasks.catalog.deep_image_table import DEPTHS_FILE


def deep(seed: int) -> bytes:
    """The grey version of a picture, as 16-bit counts from 300 to 1320."""
    grey = np.asarray(Image.open(io.BytesIO(picture(0, seed))).convert("L")).astype(np.uint16)
    return encoded(300 + 4 * grey)


def records(destination: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads((unit / MARKER).read_text())["record"] for unit in units(destination, [stage])]


def forget(destination: Path, stage: str, key: str) -> None:
    """Make a destination's markers what they were before something was noted in them."""
    for unit in units(destination, [stage]):
        marker = json.loads((unit / MARKER).read_text())
        marker["record"].pop(key, None)
        marker.pop("checksum", None)
        (unit / MARKER).write_bytes(sealed_text(marker))


def stages(facts: dict[str, Any]) -> dict[str, int]:
    return {stage["stage"]: stage["units_made"] for stage in facts["stages"]}


def test_eight_bit_collections_know_nothing_of_depths(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", {f"{n}.png": picture(0, n) for n in range(3)})
    run(source, tmp_path / "out", tiny(weights))
    before = results(tmp_path / "out")
    assert not list((tmp_path / "out").rglob(DEPTHS_FILE))
    assert all("greys" not in record for record in records(tmp_path / "out", "features"))
    # One that was made before depths were noted: its slices are looked at once, under their names, no more.
    forget(tmp_path / "out", "catalog", "deep")
    (tmp_path / "out/published/current.json").unlink()
    facts = run(source, tmp_path / "out", tiny(weights))
    assert stages(facts)["catalog"] > 0
    assert sum(made for stage, made in stages(facts).items() if stage != "catalog") == 0
    assert results(tmp_path / "out") == before
    (tmp_path / "out/published/current.json").unlink()
    assert sum(stages(run(source, tmp_path / "out", tiny(weights))).values()) == 0


def test_only_units_with_a_deep_image_are_made_anew(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{n}.png": picture(0, n) for n in range(3)} | {"deep.png": deep(7)}
    source = folder(tmp_path / "source", files)
    chosen = tiny(weights, "features.shard_bytes=1")
    run(source, tmp_path / "out", chosen)
    assert sum("greys" in record for record in records(tmp_path / "out", "features")) == 1
    assert sum(record.get("deep", 0) for record in records(tmp_path / "out", "catalog")) == 1
    named = {unit.name for unit in units(tmp_path / "out", ["features"])}
    monkeypatch.setattr(intensity_scaling, "VERSION", intensity_scaling.VERSION + 1)
    (tmp_path / "out/published/current.json").unlink()
    facts = run(source, tmp_path / "out", chosen)
    assert stages(facts)["catalog"] == 0
    assert stages(facts)["features"] == 1
    assert stages(facts)["atlases"] == 1
    again = {unit.name for unit in units(tmp_path / "out", ["features"])}
    assert named < again
    assert len(again) == len(named) + 1


@pytest.mark.slow
def test_a_destination_from_before_gets_the_greys_right(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", {f"{n}.png": deep(n) for n in range(3)})
    with monkeypatch.context() as before:
        before.setattr("congeal.imaging.decoding._depth", lambda *_: 8)  # all that was known then
        first = run(source, tmp_path / "out", tiny(weights))
    forget(tmp_path / "out", "catalog", "deep")
    (tmp_path / "out/published/current.json").unlink()
    facts = run(source, tmp_path / "out", tiny(weights))
    assert stages(facts)["features"] == stages(first)["features"] - 1  # the backbone's position is there
    assert stages(facts)["atlases"] == 1
    run(source, tmp_path / "fresh", tiny(weights))
    made = {unit.name for unit in units(tmp_path / "out", ["features"])}
    assert made >= {unit.name for unit in units(tmp_path / "fresh", ["features"])}


def test_a_given_range_is_another_set_of_features(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", {f"{n}.png": deep(n) for n in range(3)})
    run(source, tmp_path / "out", tiny(weights))
    facts = run(source, tmp_path / "out", tiny(weights, "catalog.range=300,2340"))
    assert stages(facts)["catalog"] == 0
    assert stages(facts)["features"] > 0
    shown = congeal.open(tmp_path / "out").image("1.png")
    grey = np.asarray(Image.open(io.BytesIO(picture(0, 1))).convert("L")).astype(float)
    np.testing.assert_allclose(shown[..., 0], grey / 2, atol=1)  # half of the range is used
    assert congeal.open(tmp_path / "out", version="1").image("1.png").max() == 255


def test_slices_of_jpegs_alone_are_not_looked_at_again(tmp_path: Path, weights: Path) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(picture(0, 1))))
    source = folder(tmp_path / "source", {f"{n}.jpg": encoded(pixels + np.uint8(n), "JPEG") for n in (0, 1)})
    run(source, tmp_path / "out", tiny(weights))
    forget(tmp_path / "out", "catalog", "deep")
    (tmp_path / "out/published/current.json").unlink()
    assert stages(run(source, tmp_path / "out", tiny(weights)))["catalog"] == 0


def test_the_table_of_depths_names_each_image_once(tmp_path: Path, weights: Path) -> None:
    files = {"a.png": deep(1), "b.png": deep(1), "c.png": picture(0, 2)}
    run(folder(tmp_path / "source", files), tmp_path / "out", tiny(weights))
    found = (tmp_path / "out").rglob(DEPTHS_FILE)
    (merged,) = [path for path in found if (path.parent / "images.parquet").exists()]
    assert pq.read_table(merged)["bits"].to_pylist() == [16]
