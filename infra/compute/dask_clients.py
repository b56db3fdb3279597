"""Dask clients: of a cluster on this machine, and of a scheduler that is there already."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from congeal_floors import own
from congeal_floors.plurals import counted
from infra.compute.numeric_libraries import ALLOCATOR, THREADS
from infra.compute.temporary_folders import clear_temporary_folders, temporary_folder
from infra.errors import UserError

ANSWER = 8.0  # seconds in which a scheduler has to answer, unless Dask is told otherwise
_CONNECT = 30  # and in which it has to have workers: they may be started when a client comes
STARTS = 3  # of a cluster whose workers die while they start
# Bytes. What a worker imports takes 672 MiB (torch 2.15, Linux); with less it dies while it starts.
LEAST_MEMORY = 768 * 2**20

_CONFIG = {
    # A worker whose memory torch holds would be paused, and its run would hang; only the limit stays.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # A unit may hold the interpreter for minutes.
    "distributed.scheduler.worker-ttl": None,
    "distributed.admin.tick.limit": "1h",
    # On a busy machine a worker that died may need a minute to come back; after the 15 s that Dask allows it
    # would be given up for good, and a run that has lost its last one would wait for ever.
    "distributed.deploy.lost-worker-timeout": "1h",
    # Each death is told at once; infra.compute.engine counts them.
    "distributed.scheduler.allowed-failures": 0,
    # Workers are forked from one process that has imported what units need, not started one by one.
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.comm.timeouts.tcp": "120s",
    "distributed.nanny.pre-spawn-environ": THREADS | ALLOCATOR,
}


@contextmanager
def remote_client(address: str) -> Iterator[Any]:
    """A client of the scheduler at ``address``, which must have workers.

    Raises UserError if none answers there in ANSWER seconds, or in as many as are set for
    ``distributed.comm.timeouts.connect``; if it has no workers; if these cannot import Congeal.
    """
    import distributed

    try:
        with ThreadPoolExecutor(1) as aside:  # this thread may have an event loop that runs
            aside.submit(asyncio.run, _answers(address)).result()
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as fault:
        raise UserError(f"No Dask scheduler answers at {address}: check engine.address.") from fault
    except (TypeError, ImportError) as fault:  # certificates, or a library of a protocol, that are missing
        raise UserError(
            f"No Dask scheduler answers at {address} ({_brief(fault)}): check engine.address."
        ) from fault
    except Exception as fault:  # read as Dask's, an answer of something else fails anywhere
        raise UserError(f"What answers at {address} is no Dask scheduler: check engine.address.") from fault
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT)
        except TimeoutError as fault:
            raise UserError(f"The Dask scheduler at {address} has no workers: start some.") from fault
        require_congeal(client, address)
        yield client


@contextmanager
def local_client(workers: int, memory: str, gpu_slots: bool, preloaded: Sequence[str] = ()) -> Iterator[Any]:
    """A client of a new cluster of ``workers`` processes with one thread each, gone at the end of the block.

    memory: limit of a worker, "auto" for its share of the machine's. gpu_slots: each GPU becomes the
    resource "GPU" of one worker. preloaded: modules that are imported before workers are forked.
    """
    import dask
    import distributed
    from distributed.gc import disable_gc_diagnosis

    from infra.compute.forked_workers import start

    start(preloaded)
    devices = _devices() if gpu_slots else []
    limit = _memory_limit(memory, workers)
    clear_temporary_folders()
    place: dict[str, Any] = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard": False}
    options = place | {
        "nthreads": 1,
        "memory_limit": limit,
        "silence_logs": logging.CRITICAL,
        "preload": ["congeal_floors.worker"],
    }
    log = logging.getLogger("distributed.scheduler")
    log.addFilter(_worth_saying)
    try:
        with temporary_folder("engine") as scratch, ExitStack() as stack:
            # The scheduler, too, makes a folder for files.
            stack.enter_context(dask.config.set(_CONFIG | {"temporary-directory": str(scratch)}))
            spec = {
                "workers": {
                    number: {"cls": distributed.Nanny, "options": options | _surroundings(devices, number)}
                    for number in range(workers)
                },
                "scheduler": {
                    "cls": distributed.Scheduler,
                    "options": place | {"port": 0, "dashboard_address": "127.0.0.1:0"},
                },
                "silence_logs": logging.CRITICAL,
            }
            try:
                cluster = stack.enter_context(_started(spec))
                client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
            except (RuntimeError, OSError) as fault:
                raise UserError(
                    f"The {counted(workers, 'worker')} could not be started in {STARTS} tries "
                    f"({_brief(fault)}), most "
                    "likely for want of memory: lower engine.workers or raise engine.memory, and run again; "
                    "what is done is kept."
                ) from fault
            # The scheduler, which runs in this process, times the garbage collector in a callback. A Ctrl-C
            # that comes just then would be printed and forgotten.
            disable_gc_diagnosis(force=True)
            yield client
    finally:
        log.removeFilter(_worth_saying)


async def _answers(address: str) -> None:
    """Connect to a scheduler and take leave. A client's own timeout ends when something has been reached, and
    leaves what says nothing then be waited for without an end."""
    import dask
    from dask.utils import parse_timedelta
    from distributed import Security
    from distributed.comm.core import connect

    name = "distributed.comm.timeouts.connect"
    asked, usual = (dask.config.get(name, config=one) for one in (dask.config.config, _defaults()))
    patience = ANSWER if asked == usual else float(parse_timedelta(asked))
    arguments = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=patience, **arguments), patience)
    await comm.close()


def _defaults() -> Any:
    import dask

    return dask.config.merge(*dask.config.defaults)


def _started(spec: Mapping[str, Any]) -> Any:
    """A cluster. A worker may die while it starts, for reasons of its own: then all are started anew."""
    import distributed

    for _ in range(STARTS - 1):
        try:
            return distributed.SpecCluster(**spec)
        except (RuntimeError, OSError):
            continue
    return distributed.SpecCluster(**spec)


def _worth_saying(record: logging.LogRecord) -> bool:
    """False for the scheduler's complaint that a client who cancelled its work has gone without an answer.

    After a Ctrl-C it comes when the two cross, as CRITICAL and with a traceback.
    """
    return not record.getMessage().startswith("Closed comm")


def require_congeal(client: Any, address: str) -> None:
    """Scheduler and workers are started by others; each must have Congeal, and nobody else's floors."""
    try:
        client.run_on_scheduler(own)
        client.run(own)
    except OSError:
        raise
    except Exception as fault:  # what does not survive the way back comes as an Exception with its text
        if isinstance(fault, ImportError) and not isinstance(fault, ModuleNotFoundError):
            raise UserError(f"A process of the Dask cluster at {address} cannot be used: {fault}") from fault
        raise UserError(
            f"The Dask scheduler at {address} or one of its workers cannot import Congeal ({fault}): "
            "install there what is installed here."
        ) from fault


