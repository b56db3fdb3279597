"""What units and runs cost, by the table of prices in the settings, and the budget that a run may have."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from congeal.settings import LimitsSettings, PlanSettings
from congeal_floors.plurals import counted
from infra.errors import BudgetSpentError
from infra.storage.location import Location
from infra.storage.usage import Usage
from tasks.execution.units import StageResult

NAME = "published/cost.json"
PRICED = ("s3", "gs", "az")  # stores whose requests cost something

T = TypeVar("T")


def request_price(prices: PlanSettings, kind: str) -> float:
    """Of one request of a kind, to a store that takes a price for it; to delete costs nothing."""
    each = {
        "get": prices.price_get,
        "head": prices.price_get,
        "put": prices.price_put,
        "list": prices.price_list,
    }
    return each.get(kind, 0.0) / 1_000


def cost_of(prices: PlanSettings, usage: Usage, seconds: float, workers: int = 1) -> float:
    """What requests, bytes and so many seconds of one of a machine's workers cost; without storage."""
    asked = sum(
        count * request_price(prices, kind)
        for protocol, kinds in usage.requests.items()
        if protocol in PRICED
        for kind, count in kinds.items()
    )
    moved = usage.read_bytes / 1e9 * prices.price_gb_read if set(PRICED) & usage.requests.keys() else 0.0
    return asked + moved + seconds / 3_600 * prices.price_hour / max(1, workers)


def run_cost(
    prices: PlanSettings, results: Iterable[StageResult], here: Usage, wall: float, *, in_process: bool
) -> dict[str, Any]:
    """What a run cost, fit for JSON.

    here: what was asked for in this process; in_process: what units asked for is in that already.
    """
    results = list(results)
    usage = here if in_process else sum((result.used for result in results), here)
    devices = frozenset[str]().union(*(result.devices for result in results))
    unit_seconds = sum(result.unit_seconds for result in results)
    return {
        "currency": prices.currency,
        "price": round(cost_of(prices, usage, wall), 6),
        "seconds": round(wall, 3),
        "unit_seconds": round(unit_seconds, 3),
        "devices": sorted(filter(None, devices)),
        "requests": {protocol: dict(kinds) for protocol, kinds in usage.requests.items()},
        "read_bytes": usage.read_bytes,
        "written_bytes": usage.written_bytes,
    }


def keep_cost(destination: Location, facts: Mapping[str, Any]) -> None:
    """Write what the last run cost that had something to do."""
    (destination / NAME).write_bytes(json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n")


def shown_cost(facts: Mapping[str, Any]) -> str:
    """The same in one line."""
    asked = [
        f"{count:,} {kind}"
        for protocol, kinds in facts["requests"].items()
        if protocol in PRICED
        for kind, count in kinds.items()
    ]
    requests = f"{', '.join(asked)} requests, " if asked else ""
    price = f"; {facts['price']:,.4f} {facts['currency']}" if facts["price"] else ""
    return (
        f"cost: {requests}{facts['read_bytes'] / 1e6:,.1f} MB read, {facts['written_bytes'] / 1e6:,.1f} MB "
        f"written, {facts['unit_seconds']:,.1f} s of computing{price}"
    )


class Budget:
    """How long a run may take and what its units may cost; when that is spent, nothing new is begun."""

    def __init__(self, limits: LimitsSettings, begin: float | None = None) -> None:
        self._limits = limits
        self._begin = time.perf_counter() if begin is None else begin
        self.cost = 0.0

    @property
    def spent(self) -> str | None:
        """Which limit is reached, None if none is."""
        limits = self._limits
        if limits.budget_seconds is not None and time.perf_counter() - self._begin >= limits.budget_seconds:
            return f"limits.budget_seconds={limits.budget_seconds:g}"
        if limits.budget_cost is not None and self.cost >= limits.budget_cost:
            return f"limits.budget_cost={limits.budget_cost:g}"
        return None

    def while_left(self, jobs: Iterable[T]) -> Iterator[T]:
        """The jobs, until the budget is spent."""
        for job in jobs:
            if self.spent is not None:
                return
            yield job

    def require_done(self, stage: str, done: int, total: int) -> None:
        """Raise `BudgetSpentError` if the budget is spent and units are left."""
        if done < total and (spent := self.spent) is not None:
            raise BudgetSpentError(
                f"The budget of this run is spent ({spent}): {done:,} of {counted(total, 'unit')} of the "
                f"stage {stage} are done, and nothing is published; the same command goes on from there."
            )
