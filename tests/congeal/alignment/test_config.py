"""The configuration of the solver: what it says of itself, what it refuses, and how it is changed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.alignment.config import PRESETS, Setting, SolverConfig
from congeal.errors import CongealError

SETTINGS = {one.name: one for one in SolverConfig.settings()}


def values_of(one: Setting) -> st.SearchStrategy[Any]:
    """Values that a setting allows, by itself."""
    low, high = one.at_least, one.at_most
    if one.choices:
        return st.sampled_from(one.choices)
    if isinstance(one.default, bool):
        return st.booleans()
    if isinstance(one.default, int):
        return st.integers(int(low or 0), int(high if high is not None else 1000))
    return st.floats(low or 0.0, 1000.0 if high is None else high)


ALONE = [one for one in SETTINGS.values() if not isinstance(one.default, tuple) and not one.choices]


def test_every_field_says_what_it_is_and_how_it_was_set() -> None:
    assert len(SETTINGS) > 90
    for one in SETTINGS.values():
        assert one.about
        assert one.set_on
        assert one.held_out in (True, False, None)
        assert getattr(getattr(SolverConfig(), one.name.split(".")[0]), one.name.split(".")[1]) == one.default


def test_groups_are_named_as_their_fields() -> None:
    for name, group in vars(SolverConfig()).items():
        assert type(group).title == name


def test_nothing_of_it_can_be_changed_in_place() -> None:
    config: Any = SolverConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.flow = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.flow.finest_cells = 3
    assert hash(config) == hash(SolverConfig())


@given(st.data())
def test_changes_come_back_as_differences_through_json(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(ALONE), max_size=5, unique_by=lambda one: one.name))
    changes = {one.name: data.draw(values_of(one)) for one in chosen}
    config = SolverConfig().replace(changes)
    told = json.loads(json.dumps(config.differences()))
    assert set(told) == {name for name, value in changes.items() if value != SETTINGS[name].default}
    assert SolverConfig.from_dict(told) == config
    assert SolverConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"flow.finest_cels": 3},
            "flow.finest_cels is no field of the solver's configuration: did you mean flow.finest_cells?",
        ),
        (
            {"flow.finest_cells": 0},
            "flow.finest_cells is a whole number, at least 1, at most 1024, not 0",
        ),
        (
            {"flow": {"finest_cells": 2.5}},
            "flow.finest_cells is a whole number, at least 1, at most 1024, not 2.5",
        ),
        ({"flow.rest_weight": float("nan")}, "flow.rest_weight is a number, at least 0, not nan"),
        ({"flow.rest_weight": True}, "flow.rest_weight is a number, at least 0, not True"),
        ({"flow.rest_weight": "much"}, "flow.rest_weight is a number, at least 0, not 'much'"),
        ({"cosaliency.learned": 1}, "cosaliency.learned is true or false, not 1"),
        ({"deformation.most": "free"}, "deformation.most is one of rigid, flow, guided, not 'free'"),
        (
            {"deformation.least": "guided", "deformation.most": "flow"},
            "deformation.least (guided) is more than deformation.most (flow)",
        ),
        (
            {"flow.smoothness": [1.0]},
            "flow.search_radius, flow.smoothness and flow.inlier_distance have one number a round each, "
            "not 6, 1 and 6",
        ),
        ({"flow.smoothness": 1.0}, "flow.smoothness is a list of numbers, not 1.0"),
        (
            {"poses.size_range": [3, 1]},
            "poses.size_range is two numbers, the first below the second, not [3.0, 1.0]",
        ),
    ],
)
def test_what_is_not_allowed_gets_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CongealError) as told:
        SolverConfig().replace(changes)
    assert str(told.value) == sentence


def test_an_unknown_group_is_answered_with_those_there_are() -> None:
    with pytest.raises(CongealError, match=r"zz.yy is no field .*: the groups are features, fixed_camera, "):
        SolverConfig().replace({"zz.yy": 1})


def test_text_is_read_as_json() -> None:
    changes = {
        "flow.finest_cells": "32",
        "cosaliency.learned": "false",
        "deformation.most": "flow",
        "poses.size_range": "[0.5, 2]",
    }
    found = SolverConfig().replace(changes)
    assert found.differences() == {
        "cosaliency.learned": False,
        "poses.size_range": [0.5, 2.0],
        "flow.finest_cells": 32,
        "deformation.most": "flow",
    }


def test_presets_by_name() -> None:
    assert SolverConfig.preset("default") == SolverConfig()
    for name, changes in PRESETS.items():
        assert SolverConfig.preset(name).differences() == changes
    with pytest.raises(CongealError, match="'guidde' is no preset of the solver: did you mean guided"):
        SolverConfig.preset("guidde")
    with pytest.raises(CongealError, match="there are default, rigid, flow, guided, no-mirroring"):
        SolverConfig.preset("zzz")


def test_it_needs_no_torch() -> None:
    code = "import sys, congeal.alignment.config; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_an_earlier_version_recorded_is_read_without_the_fields_that_are_no_more() -> None:
    asked = SolverConfig().replace({"flow.finest_cells": 24})
    assert SolverConfig.recorded(asked.differences() | {"confidence.ceiling": 0.9}) == asked
    assert SolverConfig.recorded({"confidence": {"ceiling": 0.9}, "flow": {"finest_cells": 24}}) == asked


@pytest.mark.parametrize(
    "make",
    [
        lambda: SolverConfig(flow=3),
        lambda: SolverConfig(flow=None),
        lambda: SolverConfig().replace({"flow": 3}),
        lambda: SolverConfig().replace({"flow": SolverConfig().guided}),
    ],
)
def test_a_group_that_is_none_is_named_with_how_its_fields_are_set(make: Callable[[], SolverConfig]) -> None:
    with pytest.raises(CongealError, match=r'^flow is a group of fields, FlowConfig, not .*"flow\..*": …'):
        make()


@pytest.mark.parametrize("changes", [3, None, "flow", [1], [("flow.finest_cells", 3)]])
def test_changes_that_are_no_dictionary_are_named(changes: Any) -> None:
    for call in (SolverConfig().replace, SolverConfig.from_dict, SolverConfig.recorded):
        with pytest.raises(CongealError, match=r"are given as a dictionary of dotted names to values"):
            call(changes)
    with pytest.raises(CongealError, match=r"^3 is no field of the solver's configuration"):
        SolverConfig().replace({3: 1})


def test_a_whole_group_may_be_given() -> None:
    flow = SolverConfig().replace({"flow.finest_cells": 32}).flow
    assert SolverConfig().replace({"flow": flow}).differences() == {"flow.finest_cells": 32}
    with pytest.raises(CongealError, match=r"^poses\.mirror_prior is a number"):
        SolverConfig().replace({"poses.mirror_prior": 10**400})
