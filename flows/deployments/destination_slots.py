"""One run of a deployment at a time on one destination, whatever deployment it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from infra.storage.location import Location

LEASE = 60.0  # seconds, Prefect's least: for so long the slot of a run whose machine died stays taken


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
    with ExitStack() as stack:
        try:
            name = _made(destination)
            get_run_logger().info(f"taking the slot {name}, of which {destination} has one")
            stack.enter_context(concurrency(name, lease_duration=LEASE, raise_on_lease_renewal_failure=False))
        except Exception as error:
            get_run_logger().warning(f"no slot could be taken ({type(error).__name__}): running without one")
        # Whatever becomes of the slot at the end, the run has ended as it has.
        body = stack.pop_all()
        try:
            yield
        finally:
            _released(body)


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
