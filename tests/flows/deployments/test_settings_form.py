"""The forms of the deployments, judged by Prefect's own validator, which its server calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import is_valid, is_valid_schema
from pydantic import SecretStr

from congeal.settings import Settings
from congeal_floors import deployment
from flows.deployments.settings_form import SettingsForm, setting_texts
from flows.runs.parameters import checked
from infra.settings import Section

SECTIONS: dict[str, Any] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type)
    and issubclass(field.annotation, Section)
    and name not in ("distill", "plan")
}
PLACES = {"source": "s3://bucket/photographs", "destination": "s3://bucket/atlases"}
FLOWS = ["collection", "new_images", "resolve", "verification", "report"]


def schema(flow: str = "collection") -> dict[str, Any]:
    return parameter_schema(getattr(deployment, flow)).model_dump_for_openapi()


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return schema()


def test_every_setting_has_a_title_and_a_description_that_tells_the_default(whole: dict[str, Any]) -> None:
    for section, kind in SECTIONS.items():
        form = whole["definitions"][f"{section.capitalize()}Form"]
        for name, field in kind.model_fields.items():
            shown = form["properties"].get(name)
            if shown is None:
                assert "SecretStr" in repr(field.annotation), f"{section}.{name}"
                continue
            assert f"{section}.{name}" in setting_texts()
            assert shown["title"][0].isupper()
            assert shown["description"][0].isupper()
            if not field.default_factory and field.default not in (None, [], {}, ()):
                assert " If left out: " in shown["description"]
    examples = [one for form in whole["definitions"].values() for one in form["properties"].values()]
    assert sum("examples" in one for one in examples) >= 15


def test_what_nobody_fills_in_is_not_sent(whole: dict[str, Any]) -> None:
    """Prefect's pages send each default that they are shown, and false for a switch that nobody touched."""
    fields = [one for form in whole["definitions"].values() for one in form["properties"].values()]
    fields.append(whole["properties"]["settings"])
    assert not [one for one in fields if one.get("type") == "boolean"]
    assert not [one for one in fields if one.get("default")]
    mirror = whole["definitions"]["FeaturesForm"]["properties"]["mirror"]
    assert (mirror["enum"], mirror["description"][-19:]) == ([True, False], " If left out: true.")


def test_secrets_have_no_place_in_a_form() -> None:
    assert "password" not in SettingsForm.model_json_schema()
    secret = {
        f"{section}.{name}"
        for section, kind in SECTIONS.items()
        for name, field in kind.model_fields.items()
        if field.annotation is SecretStr or "SecretStr" in repr(field.annotation)
    }
    assert {"storage.key", "storage.secret", "storage.token", "notify.url"} <= secret
    for name in secret:
        section, _, key = name.partition(".")
        for given_ in ({section: {key: "x"}}, {name: "x"}):
            assert not is_valid(PLACES | {"settings": given_}, schema())


@pytest.mark.parametrize("flow", FLOWS)
def test_the_forms_are_sound(flow: str) -> None:
    shape = schema(flow)
    is_valid_schema(shape)
    assert "destination" in shape["required"]
    assert all(one.get("description") for one in shape["properties"].values())


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"features": {"image_size": 448, "beside": ["9.key"]}, "seed": 3},
        {"features.image_size": "448", "atlases.solver.flow.finest_cells": "32"},
        {"atlases": {"solver": {"preset": "rigid"}}, "catalog": {"range": [0, 4095]}},
        {"storage": {"options": {"anon": True}}, "log": {"format": "json"}},
    ],
)
def test_what_a_run_takes_is_let_through(whole: dict[str, Any], asked: dict[str, Any]) -> None:
    assert is_valid(PLACES | {"settings": asked}, whole)
    assert checked(PLACES | {"settings": asked}).source


@pytest.mark.parametrize(
    "asked",
    [
        {"feature": {"image_size": 448}},
        {"features": {"image_sise": 448}},
        {"features": {"image_size": "big"}},
        {"features": {"image_size": -1}},
        {"features.image_sise": "448"},
        {"clusters": {"split": "sometimes"}},
        {"distill": {"views": 2}},
        {"xfeatures.image_size": 1},
        [1],
        None,
    ],
)
def test_wrong_keys_and_values_are_refused(whole: dict[str, Any], asked: Any) -> None:
    assert not is_valid(PLACES | {"settings": asked}, whole)


SHAPE = SettingsForm.model_json_schema()


@given(st.data())
def test_a_key_is_let_through_only_if_it_is_a_setting(data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(sorted(SECTIONS)))
    key = data.draw(st.text(max_size=12) | st.sampled_from(sorted(SECTIONS[section].model_fields)))
    form = SettingsForm.model_fields[section].annotation
    assert form is not None
    known = key in form.model_fields
    assert is_valid({section: {}}, SHAPE)
    if not known:
        assert not is_valid({section: {key: None}}, SHAPE)
