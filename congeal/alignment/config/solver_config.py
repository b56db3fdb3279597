"""The configuration of the solver: all groups, presets by name, changes by dotted name."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from congeal.alignment.config.inputs import (
    CosaliencyConfig,
    FeaturesConfig,
    FixedCameraConfig,
    OrientationConfig,
    TokensConfig,
)
from congeal.alignment.config.maps import (
    ConfidenceConfig,
    ErrorsConfig,
    FlowConfig,
    GuidedConfig,
    MatchSupportConfig,
)
from congeal.alignment.config.poses import (
    AtlasConfig,
    CommonObjectConfig,
    ExemplarsConfig,
    MatchingConfig,
    OutliersConfig,
    PosesConfig,
)
from congeal.alignment.config.selection import (
    CollapseConfig,
    DeformationConfig,
    FeatureSelectionConfig,
    InstancesConfig,
    MatchAgreementConfig,
    MirrorSelectionConfig,
    SecondLookConfig,
)
from congeal.alignment.config.setting import Group, Setting, settings_of
from congeal.errors import CongealError

# By name: what each changes. The sets that the defaults were chosen on are told with every field.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "rigid": {"deformation.most": "rigid"},
    "flow": {"deformation.least": "flow", "deformation.most": "flow"},
    "guided": {"deformation.least": "guided"},
    "no-mirroring": {"poses.mirror_prior": 1.0},
}


@dataclass(frozen=True)
class SolverConfig:
    """Every number that decides how a set is aligned, by step; frozen.

    The defaults are those of `congeal.align`; every field says what it is, its unit and limits, how it was
    set, on which sets, and whether figures are held out (`SolverConfig.settings`).

    >>> SolverConfig().replace({"flow.finest_cells": 32}).differences()
    {'flow.finest_cells': 32}
    >>> SolverConfig.preset("guided").deformation.least
    'guided'

    Raises CongealError, naming the field, for a value that is not allowed.
    """

    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    fixed_camera: FixedCameraConfig = field(default_factory=FixedCameraConfig)
    cosaliency: CosaliencyConfig = field(default_factory=CosaliencyConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    orientation: OrientationConfig = field(default_factory=OrientationConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    poses: PosesConfig = field(default_factory=PosesConfig)
    outliers: OutliersConfig = field(default_factory=OutliersConfig)
    atlas: AtlasConfig = field(default_factory=AtlasConfig)
    common_object: CommonObjectConfig = field(default_factory=CommonObjectConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    errors: ErrorsConfig = field(default_factory=ErrorsConfig)
    feature_selection: FeatureSelectionConfig = field(default_factory=FeatureSelectionConfig)
    mirror_selection: MirrorSelectionConfig = field(default_factory=MirrorSelectionConfig)
    deformation: DeformationConfig = field(default_factory=DeformationConfig)
    guided: GuidedConfig = field(default_factory=GuidedConfig)
    match_support: MatchSupportConfig = field(default_factory=MatchSupportConfig)
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    match_agreement: MatchAgreementConfig = field(default_factory=MatchAgreementConfig)
    collapse: CollapseConfig = field(default_factory=CollapseConfig)
    exemplars: ExemplarsConfig = field(default_factory=ExemplarsConfig)
    second_look: SecondLookConfig = field(default_factory=SecondLookConfig)
    instances: InstancesConfig = field(default_factory=InstancesConfig)

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            kind: Any = one.default_factory
            value = getattr(self, one.name)
            if not issubclass(type(value), kind):
                raise CongealError(_no_group(one.name, kind, value))

    @staticmethod
    def settings() -> list[Setting]:
        """Every field with all that is known of it, in order of the steps."""
        return [one for group in _GROUPS.values() for one in settings_of(group)]

    @classmethod
    def preset(cls, name: str) -> SolverConfig:
        """A configuration by name: default, rigid, flow, guided, no-mirroring.

        rigid: maps are poses. flow: every set with matches to judge by gets a flow, none is matched cell by
        cell. guided: every such set is matched cell by cell. no-mirroring: no image counts as mirrored.
        """
        if not isinstance(name, str) or name not in PRESETS:
            near = difflib.get_close_matches(str(name), PRESETS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRESETS)}"
            raise CongealError(f"{name!r} is no preset of the solver: {hint}")
        return cls().replace(PRESETS[name])

    def replace(self, changes: Mapping[str, Any]) -> SolverConfig:
        """The same with other values, by dotted name (``{"flow.finest_cells": 32}``) or nested.

        Values may be text, as from a command line; it is read as JSON. A whole group may be given as itself.

        Raises CongealError for a name that is none, with the nearest, and for a value that is not allowed.
        """
        by_group: dict[str, dict[str, Any]] = {}
        for name, value in _flat(changes).items():
            group, _, key = name.partition(".")
            if not key and group in _GROUPS:
                raise CongealError(_no_group(group, _GROUPS[group], value))
            default = _DEFAULTS.get(name, _NONE)
            if default is _NONE:
                near = difflib.get_close_matches(name, _DEFAULTS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the groups are {', '.join(_GROUPS)}"
                raise CongealError(f"{name} is no field of the solver's configuration: {hint}")
            by_group.setdefault(group, {})[key] = _read(value, default)
        changed = {group: dataclasses.replace(getattr(self, group), **new) for group, new in by_group.items()}
        return dataclasses.replace(self, **changed)

    @classmethod
    def recorded(cls, differences: Mapping[str, Any]) -> SolverConfig:
        """What `differences` of this or an earlier version says; fields that are no more are passed over."""
        return cls().replace({name: value for name, value in _flat(differences).items() if name in _DEFAULTS})

    def differences(self) -> dict[str, Any]:
        """What differs from the default, by dotted name, as JSON values; empty for the default."""
        return {
            name: value for name, value in _flat(self.as_dict()).items() if value != _plain(_DEFAULTS[name])
        }

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """All values, nested by group, as JSON values."""
        return {
            group: {key: _plain(value) for key, value in vars(getattr(self, group)).items()}
            for group in _GROUPS
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SolverConfig:
        """What `as_dict` or `differences` gave; what is absent has its default.

        Raises CongealError as `replace` does.
        """
        return cls().replace(values)


_NONE = object()
_GROUPS: dict[str, type[Group]] = {type(group).title: type(group) for group in vars(SolverConfig()).values()}
_DEFAULTS: dict[str, Any] = {one.name: one.default for one in SolverConfig.settings()}


def _no_group(name: str, kind: type[Group], value: Any) -> str:
    """The sentence for something that stands where a group of fields should."""
    field = settings_of(kind)[0].name
    return (
        f"{name} is a group of fields, {kind.__name__}, not {value!r:.80}: set its "
        f'fields one by one, as in SolverConfig().replace({{"{field}": …}})'
    )


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise CongealError(
            f"fields of the solver's configuration are given as a dictionary of dotted names to values, "
            f'as {{"flow.finest_cells": 32}}, not {values!r:.80}'
        )
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if not above and isinstance(value, Group) and type(value) is _GROUPS.get(str(name)):
            flat |= {f"{name}.{key}": one for key, one in vars(value).items()}
        elif isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read(value: Any, default: Any) -> Any:
    if not isinstance(value, str) or isinstance(default, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
