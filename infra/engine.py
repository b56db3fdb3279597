"""Where units of work run: on Dask, or in a plain loop. The caller's code is the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from congeal_floors import call
from infra.attendance import Attendance
from infra.cluster import cores, local_client, remote_client
from infra.errors import UserError
from infra.interrupts import Interrupts, kept_interrupts
from infra.settings import EngineSettings

P = TypeVar("P")
R = TypeVar("R")

_RETRIES = 2
_TICK = 0.25  # seconds for which nothing but a result is heeded


class Engine(Protocol):
    """Runs units of work."""

    @property
    def workers(self) -> int:
        """Units that run at once."""
        ...

    def map(self, function: Callable[[P], R], payloads: Sequence[P], *, gpu: bool = False) -> Iterator[R]:
        """``function`` of every payload, as they complete.

        function: of a module, payloads and results small: they may cross to another process. gpu: each
        takes a GPU slot where there are slots. The first error is raised at once and the rest cancelled.
        """
        ...

    def threads(self, units: int) -> int:
        """Threads of torch for each unit of a stage with ``units`` units in all, done ones included.

        The total decides, never what is left, so that a resumed run computes the same bits.
        """
        ...


class LoopEngine:
    """One unit after the other in this process."""

    def __init__(self, threads: int | None = None) -> None:
        self.workers = 1
        self._threads = threads

    def map(self, function: Callable[[P], R], payloads: Sequence[P], *, gpu: bool = False) -> Iterator[R]:
        """See ``Engine.map``; in the order of the payloads."""
        return map(function, payloads)

    def threads(self, units: int) -> int:
        """See ``Engine.threads``."""
        return self._threads or cores()


class DaskEngine:
    """Units as Dask futures, a bounded number of them at a time.

    workers: as planned from the settings, which decide the threads; fewer may run when there is less to do.
    """

    def __init__(
        self,
        client: Any,
        interrupts: Interrupts,
        *,
        workers: int,
        cores: int,
        threads: int | None,
        slots: bool,
    ) -> None:
        self.workers = workers
        self._client = client
        self._interrupts = interrupts
        self._cores = cores
        self._threads = threads
        self._slots = slots

    def map(self, function: Callable[[P], R], payloads: Sequence[P], *, gpu: bool = False) -> Iterator[R]:
        """See ``Engine.map``."""
        killed: Any = importlib.import_module("distributed.scheduler").KilledWorker
        waiting = iter(payloads)
        pending: set[Any] = set()
        done: SimpleQueue[Any] = SimpleQueue()
        submit = self._submitter(function, gpu)

        def send(count: int) -> None:
            for payload in islice(waiting, count):
                with self._interrupts.held():
                    future = submit(payload)
                    pending.add(future)
                    future.add_done_callback(done.put)

        try:
            # Enough that no worker waits, few enough that a million payloads do not sit on the scheduler.
            send(2 * self.workers + 2)
            while pending:
                future = self._next(done)
                try:
                    outcome = future.result()
                except killed as fault:
                    raise UserError(
                        "A worker died each time it computed the same unit, most likely for want of memory: "
                        "lower engine.workers, or raise engine.memory."
                    ) from fault
                pending.discard(future)
                if isinstance(outcome, _Refusal):
                    raise outcome.error
                send(1)
                yield outcome
        finally:
            if pending and self._client.status == "running":
                self._client.cancel(list(pending), force=True)

    def _next(self, done: SimpleQueue[Any]) -> Any:
        """The next finished future. Raises ``UserError`` when there is nobody left to finish one."""
        attendance = Attendance(self._client)
        while True:
            try:
                return done.get(timeout=_TICK)
            except Empty:
                self._interrupts.check()
                attendance.check()

    def threads(self, units: int) -> int:
        """See ``Engine.threads``."""
        return self._threads or max(1, self._cores // max(1, min(self.workers, units)))

    def _submitter(self, function: Callable[[P], R], gpu: bool) -> Callable[[P], Any]:
        from cloudpickle import dumps

        resources = {"GPU": 1} if gpu and self._slots else None

        def submit(payload: P) -> Any:
            return self._client.submit(
                call, dumps((_run, function, payload)), pure=False, retries=_RETRIES, resources=resources
            )

        return submit


@dataclass(frozen=True)
class _Refusal:
    """A ``UserError`` on its way back: as a result, because a retry would not cure it."""

    error: UserError


def _run(function: Callable[[P], R], payload: P) -> R | _Refusal:
    try:
        return function(payload)
    except UserError as error:
        return _Refusal(error)


@contextmanager
def open_engine(settings: EngineSettings, *, units_hint: int | None = None) -> Iterator[Engine]:
    """The engine that ``settings`` ask for, closed with its workers at the end of the block.

    units_hint: most units that a stage has to do; no more local workers than that are started. Raises
    ``UserError`` if the scheduler at ``settings.address`` does not answer or GPU slots have no GPU.
    """
    if settings.kind == "loop":
        yield LoopEngine(settings.threads)
    elif settings.address is not None:
        with kept_interrupts() as interrupts, remote_client(settings.address) as client:
            units = sum(client.nthreads().values())
            # What else shares those hosts is not known here: a unit gets one thread unless told otherwise.
            yield DaskEngine(
                client, interrupts, workers=units, cores=1, threads=settings.threads, slots=settings.gpu_slots
            )
    else:
        workers = settings.workers or cores()
        started = workers if units_hint is None else max(1, min(workers, units_hint))
        with (
            kept_interrupts() as interrupts,
            local_client(started, settings.memory, settings.gpu_slots) as client,
        ):
            yield DaskEngine(
                client,
                interrupts,
                workers=workers,
                cores=cores(),
                threads=settings.threads,
                slots=settings.gpu_slots,
            )
