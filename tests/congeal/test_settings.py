from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import SecretStr, ValidationError

from congeal.settings import Settings, load_settings, recorded
from infra.errors import SettingsError
from infra.settings import Section, StorageSettings


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_defaults() -> None:
    settings = load_settings(None, (), {})
    assert settings == Settings()
    assert settings.features.backbone is None  # chosen by what can be had
    assert ".jpeg" in settings.catalog.extensions


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", "seed = 5\n[features]\nlayer = 9\nbatch_size = 2\n[catalog]\nextensions = ['.png']\n"),
        ("c.yaml", "seed: 5\nfeatures: {layer: 9, batch_size: 2}\ncatalog: {extensions: [.png]}\n"),
        ("c.yml", "seed: 5\nfeatures: {layer: 9, batch_size: 2}\ncatalog: {extensions: [.png]}\n"),
    ],
)
def test_each_source_overrides_the_one_before(tmp_path: Path, name: str, text: str) -> None:
    config = write(tmp_path, name, text)
    settings = load_settings(config, (), {})
    assert (settings.seed, settings.features.layer, settings.catalog.extensions) == (5, 9, (".png",))
    variables = {"CONGEAL_FEATURES__LAYER": "7", "CONGEAL_SEED": "6"}
    settings = load_settings(config, (), variables)
    assert (settings.seed, settings.features.layer, settings.features.batch_size) == (6, 7, 2)
    settings = load_settings(str(config), ["features.layer=3"], variables)
    assert (settings.seed, settings.features.layer, settings.features.batch_size) == (6, 3, 2)


def test_the_last_override_counts() -> None:
    assert load_settings(None, ["seed=1", "seed=2"], {}).seed == 2


def test_values_of_every_kind() -> None:
    settings = load_settings(
        None,
        [
            "features.weights=/a=b.safetensors",
            "features.mirror=false",
            "features.stride=none",
            'catalog.extensions=[".jpg", ".png"]',
            "storage.options.max_concurrency=4",
        ],
        {"CONGEAL_FEATURES__STRIDE": "4", "CONGEAL_ENGINE__ADDRESS": "tcp://host:8786"},
    )
    assert settings.features.weights == "/a=b.safetensors"
    assert settings.features.mirror is False
    assert settings.features.stride is None
    assert settings.catalog.extensions == (".jpg", ".png")
    assert settings.storage.options == {"max_concurrency": "4"}
    assert settings.engine.address == "tcp://host:8786"


def test_places_of_the_machine_are_no_settings() -> None:
    assert load_settings(None, (), {"CONGEAL_SHARED": "/x", "CONGEAL_HOME": "/y", "OTHER": "z"}) == Settings()


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONGEAL_SEED", "11")
    assert load_settings().seed == 11
    assert Settings().seed == 0


@pytest.mark.parametrize(
    ("overrides", "variables", "sentence"),
    [
        (["features.backbon=x"], {}, "--set features.backbon is no setting: did you mean features.backbone?"),
        (["backbone=x"], {}, "--set backbone is no setting: did you mean features.backbone?"),
        (["feature.layer=1"], {}, "did you mean features.layer?"),
        (["wholly.other=1"], {}, "is no setting: the sections are alignment, atlases"),
        (["notify.command=x"], {}, "is no setting: the section notify has url, prefect_event, timeout."),
        (["features.weights.deep=1"], {}, "did you mean features.weights?"),
        (["seed"], {}, "--set seed is no setting: write it as section.key=value."),
        (
            [],
            {"CONGEAL_FEATURES__LAYR": "1"},
            "The variable CONGEAL_FEATURES__LAYR is no setting: did you mean",
        ),
        ([], {"CONGEAL_FEATURES__LAYR": "1"}, "features.layer?"),
        ([], {"CONGEAL_SHARD": "1"}, "The variable CONGEAL_SHARD is no setting"),
        (['features={"lyer": 2}'], {}, "features.lyer is no setting: did you mean features.layer?"),
        (["features.batch_size=zero"], {}, "The setting features.batch_size cannot be 'zero': "),
        (
            ["features.batch_size=0"],
            {},
            "The setting features.batch_size cannot be '0': it should be greater",
        ),
        (
            ["storage.copies=-5"],
            {},
            "The setting storage.copies cannot be '-5': it should be a number of bytes that is not negative, "
            "such as 500MB or 4GiB.",
        ),
        (["features.facet=keys"], {}, "it should be 'token', 'key', 'query' or 'value'."),
        (["catalog.extensions=.jpg"], {}, "catalog.extensions cannot be read: write it as JSON"),
    ],
)
def test_mistakes_get_one_sentence(overrides: list[str], variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, overrides, variables)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("blank", ["", " ", "\t\u00a0"])
def test_no_text_may_be_blank(tmp_path: Path, blank: str) -> None:
    texts = [
        f"{section}.{name}"
        for section, part in Settings()
        if isinstance(part, Section)
        for name, field in type(part).model_fields.items()
        if get_origin(field.annotation) is not tuple
        and {str, SecretStr} & {field.annotation, *get_args(field.annotation)}
    ]
    assert {"engine.address", "engine.memory", "features.weights", "storage.key", "notify.url"} <= {*texts}
    config = tmp_path / "settings.toml"
    for key in texts:
        section, _, name = key.partition(".")
        config.write_text(f"[{section}]\n{name} = {json.dumps(blank)}\n")
        with pytest.raises(SettingsError, match=rf"^The setting {re.escape(key)} cannot be .*: .*\.$"):
            load_settings(config, (), {})
    with pytest.raises(SettingsError, match=r"^The setting engine\.address cannot be '': it is blank; leave"):
        load_settings(None, [f"engine.address={blank}"], {})
    assert load_settings(None, [f"source.include={blank}"], {}).source.include == ()  # a list may be empty


