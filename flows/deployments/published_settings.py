"""The settings of what is published, for jobs that add to it and must not make it anew by mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from congeal.settings import Settings, load_settings, recorded
from flows.runs.parameters import overrides
from flows.runs.recorded_settings import still_there
from infra.errors import SettingsError, UserError
from infra.ledger.publications import published
from infra.storage.location import Location
from tasks.publication.publish import WITHOUT_EFFECT

__all__ = ["settings_as_published"]

# What a run may be told beside what is published: which clusters are solved anew, and how new images come in.
_OURS = (("atlases", "resolve"), ("clusters", "growth"))


def settings_as_published(
    destination: str, given: Mapping[str, Any] | None, resolve: Sequence[str] = ()
) -> Settings:
    """The settings that the current version was made with, and of ``given`` what changes no result.

    resolve: clusters to be solved anew. New images join the clusters there are.

    Raises UserError if nothing is published, and SettingsError for a setting that would make other results.
    """
    told = list(overrides(given))
    storage = load_settings(None, told, where="The name").storage
    place = Location.parse(destination, storage)
    publication = published(place)
    if publication is None:
        raise UserError(
            f"Nothing is published in {destination} yet: run the deployment collection/on-demand there first."
        )
    before = list(overrides(_without(still_there(publication.settings), WITHOUT_EFFECT)))
    own = ["clusters.growth=extend", f"atlases.resolve={','.join(resolve) or '[]'}"]
    settings = load_settings(None, [*before, *told, *own], where="The name")
    wanted, there = (_flat(_without(recorded(one), (*WITHOUT_EFFECT, *_OURS))) for one in
                     (settings, load_settings(None, [*before, *own], where="The name")))  # fmt: skip
    if other := sorted(name for name in wanted if wanted[name] != there.get(name)):
        name = other[0]
        raise SettingsError(
            f"{name} is {there.get(name)!r} in what is published: leave it out, or run the deployment "
            "collection/on-demand to make everything anew with it."
        )
    return settings


def _without(values: Mapping[str, Any], names: Sequence[Sequence[str]]) -> dict[str, Any]:
    left = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    for *sections, name in names:
        inner = left
        for section in sections:
            inner = inner.get(section, {})
        inner.pop(name, None)
    return left


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
