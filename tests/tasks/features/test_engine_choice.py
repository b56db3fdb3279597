"""Which engine computes a destination's features, and that it stays the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_runs import folder, photographs, run, tiny, units

from congeal.backbones import engine_agreement
from congeal.errors import BackboneError
from congeal.settings import Settings, load_settings
from flows.runs.prepare import prepare
from infra.errors import DamagedError, UserError
from infra.ledger.publications import published
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.features import engine_choice
from tasks.features.engine_choice import FEWEST, choose
from tasks.features.features_stage import as_begun, scope
from tasks.features.run_backbone import Shape, Weights, backbone_spec

AUTO = "features.engine=auto"

BEGUN = "engine.json"  # in a destination


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that gains, for however few images."""
    monkeypatch.setattr(engine_choice, "gains_by_openvino", lambda: True)
    monkeypatch.setattr(engine_choice, "FEWEST", 1)


def engine_of(destination: Path) -> str:
    current = published(Location.parse(destination))
    assert current is not None
    return str(current.settings["features"]["engine"])


def scopes(destination: Path) -> set[str]:
    return {unit.parent.name for unit in units(destination, ["features"])}


def test_it_is_chosen_once_and_kept(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "out", tiny(weights, AUTO))
    assert engine_of(tmp_path / "out") == "openvino"
    assert json.loads((tmp_path / "out" / BEGUN).read_bytes()) == {"engine": "openvino"}
    before = scopes(tmp_path / "out")
    group = next((tmp_path / "out" / "stages" / "features").glob("*/*/*/features.zarr"))
    attributes = open_group(Location.parse(group)).attrs
    assert (attributes["engine"], attributes["precision"]) == ("openvino", "float32")
    # Grown on a machine where nobody would choose it now.
    monkeypatch.setattr(engine_choice, "gains_by_openvino", lambda: False)
    folder(source, photographs(3))
    run(source, tmp_path / "out", tiny(weights))
    assert engine_of(tmp_path / "out") == "openvino"
    assert scopes(tmp_path / "out") == before


def test_what_pytorch_has_made_stays_its_own(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source", photographs(2))
    monkeypatch.setattr(engine_choice, "openvino_fault", lambda: "OpenVINO is not installed")
    run(source, tmp_path / "out", tiny(weights, AUTO))
    before = scopes(tmp_path / "out")
    monkeypatch.setattr(engine_choice, "openvino_fault", lambda: None)
    folder(source, photographs(3))
    run(source, tmp_path / "out", tiny(weights, AUTO))
    assert engine_of(tmp_path / "out") == "torch"
    assert scopes(tmp_path / "out") == before


SMALL = "vit_small_patch14_dinov2"


@pytest.mark.parametrize(
    ("backbone", "engine", "former", "same"),
    [
        ("embedded", "torch", "420e553c53f66738", True),
        (f"{SMALL}.lvd142m", "torch", "ae5f2c70239bb21b", True),
        (f"{SMALL}.lvd142m", "openvino", "0da6f7496c0b2e82", True),
        ("embedded", "openvino", "12824ce645c32848", False),  # images were made smaller in another way
        (f"{SMALL}:8@20", "openvino", "d6ef89c0534688cf", False),
    ],
)
def test_features_that_would_be_others_today_have_another_identity(
    backbone: str, engine: str, former: str, same: bool
) -> None:
    settings = load_settings(None, [f"features.engine={engine}"], environ={})
    found = scope(settings, Weights(backbone, None, "f", Shape(448, 32, 384)))
    assert (found == former) == same


def test_features_that_openvino_has_made_smaller_itself_go_on_so(tmp_path: Path) -> None:
    settings = load_settings(None, ["features.engine=openvino"], environ={})
    now, place = Weights("embedded", None, "f", Shape(448, 32, 384)), Location.parse(tmp_path)
    assert as_begun(settings, now, place) == now
    former = "12824ce645c32848"
    (tmp_path / "stages" / "features" / former / "a-unit").mkdir(parents=True)
    begun = as_begun(settings, now, place)
    assert scope(settings, begun) == former
    assert backbone_spec(begun, settings.features).engine_shrinks
    assert as_begun(load_settings(None, [], environ={}), now, place) == now
    # What has been made anew meanwhile stays what it is.
    (tmp_path / "stages" / "features" / scope(settings, now) / "a-unit").mkdir(parents=True)
    assert as_begun(settings, now, place) == now


def test_features_from_before_there_was_a_choice_are_pytorchs(
    tmp_path: Path, finished: Path, weights: Path
) -> None:
    assert choose(Settings(), Location.parse(finished / "destination"), 1000).engine == "torch"
    begun = folder(tmp_path / "begun", {"stages/features/scope/unit/marker.json": b"{}"})
    assert choose(Settings(), Location.parse(begun), 1000).engine == "torch"


def test_a_run_that_was_killed_before_it_published_has_chosen(tmp_path: Path) -> None:
    place = Location.parse(folder(tmp_path, {BEGUN: b'{"engine": "openvino"}\n'}))
    found = choose(Settings(), place, 1)
    assert (found.engine, found.free) == ("openvino", False)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"engine\.json is damaged: delete it and set features\.engine"):
        choose(Settings(), Location.parse(folder(tmp_path, {BEGUN: b"[]"})), 1)


