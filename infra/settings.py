"""Settings of the services of this floor, and how any settings are put together and refused.

Defaults, then a TOML or YAML file, then CONGEAL_… variables, then ``section.key=value``.
"""

from __future__ import annotations

import base64
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from congeal_floors.moved_modules import former_names
from infra.errors import SettingsError

PREFIX = "CONGEAL_"
# Of the section storage, what is no secret.
_SHOWN = ("endpoint_url", "region", "anonymous", "single_writer", "copies")
_SIZE = "it should be a number of bytes that is not negative, such as 500MB or 4GiB"
_BLANK = "it is blank; leave it out, or say what it is to be"
# Where things are on this machine; read by those who need them.
_NOT_SETTINGS = {"CONGEAL_SHARED", "CONGEAL_HOME", "CONGEAL_CACHE"}

# What Kubernetes sets in pods for a Service whose name begins with congeal: CONGEAL_REPORT_SERVICE_HOST.
_SERVICE_LINK = re.compile(
    r"CONGEAL(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)"
)

S = TypeVar("S", bound="ServiceSettings")


class Section(BaseModel):
    """Settings of one stage or service."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _says_something(cls, value: Any) -> Any:
        """No text may be blank: one that means nothing is absent, and would else be taken for a name."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and not text.strip():
            raise ValueError(_BLANK)
        return value

    @classmethod
    def inner_keys(cls) -> Mapping[str, Sequence[str]]:
        """The dotted keys within settings that are tables, by setting."""
        return {}


class EngineSettings(Section):
    """address: of an existing Dask scheduler. workers, threads None: from the machine.

    memory: limit of one worker, as Dask reads it ("auto", "4GiB"). gpu_slots: one unit a GPU at a time.
    retry_failed: work again on images and clusters that failed because they had killed their workers.
    """

    kind: Literal["auto", "dask", "loop"] = "auto"
    address: str | None = None
    workers: PositiveInt | None = None
    threads: PositiveInt | None = None
    memory: str = "auto"
    gpu_slots: bool = False
    retry_failed: bool = False


