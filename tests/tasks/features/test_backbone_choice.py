from __future__ import annotations

import json
import threading
from pathlib import Path

import huggingface_hub
import pytest
from sample_runs import chosen, folder, photographs, run

from congeal.backbones import embedded
from congeal.backbones.packed_checkpoint import pack
from congeal.distillation.student import Student
from congeal.settings import Settings, load_settings
from infra.errors import DamagedError, UserError
from infra.storage.location import Location
from tasks.features import backbone_choice
from tasks.features.backbone_choice import choose, hub_answers, remember
from tasks.features.run_backbone import HUB_BACKBONE, locate
from tasks.publication.publish import weights_key

BEGUN = "backbone.json"  # in a destination


def settings(*overrides: str) -> Settings:
    return load_settings(None, overrides, environ={})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The first entry says whether the hub answers; it may be asked once only."""
    answers = [True]

    def answer(_name: str) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(backbone_choice, "hub_answers", answer)
    return answers


def test_a_backbone_that_is_named_is_used_and_nobody_asked(tmp_path: Path, hub: list[bool]) -> None:
    hub.clear()
    found = choose(settings("features.backbone=dinov2_vitb14"), Location.parse(tmp_path))
    assert found.settings.features.backbone == "dinov2_vitb14"
    assert found.line is None


@pytest.mark.parametrize(("there", "name"), [(True, HUB_BACKBONE), (False, embedded.NAME)])
def test_the_hub_decides_where_nothing_is_said(
    tmp_path: Path, hub: list[bool], there: bool, name: str
) -> None:
    hub[0] = there
    found = choose(settings(), Location.parse(tmp_path))
    assert found.settings.features.backbone == name
    assert found.line is not None
    assert name in found.line
    assert "set" in found.line
    assert "\n" not in found.line


def test_a_destination_keeps_what_it_was_begun_with(tmp_path: Path, hub: list[bool]) -> None:
    place = Location.parse(tmp_path)
    hub[0] = False
    remember(choose(settings(), place), place)
    hub[:] = [True]
    found = choose(settings(), place)
    assert found.settings.features.backbone == embedded.NAME
    assert found.line is not None
    assert "begun with it" in found.line
    assert hub == [True]  # not even asked


def test_what_a_user_named_is_not_remembered(tmp_path: Path, hub: list[bool]) -> None:
    place = Location.parse(tmp_path)
    remember(choose(settings("features.backbone=embedded"), place), place)
    assert choose(settings(), place).settings.features.backbone == HUB_BACKBONE


def test_a_damaged_memory_is_named(tmp_path: Path, hub: list[bool]) -> None:
    folder(tmp_path, {BEGUN: b"{"})
    with pytest.raises(DamagedError, match=r"backbone\.json is damaged: delete it"):
        choose(settings(), Location.parse(tmp_path))


def test_a_name_in_the_memory_that_congeal_never_chose_counts_for_nothing(
    tmp_path: Path, hub: list[bool]
) -> None:
    folder(tmp_path, {BEGUN: json.dumps({"backbone": "../elsewhere"}).encode()})
    assert choose(settings(), Location.parse(tmp_path)).settings.features.backbone == HUB_BACKBONE


def test_weights_of_ones_own_are_not_exchanged_silently(finished: Path, hub: list[bool]) -> None:
    with pytest.raises(
        UserError, match=r"made with the backbone test_vit\.r160_in1k .* set features\.backbone"
    ):
        choose(settings(), Location.parse(finished / "destination"))


def test_weights_that_name_their_backbone_need_no_other_setting(
    tmp_path: Path, hub: list[bool], weights: Path
) -> None:
    hub.clear()
    student = tmp_path / "student.safetensors"
    student.write_bytes(pack(Student("test_vit:2").model.state_dict(), "test_vit:2", {}))
    source = folder(tmp_path / "source", photographs(2))
    asked = [text for text in chosen(student) if not text.startswith("features.backbone")]
    facts = run(source, tmp_path / "out", settings(*asked))
    assert facts["backbone"] == "test_vit:2"
    plain = choose(settings(f"features.weights={weights}"), Location.parse(tmp_path / "other"))
    assert plain.settings.features.backbone == HUB_BACKBONE


def test_damaged_weights_are_named_before_any_work(tmp_path: Path, hub: list[bool]) -> None:
    student = tmp_path / "student.safetensors"
    student.write_bytes(pack(Student("test_vit:2").model.state_dict(), "test_vit:2", {})[:-5])
    with pytest.raises(UserError, match="SHA-256 should be"):
        choose(settings(f"features.weights={student}"), Location.parse(tmp_path / "out"))


def test_the_embedded_backbone_is_known_by_its_file() -> None:
    asked = settings("features.backbone=embedded")
    found = locate(asked)
    assert (found.backbone, found.place) == (embedded.NAME, None)
    assert found.fingerprint.removeprefix("sha256:") == weights_key(asked)[:16]


def test_a_hub_that_never_answers_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: done.wait())
    assert not hub_answers(HUB_BACKBONE, seconds=0.01)
    done.set()


def test_a_hub_that_cannot_be_reached_and_one_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refused)
    assert not hub_answers(HUB_BACKBONE)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: "there")
    assert hub_answers(HUB_BACKBONE)


def test_what_was_fetched_before_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "/cache/model.safetensors")
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", None)
    assert hub_answers(HUB_BACKBONE)
