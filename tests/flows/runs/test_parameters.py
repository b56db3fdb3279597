"""What a run is started with: whatever a program sends, a sentence says what is wrong with it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.deployment import require_variables
from flows.runs.parameters import checked, overrides
from infra.errors import UserError

GOOD = {"source": "photographs", "destination": "atlases"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"setings": {}}, "setings is no parameter of a run: did you mean settings?"),
    ({"soruce": "x"}, "soruce is no parameter of a run: did you mean source?"),
    ({"Destination": "x"}, "did you mean destination?"),
    ({"features": {"image_size": 448}}, "features is no parameter of a run: settings go into"),
    ({"features.image_size": 448}, "features.image_size is no parameter of a run: settings go into"),
    ({"verbose": True}, "a run takes source, destination and settings."),
    ({"source": None}, "The parameter source is missing"),
    ({"destination": "  "}, "The parameter destination is missing"),
    ({"source": 5}, "source cannot be 5: give a folder or an fsspec URL, as text."),
    ({"destination": ["a"]}, "destination cannot be ['a']"),
    ({"source": "{{ $NIGHTLY_SOURCE }}"}, "the variable NIGHTLY_SOURCE was not set when the deployment was"),
    ({"destination": "s3://{{ $BUCKET }}/a"}, "the variable BUCKET was not set"),
    ({"settings": {"storage": {"region": "{{ $REGION }}"}}}, "settings.storage.region holds {{ $REGION }}"),
    ({"settings": [1]}, "settings cannot be [1]: write a mapping"),
    ({"settings": '{"features": {}}'}, "write a mapping"),
    ({"settings": False}, "settings cannot be False"),
    ({"settings": {"feature": {"image_size": 448}}}, "did you mean features.image_size?"),
    ({"settings": {"clusters": {"image_size": 448}}}, "did you mean features.image_size?"),
    ({"settings": {"image_size": 448}}, "did you mean features.image_size?"),
    ({"settings": {"features": {"image_size": "big"}}}, "features.image_size cannot be 'big'"),
    ({"settings": {"features": 5}}, "The setting features cannot be 5"),
    ({"settings": {"seed": {"a": 1}}}, "seed.a is no setting: did you mean seed?"),
    ({"settings": {"nothing.of.that": 1}}, "the sections are alignment"),
]


@pytest.mark.parametrize(("given_", "sentence"), WRONG)
def test_what_is_wrong_is_named_in_one_sentence(given_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        checked(GOOD | given_)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "--set" not in str(caught.value)


def test_without_anything_the_source_is_missing() -> None:
    with pytest.raises(UserError, match="The parameter source is missing"):
        checked({})


def test_what_is_right_becomes_settings() -> None:
    parameters = checked(GOOD | {"settings": {"features": {"image_size": 448}, "clusters.method": "single"}})
    assert (parameters.source, parameters.destination) == ("photographs", "atlases")
    assert parameters.settings.features.image_size == 448
    assert parameters.settings.clusters.method == "single"
    assert checked(GOOD | {"settings": None}).settings == checked(GOOD).settings


def test_null_is_no_text() -> None:
    assert list(overrides({"features": {"weights": None}})) == ["features.weights=none"]
    assert checked(GOOD | {"settings": {"features": {"weights": None}}}).settings.features.weights is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def taken_or_refused(parameters: dict[str, Any]) -> str:
    """What `checked` says, or the source that it takes; any other error comes through."""
    try:
        return checked(parameters).source
    except UserError as error:
        return str(error)


@given(
    st.dictionaries(
        st.sampled_from(["source", "destination", "settings"]) | st.text(max_size=8), ANYTHING, max_size=4
    )
)
def test_whatever_is_sent_is_taken_or_refused_with_a_sentence(parameters: dict[str, Any]) -> None:
    assert taken_or_refused(parameters)


@given(st.dictionaries(st.sampled_from(["features", "seed", "storage", "engine", "catalog"]), ANYTHING))
def test_whatever_the_settings_are(settings: dict[str, Any]) -> None:
    assert taken_or_refused(GOOD | {"settings": settings})


@pytest.mark.parametrize("value", [None, "", " "])
def test_a_deploy_without_its_variables_ends_with_a_sentence(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTLY_SOURCE", "s3://bucket/photographs")
    require_variables(["NIGHTLY_SOURCE"])
    if value is None:
        monkeypatch.delenv("NIGHTLY_DESTINATION", raising=False)
    else:
        monkeypatch.setenv("NIGHTLY_DESTINATION", value)
    with pytest.raises(SystemExit) as caught:
        require_variables(["NIGHTLY_SOURCE", "NIGHTLY_DESTINATION"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "error: NIGHTLY_DESTINATION is not set: export NIGHTLY_DESTINATION and deploy again.\n"
    )


def test_forms_show_that_both_places_must_be_given() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.collection import collection

    schema = parameter_schema(collection)
    assert schema.required == ["source", "destination"]
    assert list(schema.properties) == ["source", "destination", "settings"]
    assert {schema.properties[name]["type"] for name in schema.required} == {"string"}
    assert list(inspect.signature(collection).parameters) == list(inspect.signature(collection.fn).parameters)