def test_what_kubernetes_sets_for_a_service_is_no_setting() -> None:
    links = {
        "CONGEAL_PORT": "tcp://10.0.0.7:80",
        "CONGEAL_SERVICE_HOST": "10.0.0.7",
        "CONGEAL_REPORT_SERVICE_PORT": "80",
        "CONGEAL_REPORT_SERVICE_PORT_HTTP": "80",
        "CONGEAL_REPORT_PORT_80_TCP": "tcp://10.0.0.7:80",
        "CONGEAL_REPORT_PORT_80_TCP_ADDR": "10.0.0.7",
    }
    assert load_settings(None, (), links) == load_settings(None, (), {})
    with pytest.raises(SettingsError, match="CONGEAL_REPORT__SERVICE_HOST is no setting"):
        load_settings(None, (), {"CONGEAL_REPORT__SERVICE_HOST": "10.0.0.7"})


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_variable_that_is_blank_is_not_set(tmp_path: Path, blank: str) -> None:
    names = [
        f"CONGEAL_{section}__{name}".upper()
        for section, part in Settings()
        if isinstance(part, Section)
        for name in type(part).model_fields
    ]
    config = write(tmp_path, "c.toml", "[source]\ninclude = ['birds/**']\n[engine]\naddress = 'tcp://a:1'\n")
    left = load_settings(config, (), dict.fromkeys([*names, "CONGEAL_SEED", "CONGEAL_HOME"], blank))
    assert left == load_settings(config, (), {})
    with pytest.raises(
        SettingsError, match=r"CONGEAL_ENGINE__ADRESS is no setting: did you mean engine\.address"
    ):
        load_settings(None, (), {"CONGEAL_ENGINE__ADRESS": blank})


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "c.toml",
            "[features]\nbackbon = 'x'\n",
            "features.backbon is no setting: did you mean features.backbone?",
        ),
        ("c.yaml", "featurs: {}\n", "featurs is no setting"),
        ("c.toml", "[features\n", "c.toml cannot be read: "),
        ("c.yaml", "a: [\n", "c.yaml cannot be read: "),
        ("c.yaml", "just words\n", "c.yaml cannot be read: "),
        ("c.json", "{}", "c.json is no settings file: its name must end in .toml, .yaml or .yml."),
        ("c.toml", "[features]\nlayer = 'deep'\n", "The setting features.layer cannot be 'deep'"),
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, name, text), (), {})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml does not exist: check the path"):
        load_settings(tmp_path / "none.toml", (), {})


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "c.yaml", ""), (), {}) == Settings()
    assert load_settings(write(tmp_path, "c.toml", ""), (), {}) == Settings()


def test_secrets_are_neither_shown_nor_recorded() -> None:
    variables = {
        "CONGEAL_STORAGE__KEY": "KEYKEY",
        "CONGEAL_STORAGE__SECRET": "SECRET1",
        "CONGEAL_STORAGE__TOKEN": "SECRET2",
        "CONGEAL_STORAGE__OPTIONS": '{"password": "SECRET3"}',
        "CONGEAL_STORAGE__ENDPOINT_URL": "http://me:SECRET4@host:1",
    }
    settings = load_settings(None, (), variables)
    text = str(recorded(settings))
    assert "SECRET" not in text
    assert "KEYKEY" not in text
    assert "host:1" in text
    assert "KEYKEY" not in repr(settings)
    assert "SECRET3" not in repr(settings)
    with pytest.raises(
        SettingsError, match=r"The setting storage\.secret cannot be the value given"
    ) as caught:
        load_settings(None, ['storage={"secret": ["SECRET6"]}'], {})
    assert "SECRET6" not in str(caught.value)


