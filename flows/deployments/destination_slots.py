"""One run of a deployment at a time on one destination, whatever deployment it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.concurrency.sync import concurrency

from infra.storage.location import Location

LEASE = 60.0  # seconds, Prefect's least: for so long the slot of a run whose machine died stays taken
PATIENCE = 90.0  # seconds after which a run that waits looks whether anybody holds the slot


def slot_name(destination: str) -> str:
    """The global concurrency limit of a destination, by its name; a path and its URL are one."""
    url = Location.parse(destination).url.rstrip("/")
    return f"congeal-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


@contextmanager
def alone_on(destination: str) -> Iterator[None]:
    """Hold the destination's one slot; other deployments' runs on it wait for it in their own flow.

    Two at once would not harm each other, they would do the same work twice: so a run goes on where Prefect
    has no slots to give, and when its lease cannot be renewed.
    """
    if not runtime.deployment.id:
        yield
        return
    try:
        held = _taken(destination)
    except Exception as error:
        get_run_logger().warning(f"no slot could be taken ({type(error).__name__}): running without one")
        held = ExitStack()
    try:
        yield
    finally:
        _released(held)


def _taken(destination: str) -> ExitStack:
    """The slot, as something to be closed.

    A server that is started again has forgotten who holds its slots, and none is ever given back. So a run
    that has waited looks who is at work, and takes a slot that nobody holds.
    """
    name = _made(destination)
    get_run_logger().info(f"taking the slot {name}, of which {destination} has one")
    stack = ExitStack()
    while True:
        try:
            stack.enter_context(
                concurrency(
                    name,
                    timeout_seconds=PATIENCE,
                    lease_duration=LEASE,
                    raise_on_lease_renewal_failure=False,
                )
            )
        except TimeoutError:
            if not _somebody_before(destination):
                get_run_logger().warning(f"the slot {name} is held by nobody: its server was started again")
                with get_client(sync_client=True) as client:
                    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
        else:
            return stack


def _somebody_before(destination: str) -> bool:
    """Whether another run on the destination is under way that began before this one."""
    running = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
        tags=FlowRunFilterTags(all_=["congeal"]),
    )
    with get_client(sync_client=True) as client:
        runs = [
            run
            for run in client.read_flow_runs(flow_run_filter=running)
            if _is_on(run.parameters, destination)
        ]
    own = next((run for run in runs if str(run.id) == runtime.flow_run.id), None)
    others = [run for run in runs if run is not own]
    if own is None or own.start_time is None:
        return bool(others)
    return any(run.start_time is None or run.start_time < own.start_time for run in others)


def _is_on(parameters: dict[str, Any], destination: str) -> bool:
    there = parameters.get("destination")
    return isinstance(there, str) and slot_name(there) == slot_name(destination)


def _made(destination: str) -> str:
    """The name of the limit, which is made if absent; one that somebody has set otherwise is left alone."""
    from prefect.exceptions import ObjectNotFound

    name = slot_name(destination)
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            client.upsert_global_concurrency_limit_by_name(name, limit=1)
    return name


def _released(stack: ExitStack) -> None:
    try:
        stack.close()
    except Exception as error:
        get_run_logger().warning(f"the slot was not given back ({type(error).__name__}): its lease ends")
