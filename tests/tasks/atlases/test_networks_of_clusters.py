"""Clusters aligned with alignment.method=neural: networks beside the atlas, keys, resume, growth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import LITTLE_IN_COMMON, folder, photographs, picture, run, tiny

import congeal
from congeal.neural import refinement
from congeal.neural.checkpoints import decode_networks
from congeal.neural.config import NETWORKS, SCHEDULES, NetworkSize, Schedule
from congeal.settings import load_settings
from infra.errors import SettingsError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.storage.location import Location
from tasks.atlases import network_training
from tasks.atlases.atlases_stage import scope

NEURAL = (LITTLE_IN_COMMON, "alignment.method=neural")
TINY = NetworkSize("small", 16, 8, (8, 8), 8, 2, pixels=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "small", TINY)
    monkeypatch.setitem(NETWORKS, "published", replace(TINY, name="published", pixels=True))
    short = Schedule("fast", 8, 4e-3, 2, 0, 6, 2e-5, 1e-3, mirrors=False)
    monkeypatch.setitem(SCHEDULES, "fast", short)


def bears_out(monkeypatch: pytest.MonkeyPatch, networks: bool) -> None:
    """Free matches bear out the networks, or the direct maps."""
    monkeypatch.setattr(
        refinement,
        "share_explained",
        lambda solved, aligned, _: 0.5 if aligned is solved.aligned else float(networks),
    )


def few(count: int) -> dict[str, bytes]:
    return {f"a/{seed}.png": picture(0, seed, ((80, 60), (64, 84))[seed % 2]) for seed in range(count)}


def atlases(destination: Path) -> list[tuple[Marker, Location]]:
    place, found = Location.parse(destination), []
    for path in destination.glob("stages/atlases/*/*/_commit.json"):
        marker = find_marker(place, "atlases", f"{path.parent.parent.name}/{path.parent.name}")
        assert marker is not None
        found.append((marker, outputs_location(place, marker)))
    return found


def test_direct_keeps_its_keys_and_neural_has_its_own() -> None:
    def key(*overrides: str) -> str:
        return scope(load_settings(None, overrides, {}), "features")

    # As it was before there was a choice: what is stored is found again.
    assert key() == key("alignment.method=direct") == key("alignment.schedule=published")
    assert key("alignment.network=published") == key()
    neural = {
        key("alignment.method=neural", *more)
        for more in ([], ["alignment.schedule=published"], ["alignment.network=published"])
    }
    assert len(neural) == 3
    assert key() not in neural


def test_the_key_of_direct_is_that_of_earlier_releases() -> None:
    from infra.ledger.commits import digest
    from tasks.execution import stage_versions

    settings = load_settings(None, (), {})
    known = digest(
        "atlases",
        stage_versions.VERSIONS["atlases"],
        "features",
        "synchronize",
        settings.atlases.resolution,
        settings.atlases.map_resolution,
        settings.previews.size,
        settings.previews.members,
        settings.catalog.max_pixels,
        settings.seed,
        length=16,
    )
    assert scope(settings, "features") == known


def test_a_training_that_diverges_twice_leaves_the_direct_maps_and_the_table_says_so(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = Schedule("fast", 2, 4e-3, 100, 0, 6, 1e9, 1e-3, mirrors=False)
    monkeypatch.setitem(SCHEDULES, "fast", wild)
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "out", tiny(weights, *NEURAL))
    ((marker, _),) = atlases(tmp_path / "out")
    assert len(marker.record["networks"]["faults"]) == 2
    opened = congeal.open(tmp_path / "out")
    assert opened.clusters["maps_from"].tolist() == ["direct-diverged"]
    assert opened.clusters["status"].tolist() == ["ok"]
    # The maps are those of a run that was not asked for networks, which says so, too.
    run(source, tmp_path / "direct", tiny(weights, LITTLE_IN_COMMON))
    direct = congeal.open(tmp_path / "direct")
    assert direct.clusters["maps_from"].tolist() == ["direct"]
    asked = ("a/0.png", [[32.0, 24.0]], "a/1.png")
    assert opened.transfer(*asked).equals(direct.transfer(*asked))


def test_what_had_nothing_to_train_on_says_so() -> None:
    assert (
        network_training.maps_from({"kept": "direct", "why": "2 images fit together"}) == "direct-untrained"
    )


@pytest.mark.parametrize("networks", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_networks_lie_beside_their_atlas_and_the_record_says_what_is_kept(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, networks: bool
) -> None:
    bears_out(monkeypatch, networks)
    source = folder(tmp_path / "source", few(8))
    run(source, tmp_path / "out", tiny(weights, *NEURAL))
    ((marker, outputs),) = atlases(tmp_path / "out")
    told = marker.record["networks"]
    assert told["kept"] == ("refined" if networks else "direct")
    assert (told["schedule"], told["network"]) == ("fast", "small")
    trained = decode_networks((outputs / "networks.safetensors").read_bytes())
    assert trained.card["images"] in {5, 6}
    opened = congeal.open(tmp_path / "out")
    assert opened.transfer("a/0.png", [[32.0, 24.0]], "a/1.png").notna().all(axis=None)
    assert opened.clusters["maps_from"].tolist() == ["networks" if networks else "direct-better"]
    assert not list((tmp_path / "out").rglob("training.safetensors"))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.zarr/**/*") if path.is_file()}
    run(source, tmp_path / "again", tiny(weights, *NEURAL))
    for path, data in before.items():
        assert (tmp_path / "again" / path.relative_to(tmp_path / "out")).read_bytes() == data, path


@pytest.mark.slow
def test_a_run_that_was_killed_while_training_goes_on_to_the_same_bytes(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement, "SAVE_EVERY", 0.0)
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "whole", tiny(weights, *NEURAL))
    begun: list[bytes] = []
    true: Any = refinement.encode_state

    def killed(*args: Any) -> bytes:
        begun.append(true(*args))
        if len(begun) == 5:
            raise KeyboardInterrupt
        return begun[-1]

    monkeypatch.setattr(refinement, "encode_state", killed)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", tiny(weights, *NEURAL))
    (kept,) = (tmp_path / "out").rglob("training.safetensors")
    assert kept.read_bytes() == begun[3]
    monkeypatch.setattr(refinement, "encode_state", true)
    run(source, tmp_path / "out", tiny(weights, *NEURAL))
    ((one, _),), ((two, _),) = atlases(tmp_path / "whole"), atlases(tmp_path / "out")
    assert one.outputs == two.outputs
    assert one.record == two.record
    assert not kept.exists()


@pytest.mark.slow
def test_networks_go_with_an_atlas_that_grows(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bears_out(monkeypatch, True)
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "out", tiny(weights, *NEURAL))
    ((_, first),) = atlases(tmp_path / "out")
    data = (first / "networks.safetensors").read_bytes()
    folder(source, {"a/new.png": picture(0, 77)})
    monkeypatch.setattr(network_training.Networks, "train", None)  # nothing is trained anew
    run(source, tmp_path / "out", tiny(weights, *NEURAL))
    found = atlases(tmp_path / "out")
    assert len(found) == 2
    assert all((place / "networks.safetensors").read_bytes() == data for _, place in found)


@pytest.mark.slow
def test_networks_that_see_images_read_them_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bears_out(monkeypatch, True)
    source = folder(tmp_path / "source", few(4))
    run(source, tmp_path / "out", tiny(weights, *NEURAL, "alignment.network=published"))
    ((_, outputs),) = atlases(tmp_path / "out")
    assert decode_networks((outputs / "networks.safetensors").read_bytes()).networks.inputs == 3


@pytest.mark.slow
def test_networks_are_trained_on_windows_where_these_are_kept(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bears_out(monkeypatch, True)
    monkeypatch.setattr("congeal.alignment.selection.second_look.better", lambda *_: True)
    always = ("atlases.solver.second_look.least_zoom=1", "atlases.solver.second_look.most_zoom=2")
    source = folder(tmp_path / "source", few(8))
    run(source, tmp_path / "out", tiny(weights, *NEURAL, *always))
    ((marker, outputs),) = atlases(tmp_path / "out")
    assert marker.record["second_look"]["kept"] is True
    assert marker.record["networks"]["kept"] == "refined"
    assert decode_networks((outputs / "networks.safetensors").read_bytes()).card["images"] in {5, 6}


def test_a_set_with_nothing_in_common_has_no_networks_and_says_why(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(1))
    run(source, tmp_path / "out", tiny(weights, *NEURAL))
    ((marker, _),) = atlases(tmp_path / "out")
    assert marker.record["networks"]["kept"] == "direct"
    assert marker.record["networks"]["why"]
    assert "networks.safetensors" not in marker.outputs


@pytest.mark.slow
@pytest.mark.parametrize("network", ["small", "published"])
def test_networks_are_trained_on_things_at_any_angle(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    bears_out(monkeypatch, True)
    any_angle = ("alignment.rotation=any", "alignment.second_look=off", f"alignment.network={network}")
    source = folder(tmp_path / "source", few(6))
    run(source, tmp_path / "out", tiny(weights, *NEURAL, *any_angle))
    ((marker, _),) = atlases(tmp_path / "out")
    assert marker.record["networks"]["kept"] == "refined"
    assert "networks.safetensors" in marker.outputs
    (cluster,) = congeal.open(tmp_path / "out").clusters["cluster_id"]
    new = congeal.open(tmp_path / "out").cluster(cluster).fit(picture(0, 30, (70, 80)), "network", force=True)
    assert np.isfinite(new.maps.forward).all()


@pytest.mark.parametrize("value", ["direct", "neural"])
def test_the_old_name_of_the_method_says_the_new_one(value: str) -> None:
    with pytest.raises(SettingsError, match=f"set alignment.method={value}"):
        load_settings(None, [f"atlases.solver={value}"], {})