def _customer_key(value: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(value.get_secret_value(), validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("it should be 32 bytes in base64, such as `openssl rand -base64 32` makes")
    return value


CustomerKey = Annotated[SecretStr, AfterValidator(_customer_key)]


class StorageSettings(Section):
    """How to reach object stores; what is None comes from the usual AWS variables and files.

    single_writer: one run at a time writes to the destination, held by a lease; asked for where the store
    cannot write an object only if it is absent. requester_pays: who reads pays, as the bucket's owner wants
    it. encryption: by the store, of what is written. kms_key: its key's name. customer_key: 32 bytes in
    base64, with which all objects are encrypted, and read. copies: bytes on this machine's disk, for a run's
    copies of what it has read and written elsewhere.
    """

    endpoint_url: str | None = None
    key: SecretStr | None = None
    secret: SecretStr | None = None
    token: SecretStr | None = None
    region: str | None = None
    anonymous: bool = False
    single_writer: bool = False
    requester_pays: bool = False
    encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key: str | None = None
    customer_key: CustomerKey | None = None
    copies: Annotated[ByteSize, Field(ge=0)] = ByteSize(4 * 2**30)
    options: dict[str, Any] = Field(default_factory=dict, repr=False)


class ServiceSettings(BaseSettings):
    """Settings of every program on this floor. Made directly, it looks at nothing but its arguments."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="none",
    )

    engine: EngineSettings = EngineSettings()
    storage: StorageSettings = StorageSettings()

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

    def __init__(self, model: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self.variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(model)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        none = self.env_parse_none_str
        return {name: None if value.lower() == none else value for name, value in self.variables.items()}


def load(
    model: type[S],
    config: Path | str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    where: str = "--set",
) -> S:
    """``model`` from the defaults, ``config`` (.toml, .yaml, .yml), ``environ`` and ``overrides``.

    environ: variables such as CONGEAL_FEATURES__BACKBONE; None: the process's; one that is blank is not set.
    overrides: ``section.key=value``; a value is read as a variable's would be (JSON for lists and tables,
    ``none``). where: what a sentence about one of the overrides calls them.
    Raises ``SettingsError`` for a key that does not exist (with the nearest one) or a value not allowed.
    """
    values: dict[str, Any] = {}
    for layer in (
        _from_file(model, config),
        _from_environment(model, environ),
        _from_overrides(model, overrides, where),
    ):
        values = _merged(values, layer)
    try:
        return model(**values)
    except ValidationError as fault:
        raise SettingsError(_sentence(model, fault)) from None


def with_storage(settings: S, given: Mapping[str, Any]) -> S:
    """The same settings with some of the section ``storage`` replaced.

    Raises ``SettingsError`` as ``load`` does.
    """
    for name in given:
        if name not in StorageSettings.model_fields:
            near = difflib.get_close_matches(name, StorageSettings.model_fields, n=1, cutoff=0.6)
            known = ", ".join(StorageSettings.model_fields)
            hint = f"did you mean {near[0]}?" if near else f"there are {known}."
            raise SettingsError(f"{name} is no setting of the storage: {hint}")
    try:
        return type(settings)(**{**dict(settings), "storage": settings.storage.model_dump() | dict(given)})
    except ValidationError as fault:
        raise SettingsError(_sentence(type(settings), fault)) from None


def _from_file(model: type[BaseSettings], config: Path | str | None) -> dict[str, Any]:
    if config is None:
        return {}
    path = Path(config).expanduser()
    toml = path.suffix.lower() == ".toml"
    if not toml and path.suffix.lower() not in (".yaml", ".yml"):
        raise SettingsError(f"{path} is no settings file: its name must end in .toml, .yaml or .yml.")
    import yaml

    if not path.is_file():
        raise SettingsError(f"The settings file {path} does not exist: check the path.")
    try:
        source = (TomlConfigSettingsSource if toml else YamlConfigSettingsSource)(model, path)
    except (ValueError, TypeError, yaml.YAMLError) as fault:
        raise SettingsError(f"The settings file {path} cannot be read: {_one_line(fault)}.") from fault
    except PermissionError as fault:
        raise SettingsError(f"No permission to read the settings file {path}: grant it.") from fault
    values: dict[str, Any] = source()
    return values


def _from_environment(model: type[BaseSettings], environ: Mapping[str, str] | None) -> dict[str, Any]:
    environ = os.environ if environ is None else environ
    ours = {
        name: value
        for name, value in environ.items()
        if name.upper().startswith(PREFIX)
        and name.upper() not in _NOT_SETTINGS
        and not _SERVICE_LINK.fullmatch(name)
    }
    for name in ours:
        _check_key(model, name[len(PREFIX) :].lower().replace("__", "."), f"The variable {name}")
    # Compose files and manifests cannot leave a variable out, and pass on one that nobody has set as blank.
    ours = {name: value for name, value in ours.items() if value.strip()}
    return _read(model, ours, ours)


def _from_overrides(model: type[BaseSettings], overrides: Sequence[str], where: str) -> dict[str, Any]:
    variables: dict[str, str] = {}
    for text in overrides:
        key, mark, value = text.partition("=")
        key = key.strip()
        if not mark or not key:
            raise SettingsError(f"{where} {text} is no setting: write it as section.key=value.")
        _check_key(model, key.lower(), f"{where} {key}")
        variables[PREFIX + key.upper().replace(".", "__")] = value.strip()
    return _read(model, variables, [text.partition("=")[0] for text in overrides])


def _read(model: type[BaseSettings], variables: Mapping[str, str], shown: Iterable[str]) -> dict[str, Any]:
    try:
        values: dict[str, Any] = _Variables(model, variables)()
    except SourceError as fault:
        names = ", ".join(sorted(shown))
        raise SettingsError(
            f'A list or table among {names} cannot be read: write it as JSON, such as [".jpg", ".png"].'
        ) from fault
    return values


def _check_key(model: type[BaseSettings], key: str, where: str) -> None:
    known = dict(_keys(model))
    if key in known or key in model.model_fields or key.startswith("storage.options."):
        return
    raise SettingsError(f"{where} is no setting{_suggestion(model, key)}")


def _suggestion(model: type[BaseSettings], key: str) -> str:
    known = [name for name, _ in _keys(model)]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not near:
        # A key without its section, or with another's.
        last = {name.rsplit(".", 1)[-1]: name for name in known}
        found = difflib.get_close_matches(key.rsplit(".", 1)[-1], last, n=1, cutoff=0.8)
        near = [last[name] for name in found]
    if near:
        return f": did you mean {near[0]}?"
    section = key.partition(".")[0]
    inner = [name.partition(".")[2] for name in known if name.startswith(f"{section}.")]
    if inner:
        return f": the section {section} has {', '.join(name for name in inner if '.' not in name)}."
    return f": the sections are {', '.join(sorted(model.model_fields))}."


def _keys(model: type[BaseSettings]) -> Iterator[tuple[str, Any]]:
    """Every setting with its dotted name."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            further = kind.inner_keys()
            for key, inner in kind.model_fields.items():
                yield f"{name}.{key}", inner
                for deeper in further.get(key, ()):
                    yield f"{name}.{key}.{deeper}", inner
        else:
            yield name, field


def _sentence(model: type[BaseSettings], fault: ValidationError) -> str:
    first = fault.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part != "function-after")
    if first["type"] == "extra_forbidden":
        return f"{key} is no setting{_suggestion(model, key)}"
    section, _, name = key.partition(".")
    value = repr(first["input"]) if section != "storage" or name in _SHOWN else "the value given"
    message = (
        _SIZE
        if first["type"] in ("byte_size", "byte_size_unit")
        else first["msg"].removeprefix("Value error, ")
    )
    message = message[0].lower() + message[1:]
    end = "" if message.endswith("?") else "."
    return f"The setting {key} cannot be {value}: {message.replace('input ', 'it ')}{end}"


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _one_line(fault: BaseException) -> str:
    return " ".join(str(fault).split()).rstrip(".")


__getattr__ = former_names("infra.settings")
