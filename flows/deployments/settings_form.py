"""The settings of a run as the form of a deployment: what Prefect's pages show, and its server checks.

The sections and their fields are those of `congeal.settings.Settings`, the texts those of docs/settings.md.
What a form holds is kept in Prefect's database, so secrets have no place in it.
"""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, create_model
from pydantic.fields import FieldInfo

import congeal_floors
from congeal.settings import Settings

# Of jobs that no deployment has.
_ELSEWHERE = {"distill", "plan"}
_SERVICES = ("engine", "storage", "notify", "log")
_SECTIONS = {
    "catalog": "Which files are images, and which of those are taken.",
    "features": "What the images are compared by: the backbone and how it looks at them.",
    "clusters": "How the images are sorted into sets that show one kind of thing each.",
    "alignment": "How sets are aligned.",
    "atlases": "What is made of every set, and which are solved anew.",
    "previews": "The pictures of every set.",
    "index": "The points that are laid over every atlas.",
    "publish": "What is published beside the tables.",
    "report": "The site with which a run ends.",
    "engine": "Where the work is done, and by how many processes. Changes no result.",
    "storage": "How object stores are reached. Credentials belong into the worker's environment.",
    "log": "How events are written.",
}
_SHOWN_AS = {"url": "URL", "gpu": "GPU", "gb": "GB", "kms": "KMS", "iceberg": "Iceberg"}
_EXAMPLES: dict[str, list[Any]] = {
    "seed": [0],
    "source.include": [["birds/**"]],
    "source.exclude": [["**/thumbnails/*"]],
    "source.also": [["s3://bucket/more-photographs"]],
    "source.columns": ["s3://bucket/photographs.csv"],
    "catalog.extensions": [[".jpg", ".png"]],
    "catalog.range": [[0, 4095]],
    "features.backbone": ["vit_base_patch14_dinov2.lvd142m", "embedded"],
    "features.weights": ["s3://bucket/weights/dinov2_vits14.safetensors"],
    "features.image_size": [448, 518],
    "features.beside": [["9.token", "9.key"]],
    "features.device": ["auto", "cuda", "cpu"],
    "clusters.method": ["auto", "single", "folder", "column:species"],
    "atlases.solver": ["synchronize", "rigid"],
    "atlases.resolve": [["drifted"], ["c1f0a2b3c4d5"]],
    "report.url": ["https://atlases.example.org"],
    "engine.address": ["tcp://scheduler:8786"],
    "engine.memory": ["auto", "4GiB"],
    "storage.endpoint_url": ["http://objects.example.org:9000"],
    "storage.region": ["eu-central-1"],
    "storage.kms_key": ["alias/atlases"],
}


def _form() -> Any:
    """The form: a model with a model a section, unknown keys refused; dotted names are taken beside them."""
    texts = setting_texts()
    dotted: list[str] = []
    sections: dict[str, Any] = {}
    # What is wanted most often first; how the work is done last.
    for name in sorted(Settings.model_fields, key=lambda name: name in _SERVICES):
        field = Settings.model_fields[name]
        kind = field.annotation
        if name in _ELSEWHERE:
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner = {key: one for key, one in kind.model_fields.items() if not _is_secret(one)}
            dotted += [re.escape(f"{name}.{key}") for key in inner]
            fields: dict[str, Any] = {
                key: (one.annotation, _described(one, f"{name}.{key}", texts)) for key, one in inner.items()
            }
            section: Any = create_model(
                f"{name.capitalize()}Form",
                __config__=ConfigDict(extra="forbid", title=name.capitalize()),
                __doc__=_about(name, texts),
                **fields,
            )
            # A factory shows no default: what is left out of a form stays out.
            whole = Field(default_factory=section, title=_title(name), description=_about(name, texts))
            sections[name] = (section, whole)
        else:
            sections[name] = (field.annotation, _described(field, name, texts))
    tables = "|".join(r"atlases\.solver\." if one == r"atlases\.solver" else f"{one}$" for one in dotted)
    return create_model(
        "SettingsForm",
        __config__=ConfigDict(
            extra="forbid",
            title="Settings",
            # Beside the sections: one setting by its dotted name, as on the command line.
            json_schema_extra={
                "examples": [{"features": {"image_size": 448}, "clusters": {"method": "folder"}}],
                # So the server's refusal names the key, and not all the patterns that it does not match.
                "additionalProperties": {"not": {"title": "the value of a name that is no setting"}},
                "patternProperties": {rf"^({tables}|atlases\.solver$|storage\.options\.)": {}},
            },
        ),
        __doc__="What is left out comes from the worker's CONGEAL_… variables, then from the defaults.",
        **sections,
    )


@cache
def setting_texts() -> dict[str, str]:
    """What docs/settings.md says of each setting, by its dotted name, and of each section; plain text."""
    here = Path(congeal_floors.__file__).parent
    places = [here / "settings.md", here.parent / "docs" / "settings.md"]
    page = next(place for place in places if place.is_file()).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) != 5:
            continue
        names, text = re.findall(r"`([\w.]+)`", cells[1]), _plain(cells[3])
        for name in names:
            section = names[0].partition(".")[0]
            found[section + name if name.startswith(".") else name] = text
        if section_name := re.fullmatch(r"\*\*(\w+)\*\*(?: \*)?", cells[1]):
            found[section_name[1]] = text
    return found


def _plain(text: str) -> str:
    """Markdown without links and marks, as a sentence."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "").strip()
    return text[:1].upper() + text[1:] + ("." if text and text[-1] not in ".)" else "")


def _described(field: FieldInfo, name: str, texts: dict[str, str]) -> FieldInfo:
    described = deepcopy(field)
    described.title = _title(name.rpartition(".")[2])
    described.description = texts.get(name) or f"The setting {name}."
    default = described.get_default(call_default_factory=True)
    if default not in (None, [], {}, ()):
        described.description = (
            f"{described.description.rstrip('.')}. If left out: {_default_shown(default)}."
        )
    described.examples = _EXAMPLES.get(name)
    described.json_schema_extra = _without_default
    return described


def _without_default(schema: dict[str, Any]) -> None:
    """Prefect's pages send every default that they are shown, and so win over the worker's variables.

    Of a switch they always send something; of a choice of true and false, nothing until one is chosen.
    """
    schema.pop("default", None)
    if schema.get("type") == "boolean":
        del schema["type"]
        schema["enum"] = [True, False]


def _default_shown(default: Any) -> str:
    if isinstance(default, ByteSize):
        return default.human_readable()
    if isinstance(default, bool):
        return str(default).lower()
    return ", ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _title(name: str) -> str:
    words = [_SHOWN_AS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _about(section: str, texts: dict[str, str]) -> str:
    return _SECTIONS.get(section) or texts.get(section) or f"Settings of {section}."


def _is_secret(field: FieldInfo) -> bool:
    """Whether a setting's value, or one of its alternatives, is kept out of sight."""
    return any(_is(kind, SecretStr) for kind in (field.annotation, *get_args(field.annotation)))


def _is(kind: Any, wanted: type) -> bool:
    inner = get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
    return isinstance(inner, type) and issubclass(inner, wanted)


if TYPE_CHECKING:

    class SettingsForm(BaseModel):
        """The form of all settings."""

else:
    SettingsForm = _form()
# What a form begins with, in the signature of a flow.
EMPTY: Any = {}
