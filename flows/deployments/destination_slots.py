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
AT_FIRST = 3.0  # seconds after which a run that waits says for whom
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
    stack, waits = ExitStack(), False
    while True:
        try:
            stack.enter_context(
                concurrency(
                    name,
                    timeout_seconds=PATIENCE if waits else min(AT_FIRST, PATIENCE),
                    lease_duration=LEASE,
                    raise_on_lease_renewal_failure=False,
                )
            )
        except TimeoutError:
            before = _before(destination)
            if not waits:
                waits = True
                get_run_logger().info(_waiting(before, destination))
            elif not before:
                get_run_logger().warning(f"the slot {name} is held by nobody: its server was started again")
                with get_client(sync_client=True) as client:
                    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
        else:
            return stack


def _waiting(before: list[str], destination: str) -> str:
    """What is said of a slot that is taken. before: names of runs that are at work on the destination."""
    if not before:
        return (
            f"waiting: the slot of {destination} is taken, by no run that is known; it is free in 60 to 90 s"
        )
    runs = f"the run {before[0]} is" if len(before) == 1 else f"the runs {', '.join(before)} are"
    return (
        f"waiting: {runs} at work on {destination}, and this one begins when it is free; one whose machine "
        f"has died holds it for {LEASE:.0f} s at most"
    )


def _before(destination: str) -> list[str]:
    """The names of the runs under way on the destination that began before this one."""
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
    if own is not None and own.start_time is not None:
        begun = own.start_time
        others = [run for run in others if run.start_time is None or run.start_time < begun]
    return [run.name for run in others]


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
