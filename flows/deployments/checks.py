"""What a deployment needs, tried one after the other: a line each, and why where something is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from congeal.settings import Settings
from congeal_floors.plurals import counted
from flows.deployments.entrypoints import missing_file
from infra.errors import UserError
from infra.storage.location import Location

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LISTED = 1_000  # objects of the source that are looked at
_WORKERS: Final = "/work_pools/{work_pool_name}/workers/filter"
ONLINE = 90  # seconds since the last sign of life of a worker that still counts


@dataclass(frozen=True)
class Check:
    """One thing that was tried. passed None: there was nothing to try."""

    name: str
    passed: bool | None
    says: str


class _FailedError(Exception):
    """What was tried did not go well; the text says how, and the cure."""


class _PassedOverError(Exception):
    """There was nothing to try."""


def checks(settings: Settings, source: str | None, destination: str | None, pool: str) -> Iterator[Check]:
    """Try server, pool, worker, deployments, credentials, source, destination, the store's promises, the Dask
    scheduler, GPU.

    Each is tried whatever became of those before it, unless it needs them.
    """
    server = _tried("server", _server)
    yield server
    for name, function in (("pool", _pool), ("worker", _worker), ("deployments", _deployments)):
        if server.passed:
            yield _tried(name, partial(function, pool))
        else:
            yield Check(name, None, "not tried, as there is no server")
    yield _tried("credentials", lambda: _credentials(settings, source, destination))
    yield _tried("source", lambda: _source(source, settings))
    there = _tried("destination", lambda: _destination(destination, settings))
    yield there
    for name, promise in (("conditional writes", _conditional), ("listing", _listing)):
        if there.passed:
            yield _tried(name, partial(promise, str(destination), settings))
        else:
            yield Check(name, None, "not tried, as nothing can be written to a destination")
    yield _tried("engine", lambda: _engine(settings))
    yield _tried("device", lambda: _device(settings))


def _tried(name: str, function: Callable[[], str]) -> Check:
    try:
        return Check(name, True, function())
    except _PassedOverError as nothing:
        return Check(name, None, str(nothing))
    except (UserError, _FailedError) as error:
        return Check(name, False, str(error))
    except Exception as error:  # whatever it is, the others are tried, too
        return Check(name, False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _client() -> SyncPrefectClient:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def _server() -> str:
    from prefect import __version__
    from prefect.settings import get_current_settings

    from flows.runs.prefect_profile import server_named

    if not server_named():
        raise _FailedError(
            "no server is named: set PREFECT_API_URL, as in export PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    url = str(get_current_settings().api.url)
    with _client() as client:
        fault = client.api_healthcheck()
        if fault is not None:
            raise _FailedError(f"{url} does not answer ({type(fault).__name__}): start it, or name another.")
        there = client.api_version()
    return f"{url} answers, Prefect {there}" + ("" if there == __version__ else f" (here {__version__})")


def _pool(pool: str) -> str:
    from prefect.exceptions import ObjectNotFound

    with _client() as client:
        try:
            found = client.read_work_pool(pool)
        except ObjectNotFound as error:
            raise _FailedError(
                f"there is no work pool {pool}: prefect work-pool create {pool} --type process."
            ) from error
    if found.is_paused:
        raise _FailedError(f"the work pool {pool} is paused: prefect work-pool resume {pool}.")
    most = found.concurrency_limit
    limit = "" if most is None else f", {counted(most, 'run')} at once"
    return f"{pool}, of type {found.type}{limit}"


def _worker(pool: str) -> str:
    from prefect.exceptions import PrefectHTTPStatusError

    with _client() as client:
        try:
            answer = client.request("POST", _WORKERS, path_params={"work_pool_name": pool}, json={})
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            raise _PassedOverError(f"not tried, as there is no work pool {pool}") from error
        workers: list[dict[str, Any]] = answer.json()
    online = [one for one in workers if one.get("status") == "ONLINE" and _age(one) < ONLINE]
    if not online:
        raise _FailedError(f"none is online: prefect worker start --pool {pool}, where Congeal is installed.")
    last = min(_age(one) for one in online)
    return f"{len(online)} online, the last sign of life {last:.0f} s ago"


def _age(worker: dict[str, Any]) -> float:
    beat = worker.get("last_heartbeat_time")
    if not beat:
        return float("inf")
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(beat)).total_seconds())


def _deployments(pool: str) -> str:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    wanted = DeploymentFilter(tags=DeploymentFilterTags(all_=["congeal"]))
    with _client() as client:
        found = client.read_deployments(deployment_filter=wanted)
    if not found:
        raise _FailedError("there is none with the tag congeal: prefect --no-prompt deploy --all.")
    gone = sorted({file for one in found if (file := missing_file(one)) is not None})
    if gone:
        raise _FailedError(
            f"they name {' and '.join(gone)}, which an update has moved: prefect --no-prompt deploy --all."
        )
    elsewhere = sum(one.work_pool_name != pool for one in found)
    return f"{len(found)} with the tag congeal" + (
        f", {elsewhere} of them in other pools" if elsewhere else ""
    )


def _credentials(settings: Settings, source: str | None, destination: str | None) -> str:
    """By what an object store is asked; nothing of it is shown."""
    if not any(str(place or "").startswith("s3://") for place in (source, destination)):
        raise _PassedOverError("not needed: neither source nor destination is in S3")
    if settings.storage.anonymous:
        return "none, as storage.anonymous says"
    if settings.storage.key is not None:
        return "storage.key and storage.secret"
    from botocore.session import Session

    from infra.storage.file_systems import without_blank_variables

    without_blank_variables()
    found = Session().get_credentials()
    if found is None:
        raise _FailedError("there are none: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.")
    return f"found by {found.method}"


def _source(source: str | None, settings: Settings) -> str:
    if source is None:
        raise _PassedOverError("not tried, as none was given")
    from infra.storage.image_source import image_source, is_list

    here = image_source(source, (), settings.source.roots, settings.storage)
    if is_list(Location.parse(source, settings.storage)):
        size = len(Location.parse(source, settings.storage).read_bytes())
        return f"{source} is a list of {counted(size, 'byte')}"
    endings = tuple(settings.catalog.extensions)
    listed = list(islice(here.objects(), LISTED))
    images = [one for one in listed if one.path.lower().endswith(endings)]
    if not images:
        seen = counted(len(listed), "object")
        raise _FailedError(f"{source} lists {seen}, and none is an image by its name.")
    first = next((one for one in images if one.bytes), images[0])
    read = len((here / first.path).read_bytes())
    lists = f"{len(images):,} or more images" if len(listed) == LISTED else counted(len(images), "image")
    return f"{source} lists {lists}; {first.path} was read, {counted(read, 'byte')}"


def _destination(destination: str | None, settings: Settings) -> str:
    if destination is None:
        raise _PassedOverError("not tried, as none was given")
    from infra.ledger.publications import check_layout, published

    place = Location.parse(destination, settings.storage)
    begun = check_layout(place)
    probe, data = _probe(place), secrets.token_bytes(1024)
    probe.write_bytes(data)
    if probe.read_bytes() != data:
        raise _FailedError(f"{destination} gave back other bytes than were written: use another store.")
    try:
        probe.delete()
        removed = "written, read and removed"
    except UserError:
        # Allowed to runs (docs/permissions.md), and not needed by them.
        removed = "written and read, but not removed"
    current = published(place) if begun else None
    holds = f"version {current.number}" if current else ("begun" if begun else "nothing yet")
    return f"{destination} holds {holds}; a probe was {removed}"


def _conditional(destination: str, settings: Settings) -> str:
    from infra.storage.conditional_writes import ask_conditional_puts

    place = Location.parse(destination, settings.storage)
    if settings.storage.single_writer:
        raise _PassedOverError("not asked for, as storage.single_writer promises one run at a time")
    ask_conditional_puts(place)
    return "an object is written only if it is absent"


def _listing(destination: str, settings: Settings) -> str:
    place = Location.parse(destination, settings.storage)
    folder = place / "probes" / secrets.token_hex(8)
    names = ["B", "a/1", "a/10", "a/2", "b", "é"]
    try:
        for name in names:
            (folder / name).write_bytes(b"probe\n")
        seen = [one.path for one in folder.objects()]
        (folder / "b").delete()
        after = {one.path for one in folder.objects()}
    finally:
        _removed(folder)
    if sorted(seen) != sorted(names):
        raise _FailedError(f"{destination} does not list what was just written: use another store.")
    if after != set(names) - {"b"}:
        raise _FailedError(f"{destination} lists what was just removed: use another store.")
    return "what is written is listed at once, and what is removed is not"


def _engine(settings: Settings) -> str:
    address = settings.engine.address
    if address is None:
        raise _PassedOverError("not tried, as engine.address names no Dask scheduler: workers are local")
    from infra.compute.dask_clients import remote_client

    with remote_client(address) as client:
        threads = client.nthreads()
    workers = counted(len(threads), "worker")
    have = "has" if len(threads) == 1 else "have"
    return f"{address} answers; {workers} with {counted(sum(threads.values()), 'thread')} {have} Congeal"


def _device(settings: Settings) -> str:
    import torch

    from congeal.backbones.devices import resolve_device, resolve_precision

    device = resolve_device(settings.features.device)
    precision = resolve_precision(settings.features.precision, device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        return f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, {precision}"
    import joblib

    cores = counted(joblib.cpu_count(), "core")
    return f"no GPU is used here: {cores}, {precision} (the worker's machine may differ)"


def _probe(place: Location) -> Location:
    return place / "probes" / secrets.token_hex(16)


def _removed(place: Location) -> None:
    try:
        place.delete()
    except UserError:
        return