def test_what_is_recorded() -> None:
    first = recorded(load_settings(None, ["engine.workers=3", "seed=4"], {}))
    assert first == recorded(load_settings(None, ["engine.workers=8", "seed=4"], {}))
    assert "engine" not in first
    assert first["seed"] == 4
    assert first["catalog"]["extensions"][0] == ".jpg"


def test_settings_are_frozen_and_cross_processes() -> None:
    settings = Settings(storage=StorageSettings.model_validate({"secret": "s"}))
    with pytest.raises(ValidationError):
        settings.seed = 3
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("drifted", ("drifted",)),
        ("c1, c2,", ("c1", "c2")),
        ('["c1", "c2"]', ("c1", "c2")),
        ("", ()),
    ],
)
def test_names_may_stand_with_commas_between_them(text: str, names: tuple[str, ...]) -> None:
    assert load_settings(None, [f"atlases.resolve={text}"], environ={}).atlases.resolve == names
    there = load_settings(None, [], environ={"CONGEAL_ATLASES__RESOLVE": text})
    assert recorded(there)["atlases"]["resolve"] == list(names)


def test_names_that_are_no_list_are_one_sentence() -> None:
    with pytest.raises(SettingsError, match=r"The setting atlases\.resolve cannot be"):
        load_settings(None, ["atlases.resolve=[c1"], environ={})


@pytest.mark.parametrize(
    ("overrides", "solver"),
    [
        ([], "synchronize"),
        (["atlases.solver=synchronize"], "synchronize"),
        (["atlases.solver=default"], "synchronize"),
        (["atlases.solver.flow.finest_cells=48"], "synchronize"),
        (["atlases.solver=guided"], {"deformation.least": "guided"}),
        (["atlases.solver.flow.finest_cells=32"], {"flow.finest_cells": 32}),
        (['atlases.solver={"flow.finest_cells": 32}'], {"flow.finest_cells": 32}),
        (
            ["atlases.solver.preset=rigid", "atlases.solver.cosaliency.learned=false"],
            {"cosaliency.learned": False, "deformation.most": "rigid"},
        ),
    ],
)
def test_the_solver_is_a_preset_or_a_table_of_fields(overrides: list[str], solver: object) -> None:
    settings = load_settings(None, overrides, {})
    assert settings.atlases.solver == solver
    assert recorded(settings)["atlases"]["solver"] == solver
    assert Settings(**settings.model_dump()) == settings
    assert settings.atlases.solver_config.differences() == ({} if solver == "synchronize" else solver)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", "[atlases.solver]\npreset = 'guided'\n[atlases.solver.flow]\nfinest_cells = 30\n"),
        ("c.yaml", "atlases: {solver: {preset: guided, flow.finest_cells: 30}}\n"),
    ],
)
def test_fields_of_the_solver_from_a_file_a_variable_and_the_command_line(
    tmp_path: Path, name: str, text: str
) -> None:
    config = write(tmp_path, name, text)
    assert load_settings(config, (), {}).atlases.solver == {
        "deformation.least": "guided",
        "flow.finest_cells": 30,
    }
    variables = {"CONGEAL_ATLASES__SOLVER__FLOW__REST_WEIGHT": "0.01"}
    found = load_settings(config, ["atlases.solver.collapse.size_ratio=5"], variables).atlases.solver
    assert found == {
        "deformation.least": "guided",
        "flow.finest_cells": 30,
        "flow.rest_weight": 0.01,
        "collapse.size_ratio": 5.0,
    }


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "atlases.solver.flow.finest_cels=3",
            "atlases.solver.flow.finest_cels is no setting: did you mean atlases.solver.flow.finest_cells?",
        ),
        (
            'atlases.solver={"flow.finest_cels": 3}',
            "flow.finest_cels is no field of the solver's configuration: did you mean flow.finest_cells?",
        ),
        (
            "atlases.solver.flow.finest_cells=0",
            "flow.finest_cells is a whole number, at least 1, at most 1024, not 0.",
        ),
        (
            "atlases.solver=magic",
            "'magic' is no preset of the solver: there are default, rigid, flow, guided",
        ),
    ],
)
def test_a_field_of_the_solver_that_is_none_gets_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as told:
        load_settings(None, [override], {})
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