def _brief(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:160].rstrip(".") or type(fault).__name__


def _memory_limit(limit: str, workers: int) -> int:
    from distributed.system import MEMORY_LIMIT

    if limit == "auto":
        found = int(MEMORY_LIMIT) // workers
    else:
        from dask.utils import parse_bytes

        try:
            found = int(parse_bytes(limit))
        except ValueError as fault:
            raise UserError(f"The setting engine.memory cannot be {limit!r}: write 4GiB or auto.") from fault
    if found < LEAST_MEMORY:
        raise UserError(
            f"A worker has {found / 2**20:,.0f} MiB (engine.memory={limit}, "
            f"{counted(workers, 'worker')}), and needs at "
            f"least {LEAST_MEMORY // 2**20} MiB before it does anything: raise engine.memory, or lower "
            "engine.workers."
        )
    return found


def _devices() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        devices = [device.strip() for device in visible.split(",") if device.strip()]
    else:
        import torch

        devices = [str(number) for number in range(torch.cuda.device_count())]
    if not devices:
        raise UserError("engine.gpu_slots is true, but there is no GPU on this machine: set it to false.")
    return devices


def _surroundings(devices: list[str], number: int) -> dict[str, Any]:
    """The variables of this process as they are now, and one GPU for each of the first workers.

    The process that workers are forked from keeps the variables with which it was started.
    """
    env = {**os.environ}
    if not devices:
        return {"env": env}
    if number >= len(devices):
        return {"env": env | {"CUDA_VISIBLE_DEVICES": ""}}
    return {"env": env | {"CUDA_VISIBLE_DEVICES": devices[number]}, "resources": {"GPU": 1}}
