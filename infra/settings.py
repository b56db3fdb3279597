"""The one settings model: defaults, then a TOML or YAML file, then CONGEAL_… variables, then --set."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from infra.errors import SettingsError
from infra.sections import (
    AlignmentSettings,
    AtlasesSettings,
    CatalogSettings,
    ClustersSettings,
    DistillSettings,
    EngineSettings,
    FeaturesSettings,
    IndexSettings,
    PreviewsSettings,
    Section,
    StorageSettings,
)

__all__ = [
    "AlignmentSettings",
    "AtlasesSettings",
    "CatalogSettings",
    "ClustersSettings",
    "DistillSettings",
    "EngineSettings",
    "FeaturesSettings",
    "IndexSettings",
    "PreviewsSettings",
    "Settings",
    "StorageSettings",
    "load_settings",
    "recorded",
]

PREFIX = "CONGEAL_"
# Where things are on this machine; read by those who need them.
_NOT_SETTINGS = {"CONGEAL_SHARED", "CONGEAL_HOME"}


class Settings(BaseSettings):
    """All settings. Made by ``load_settings``; made directly, it looks at nothing but its arguments."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="none",
    )

    catalog: CatalogSettings = CatalogSettings()
    features: FeaturesSettings = FeaturesSettings()
    clusters: ClustersSettings = ClustersSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    atlases: AtlasesSettings = AtlasesSettings()
    previews: PreviewsSettings = PreviewsSettings()
    index: IndexSettings = IndexSettings()
    distill: DistillSettings = DistillSettings()
    engine: EngineSettings = EngineSettings()
    storage: StorageSettings = StorageSettings()
    seed: int = 0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: a worker must not mix its own environment in."""
        return (init_settings,)


class _Variables(EnvSettingsSource):
    """pydantic-settings' reading of variables, from a given mapping."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        none = self.env_parse_none_str
        return {name: None if value.lower() == none else value for name, value in self.variables.items()}


def load_settings(
    config: Path | str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from the defaults, ``config`` (.toml, .yaml, .yml), ``environ`` and ``overrides``.

    environ: variables such as CONGEAL_FEATURES__BACKBONE; None: the process's. overrides:
    ``section.key=value``; a value is read as a variable's would be (JSON for lists and tables, ``none``).
    Raises ``SettingsError`` for a key that does not exist (with the nearest one) or a value not allowed.
    """
    values: dict[str, Any] = {}
    for layer in (_from_file(config), _from_environment(environ), _from_overrides(overrides)):
        values = _merged(values, layer)
    try:
        return Settings(**values)
    except ValidationError as fault:
        raise SettingsError(_sentence(fault)) from None


def recorded(settings: Settings) -> dict[str, Any]:
    """What a publication says about its settings: JSON-able, without the engine and without secrets."""
    values = settings.model_dump(mode="json", exclude={"engine", "storage", "distill"})
    storage = settings.storage
    # An endpoint may carry a user and a password before its host.
    endpoint = storage.endpoint_url and storage.endpoint_url.rpartition("@")[2]
    values["storage"] = {"endpoint_url": endpoint, "region": storage.region, "anonymous": storage.anonymous}
    return values


def _from_file(config: Path | str | None) -> dict[str, Any]:
    if config is None:
        return {}
    path = Path(config).expanduser()
    toml = path.suffix.lower() == ".toml"
    if not toml and path.suffix.lower() not in (".yaml", ".yml"):
        raise SettingsError(f"{path} is no settings file: its name must end in .toml, .yaml or .yml.")
    if not path.is_file():
        raise SettingsError(f"The settings file {path} does not exist: check the path.")
    try:
        source = (TomlConfigSettingsSource if toml else YamlConfigSettingsSource)(Settings, path)
    except (ValueError, TypeError, yaml.YAMLError) as fault:
        raise SettingsError(f"The settings file {path} cannot be read: {_one_line(fault)}.") from fault
    except PermissionError as fault:
        raise SettingsError(f"No permission to read the settings file {path}: grant it.") from fault
    values: dict[str, Any] = source()
    return values


def _from_environment(environ: Mapping[str, str] | None) -> dict[str, Any]:
    environ = os.environ if environ is None else environ
    ours = {
        name: value
        for name, value in environ.items()
        if name.upper().startswith(PREFIX) and name.upper() not in _NOT_SETTINGS
    }
    for name in ours:
        _check_key(name[len(PREFIX) :].lower().replace("__", "."), f"The variable {name}")
    return _read(ours, ours)


def _from_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    variables: dict[str, str] = {}
    for text in overrides:
        key, mark, value = text.partition("=")
        key = key.strip()
        if not mark or not key:
            raise SettingsError(f"--set {text} is no setting: write it as section.key=value.")
        _check_key(key.lower(), f"--set {key}")
        variables[PREFIX + key.upper().replace(".", "__")] = value.strip()
    return _read(variables, [text.partition("=")[0] for text in overrides])


def _read(variables: Mapping[str, str], shown: Iterable[str]) -> dict[str, Any]:
    try:
        values: dict[str, Any] = _Variables(variables)()
    except SourceError as fault:
        names = ", ".join(sorted(shown))
        raise SettingsError(
            f'A list or table among {names} cannot be read: write it as JSON, such as [".jpg", ".png"].'
        ) from fault
    return values


def _check_key(key: str, where: str) -> None:
    known = dict(_keys())
    if key in known or key in Settings.model_fields or key.startswith("storage.options."):
        return
    raise SettingsError(f"{where} is no setting{_suggestion(key)}")


def _suggestion(key: str) -> str:
    known = [name for name, _ in _keys()]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not near:
        # A key without its section, or with another's.
        last = {name.rsplit(".", 1)[-1]: name for name in known}
        found = difflib.get_close_matches(key.rsplit(".", 1)[-1], last, n=1, cutoff=0.8)
        near = [last[name] for name in found]
    if near:
        return f": did you mean {near[0]}?"
    return f": the sections are {', '.join(sorted(Settings.model_fields))}."


def _keys() -> Iterator[tuple[str, Any]]:
    """Every setting with its dotted name."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            for key, inner in kind.model_fields.items():
                yield f"{name}.{key}", inner
        else:
            yield name, field


def _sentence(fault: ValidationError) -> str:
    first = fault.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part != "function-after")
    if first["type"] == "extra_forbidden":
        return f"{key} is no setting{_suggestion(key)}"
    section, _, name = key.partition(".")
    secret = section == "storage" and name not in ("endpoint_url", "region", "anonymous", "single_writer")
    value = "the value given" if secret else repr(first["input"])
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"The setting {key} cannot be {value}: {message.replace('input ', 'it ')}."


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _one_line(fault: BaseException) -> str:
    return " ".join(str(fault).split()).rstrip(".")
