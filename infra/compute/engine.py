"""Where units of work run: on Dask, or in a plain loop. The caller's code is the same."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from congeal_floors import call
from infra.compute.cores import cores
from infra.compute.dask_clients import local_client, remote_client
from infra.compute.numeric_libraries import settle_allocator
from infra.compute.sigint import Interrupts, kept_interrupts
from infra.compute.worker_death import Killed, exhausted
from infra.compute.worker_watch import Attendance
from infra.errors import UserError
from infra.settings import EngineSettings

P = TypeVar("P")
R = TypeVar("R")

_RETRIES = 2
# Images of a job that is done in this process: to start workers costs more than they would gain.
SMALL = 32
TRIES = 2  # a worker may die for reasons of its own
_TICK = 0.25  # seconds between two looks at interrupts and workers


class Engine(Protocol):
    """Runs units of work."""

    @property
    def workers(self) -> int:
        """Units that run at once."""
        ...

    def map(
        self,
        function: Callable[[P], R],
        payloads: Iterable[P],
        *,
        gpu: bool = False,
        tries: int = TRIES,
        defects: bool = False,
    ) -> Iterator[R | Killed[P]]:
        """``function`` of every payload, as they complete.

        payloads: taken one by one, when there is room for another. function: of a module, payloads and
        results small: they may cross to another process. gpu: each takes a GPU slot where there are slots.
        For a payload with which a worker has died, or memory run out, ``tries`` times, a ``Killed`` comes
        back. The first error of another kind is raised at once and the rest cancelled; with ``defects``
        one that is no ``UserError`` comes back as a ``Killed``, too, after as many tries.
        """
        ...

    def threads(self, units: int) -> int:
        """Threads of torch for each unit of a stage with ``units`` units in all, done ones included.

        The total decides, never what is left, so that a resumed run computes the same bits.
        """
        ...


class LoopEngine:
    """One unit after the other in this process.

    workers: as many as share the cores; more than one where a unit is to have the threads, and so the bits,
    that it would have among workers.
    """

    def __init__(self, threads: int | None = None, workers: int = 1) -> None:
        self.workers = 1
        self._sharing = workers
        self._threads = threads

    def map(
        self,
        function: Callable[[P], R],
        payloads: Iterable[P],
        *,
        gpu: bool = False,
        tries: int = TRIES,
        defects: bool = False,
    ) -> Iterator[R | Killed[P]]:
        """See ``Engine.map``; in the order of the payloads. This process itself has to live."""
        for payload in payloads:
            for deaths in range(1, tries + 1):
                try:
                    outcome = _run(function, payload)
                except Exception as error:
                    if not defects:
                        raise
                    if deaths == tries:
                        yield Killed(payload, deaths, error)
                    continue
                if isinstance(outcome, _Refusal):
                    raise outcome.error
                if not isinstance(outcome, _Exhausted):
                    yield outcome
                    break
                if deaths == tries:
                    yield Killed(payload, deaths)

    def threads(self, units: int) -> int:
        """See ``Engine.threads``."""
        return self._threads or _share(cores(), self._sharing, units)


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

    def map(
        self,
        function: Callable[[P], R],
        payloads: Iterable[P],
        *,
        gpu: bool = False,
        tries: int = TRIES,
        defects: bool = False,
    ) -> Iterator[R | Killed[P]]:
        """See ``Engine.map``. A death counts for whatever was on its way to that worker, too."""
        from distributed.scheduler import KilledWorker

        waiting = iter(payloads)
        pending: dict[Any, tuple[P, int]] = {}  # future: its payload, and how often that has killed before
        done: SimpleQueue[Any] = SimpleQueue()
        submit = self._submitter(function, gpu)

        def send(payload: P, deaths: int = 0) -> None:
            with self._interrupts.held():
                future = submit(payload)
                pending[future] = payload, deaths
                future.add_done_callback(done.put)

        try:
            # Enough that no worker waits, few enough that a million payloads do not sit on the scheduler.
            for payload in islice(waiting, 2 * self.workers + 2):
                send(payload)
            while pending:
                future = self._next(done)
                try:
                    outcome = future.result()
                except KilledWorker as fault:
                    outcome = _Exhausted(deaths=fault.allowed_failures + 1)
                except Exception as error:
                    # Dask has tried it again by itself, wherever there was room.
                    if not defects or future.status != "error":
                        raise
                    outcome = Killed(pending[future][0], tries, error)
                payload, deaths = pending.pop(future)
                if isinstance(outcome, _Refusal):
                    raise outcome.error
                if isinstance(outcome, _Exhausted):
                    deaths += outcome.deaths
                    if deaths < tries:
                        send(payload, deaths)
                        continue
                    outcome = Killed(payload, deaths)
                for fresh in islice(waiting, 1):
                    send(fresh)
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
        return self._threads or _share(self._cores, self.workers, units)

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


@dataclass(frozen=True)
class _Exhausted:
    """Memory ran out, or (then Dask says it) so many workers died."""

    deaths: int = 1


def _run(function: Callable[[P], R], payload: P) -> R | _Refusal | _Exhausted:
    try:
        return function(payload)
    except UserError as error:
        return _Refusal(error)
    except Exception as error:
        if not exhausted(error):
            raise
        # What the frames hold is what there was too much of.
        traceback.clear_frames(error.__traceback__)
        return _Exhausted()


def _share(cores: int, workers: int, units: int) -> int:
    """Threads for each of the units that run at once."""
    return max(1, cores // max(1, min(workers, units)))


def in_process(settings: EngineSettings, images: int | None) -> bool:
    """Whether a job of so many images is done in this process, without workers.

    Of small ones, those for which the settings ask for nothing that only workers have: their number, a limit
    of memory, GPU slots.
    """
    if settings.kind == "loop":
        return True
    asked = settings.workers is not None or settings.memory != "auto" or settings.gpu_slots
    alone = settings.kind == "auto" and settings.address is None and not asked
    return alone and images is not None and images <= SMALL


@contextmanager
def open_engine(
    settings: EngineSettings, *, images: int | None = None, preloaded: Sequence[str] = ()
) -> Iterator[Engine]:
    """The engine that ``settings`` ask for, closed with its workers at the end of the block.

    images: of the job, the most units that a stage has to do; no more local workers than that are started,
    and none for a few (see ``in_process``). preloaded: modules that local workers share. Raises ``UserError``
    if the scheduler at ``settings.address`` does not answer or GPU slots have no GPU.
    """
    if settings.kind == "loop":
        yield LoopEngine(settings.threads)
    elif in_process(settings, images):
        settle_allocator()
        yield LoopEngine(settings.threads, workers=cores())
    elif settings.address is not None:
        with kept_interrupts() as interrupts, remote_client(settings.address) as client:
            units = sum(client.nthreads().values())
            # What else shares those hosts is not known here: a unit gets one thread unless told otherwise.
            yield DaskEngine(
                client, interrupts, workers=units, cores=1, threads=settings.threads, slots=settings.gpu_slots
            )
    else:
        workers = settings.workers or cores()
        started = workers if images is None else max(1, min(workers, images))
        with (
            kept_interrupts() as interrupts,
            local_client(started, settings.memory, settings.gpu_slots, preloaded) as client,
        ):
            yield DaskEngine(
                client,
                interrupts,
                workers=workers,
                cores=cores(),
                threads=settings.threads,
                slots=settings.gpu_slots,
            )