def test_few_images_and_slow_processors_are_pytorchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "FEWEST", FEWEST)
    place = Location.parse(tmp_path)
    assert choose(Settings(), place, FEWEST - 1).engine == "torch"
    assert choose(Settings(), place, FEWEST).engine == "openvino"
    monkeypatch.setattr(engine_choice, "gains_by_openvino", lambda: False)
    found = choose(Settings(), place, FEWEST)
    assert (found.engine, found.line) == ("torch", None)


def test_a_missing_openvino_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "openvino_fault", lambda: "OpenVINO is not installed (here)")
    found = choose(Settings(), Location.parse(tmp_path), 1)
    assert (found.engine, found.line) == ("torch", "engine: torch, as OpenVINO is not installed (here)")


def disagreeing(*_: object) -> float:
    raise BackboneError("openvino gives other features than PyTorch (cosine 0.5000, 0.999 is the least)")


def test_an_engine_that_finds_something_else_is_not_used(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_agreement, "check_agreement", disagreeing)
    source = folder(tmp_path / "source", photographs(2))
    job = prepare(str(source), str(tmp_path / "other"), tiny(weights, AUTO))
    job.survey.close()
    assert job.settings.features.engine == "torch"
    assert job.line is not None
    assert "engine: torch, as openvino gives other features than PyTorch" in job.line
    assert json.loads((tmp_path / "other" / BEGUN).read_bytes()) == {"engine": "torch"}
    run(source, tmp_path / "other", tiny(weights, AUTO))
    assert engine_of(tmp_path / "other") == "torch"
    again = prepare(str(source), str(tmp_path / "other"), tiny(weights, AUTO))
    again.survey.close()
    assert again.current is not None


def test_it_does_not_give_way_where_it_was_asked_for(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_agreement, "check_agreement", disagreeing)
    source = folder(tmp_path / "source", photographs(2))
    sentence = r"computed by the engine openvino, but openvino gives other .*set features\.engine=torch"
    with pytest.raises(UserError, match=sentence):
        prepare(str(source), str(tmp_path / "out"), tiny(weights, "features.engine=openvino"))
    begun = folder(tmp_path / "begun", {BEGUN: b'{"engine": "openvino"}\n'})
    with pytest.raises(UserError, match=sentence):
        prepare(str(source), str(begun), tiny(weights, AUTO))


@pytest.mark.slow
def test_the_same_bytes_whatever_the_batch(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(3))
    found = []
    for size in (1, 4):
        out = tmp_path / str(size)
        run(source, out, tiny(weights, "features.engine=openvino", f"features.batch_size={size}"))
        arrays = (out / "stages" / "features").glob("*/*/*/features.zarr/**/c/**/*")
        found.append({path.relative_to(out): path.read_bytes() for path in arrays if path.is_file()})
    assert found[0] == found[1] != {}
