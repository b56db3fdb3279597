"""What units and runs cost is counted, priced and kept; a budget ends a run in good order."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from sample_runs import folder, photographs, results, run, tiny

from congeal.settings import LimitsSettings, PlanSettings
from flows.console.terminal import answers
from infra.errors import BudgetSpentError
from infra.ledger.commits import find_marker
from infra.ledger.publications import published
from infra.storage.location import Location
from infra.storage.usage import Usage, meter
from tasks.execution.cost import Budget, cost_of, shown_cost
from tasks.maintenance.status import status


def test_usage_adds_up_and_takes_away() -> None:
    one = Usage({"s3": {"get": 2, "put": 1}}, 10, 5)
    two = Usage({"s3": {"get": 1}, "file": {"put": 4}}, 1, 2)
    assert one + two == Usage({"file": {"put": 4}, "s3": {"get": 3, "put": 1}}, 11, 7)
    assert (one + two) - two == one


@pytest.mark.s3
def test_requests_to_s3_are_counted_by_kind(s3_location: Location) -> None:
    before = meter.total
    (s3_location / "a").write_bytes(b"12345")
    assert (s3_location / "a").read_bytes() == b"12345"
    assert (s3_location / "a").size() == 5
    assert s3_location.children() == ["a"]
    used = meter.total - before
    assert used == Usage({"s3": {"get": 1, "head": 1, "list": 1, "put": 1}}, 5, 5)


def test_prices_are_those_of_the_table() -> None:
    prices = PlanSettings(price_get=1, price_put=10, price_list=100, price_gb_read=1000, price_hour=36)
    used = Usage({"s3": {"get": 1000, "head": 1000, "put": 100, "list": 10, "delete": 99}}, 10**9, 0)
    assert cost_of(prices, used, 0) == pytest.approx(1 + 1 + 1 + 1 + 1000)
    assert cost_of(prices, Usage({"file": {"get": 10**9}}, 10**12, 0), 100, workers=2) == pytest.approx(0.5)


def test_a_budget_is_spent_by_time_or_by_cost() -> None:
    assert Budget(LimitsSettings(), begin=0).spent is None
    assert Budget(LimitsSettings(budget_seconds=1), begin=0).spent == "limits.budget_seconds=1"
    budget = Budget(LimitsSettings(budget_cost=2))
    taken = []
    for job in budget.while_left([1.5, 1.5, 1.5]):
        budget.cost += job
        taken.append(job)
    assert len(taken) == 2
    budget.require_done("features", 3, 3)
    with pytest.raises(BudgetSpentError, match=r"budget_cost=2\): 2 of 3 units of the stage features"):
        budget.require_done("features", 2, 3)


@pytest.mark.slow
def test_a_run_whose_budget_is_spent_is_taken_up_with_the_same_bytes(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs())
    run(source, tmp_path / "whole", tiny(weights))
    place, priced = tmp_path / "out", ("plan.price_hour=3600", "limits.budget_cost=1e-9")
    stopped = 0
    for _ in range(40):
        with suppress(BudgetSpentError):
            run(source, place, tiny(weights, *priced))
            break
        stopped += 1
        assert published(Location.parse(place)) is None
    assert stopped >= 5  # at least once a stage: one unit has cost more than may be spent
    assert results(place) == results(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_says_what_it_cost_and_units_keep_it(tmp_path: Path, weights: Path) -> None:
    facts = run(folder(tmp_path / "source", photographs()), tmp_path / "out", tiny(weights))
    cost: dict[str, Any] = facts["cost"]
    assert json.loads((tmp_path / "out/published/cost.json").read_bytes()) == cost
    assert cost["unit_seconds"] > 0
    assert cost["devices"] == ["cpu"]
    assert cost["requests"]["file"]["put"] > 20
    assert cost["written_bytes"] > 1000
    assert "s of computing" in shown_cost(cost)
    assert ("USD" in shown_cost(cost)) == (cost["price"] > 0)
    place = Location.parse(tmp_path / "out")
    publication = published(place)
    assert publication is not None
    marker = find_marker(place, "atlases", publication.units["atlases"][0])
    assert marker is not None
    assert marker.requests["file"]["put"] == len(marker.outputs) + 1
    told = status(place)["cost"]
    assert told["stages"]["atlases"]["seconds"] > 0
    assert len(told["clusters"]) == len(publication.units["atlases"])


def test_a_spent_budget_is_a_sentence_and_the_exit_status_3(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @answers
    def command(as_json: bool = False) -> Any:
        raise BudgetSpentError("The budget of this run is spent.")

    with pytest.raises(typer.Exit) as ended:
        command(as_json=True)
    assert ended.value.exit_code == 3
    shown = capsys.readouterr()
    assert shown.err == "The budget of this run is spent.\n"
    assert json.loads(shown.out) == {"ok": False, "error": "The budget of this run is spent."}
