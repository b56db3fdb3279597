"""A version's settings are taken up again, whatever of them is no more."""

from __future__ import annotations

from congeal.settings import load_settings, recorded
from flows.runs.parameters import overrides
from flows.runs.recorded_settings import still_there


def test_settings_of_this_version_come_back_as_they_were() -> None:
    asked = ["clusters.method=single", "atlases.solver.flow.finest_cells=24", "seed=3"]
    kept = recorded(load_settings(None, asked))
    assert still_there(kept) == kept
    assert load_settings(None, list(overrides(still_there(kept)))) == load_settings(None, asked)


def test_what_only_an_earlier_version_knew_is_left_out() -> None:
    kept = recorded(load_settings(None, []))
    earlier = kept | {
        "weather": {"rain": True},
        "clusters": kept["clusters"] | {"moon": 1},
        "atlases": kept["atlases"] | {"solver": {"confidence.ceiling": 0.9}},
    }
    assert still_there(earlier) == kept


def test_what_was_blank_before_is_absent_now() -> None:
    kept = recorded(load_settings(None, []))
    earlier = kept | {"features": kept["features"] | {"weights": "", "backbone": " "}}
    assert load_settings(None, list(overrides(still_there(earlier)))) == load_settings(None, [])
