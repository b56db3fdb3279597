from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.compute.cores import cores
from infra.compute.engine import DaskEngine, Engine, LoopEngine, open_engine
from infra.compute.sigint import Interrupts
from infra.compute.worker_death import Killed
from infra.errors import SettingsError, UserError
from infra.settings import EngineSettings

# Functions are made inside the tests: those travel to workers by value, wherever this module lies.


@pytest.fixture(scope="module")
def dask() -> Iterator[Engine]:
    with open_engine(EngineSettings(workers=2)) as engine:
        yield engine


@pytest.fixture(params=["loop", "dask"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "loop":
        return LoopEngine()
    engine: Engine = request.getfixturevalue("dask")
    return engine


def test_every_payload_is_worked_on_once(engine: Engine) -> None:
    assert sorted(engine.map(lambda number: number * number, range(100))) == [n * n for n in range(100)]
    assert list(engine.map(abs, [])) == []


def test_the_loop_keeps_the_order_and_the_process() -> None:
    assert list(LoopEngine().map(lambda number: (number, os.getpid()), [3, 1, 2])) == [
        (number, os.getpid()) for number in (3, 1, 2)
    ]


def test_units_run_in_other_processes(dask: Engine) -> None:
    pids = set(dask.map(lambda _: os.getpid(), range(20)))
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_equal_payloads_are_separate_units(engine: Engine) -> None:
    assert list(engine.map(lambda text: text, ["same"] * 5)) == ["same"] * 5


def test_a_user_error_crosses_with_its_sentence_and_type(engine: Engine) -> None:
    def refuse(number: int) -> int:
        if number == 3:
            raise SettingsError("The setting x.y cannot be 3: it should be 4.")
        return number

    with pytest.raises(SettingsError) as caught:
        list(engine.map(refuse, range(10)))
    assert str(caught.value) == "The setting x.y cannot be 3: it should be 4."


def test_a_user_error_is_not_tried_again(engine: Engine, tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        (folder / f"try-{len(list(folder.iterdir()))}").touch()
        raise UserError("No.")

    with pytest.raises(UserError):
        list(engine.map(refuse, [tmp_path]))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_user_error_stops_the_rest(dask: Engine, tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / str(number)).touch()
        if number == 0:
            raise UserError("No.")
        return number

    with pytest.raises(UserError):
        list(dask.map(work, range(500)))
    assert len(list(tmp_path.iterdir())) < 100
    assert list(dask.map(abs, [-1])) == [1]


def test_another_error_keeps_its_type(engine: Engine) -> None:
    def fail(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        list(engine.map(fail, [0]))


def test_a_unit_that_fails_in_passing_is_tried_again(dask: Engine, tmp_path: Path) -> None:
    def flaky(folder: Path) -> int:
        tries = len(list(folder.iterdir()))
        (folder / str(tries)).touch()
        if tries < 2:
            raise RuntimeError("in passing")
        return tries

    assert list(dask.map(flaky, [tmp_path])) == [2]


def test_a_killed_workers_unit_runs_again(dask: Engine, tmp_path: Path) -> None:
    def die_once(number: int) -> int:
        mark = tmp_path / "died"
        if number == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert sorted(dask.map(die_once, range(12))) == list(range(12))
    assert (tmp_path / "died").exists()


def test_what_kills_its_worker_comes_back_and_the_rest_goes_on(dask: Engine, tmp_path: Path) -> None:
    def die(number: int) -> int:
        if number == 5:
            (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 6:
            raise MemoryError
        return number

    found = list(dask.map(die, range(12)))
    killed = {outcome.payload: outcome.deaths for outcome in found if isinstance(outcome, Killed)}
    # What was on its way to the same worker each time is suspect, too, and will be tried apart.
    assert set(killed) >= {5, 6}
    assert set(killed.values()) == {2}
    assert {outcome for outcome in found if not isinstance(outcome, Killed)} | set(killed) == set(range(12))
    assert len(list(tmp_path.iterdir())) == 2
    assert list(dask.map(abs, [-3])) == [3]


def test_threads_of_workers_hardly_spin_while_they_wait(dask: Engine) -> None:
    def spins(_: int) -> str | None:
        return os.environ.get("GOMP_SPINCOUNT")

    assert set(dask.map(spins, range(4))) == {"1000"}


def test_only_a_bounded_number_of_units_waits_on_the_scheduler(dask: Engine) -> None:
    taken = 0

    class Payloads(list[int]):
        def __iter__(self) -> Iterator[int]:
            nonlocal taken
            for number in range(1000):
                taken += 1
                yield number

    results = dask.map(abs, Payloads())
    next(results)
    assert taken < 20
    results.close()


@pytest.mark.parametrize(
    ("workers", "units", "threads"), [(2, 1, 4), (2, 2, 2), (2, 100, 2), (8, 100, 1), (3, 3, 1), (4, 0, 4)]
)
def test_threads_follow_from_the_total_of_units(workers: int, units: int, threads: int) -> None:
    engine = DaskEngine(None, Interrupts(), workers=workers, cores=4, threads=None, slots=False)
    assert engine.threads(units) == threads
    assert (
        DaskEngine(None, Interrupts(), workers=workers, cores=4, threads=3, slots=False).threads(units) == 3
    )


def test_the_loop_has_all_threads() -> None:
    assert LoopEngine().threads(100) == cores() >= 1
    assert LoopEngine(threads=1).threads(100) == 1


def test_the_kind_decides() -> None:
    with open_engine(EngineSettings(kind="loop", threads=3)) as engine:
        assert isinstance(engine, LoopEngine)
        assert engine.threads(1) == 3


class _Client:
    """Stands for a Dask client; notes what is submitted."""

    status = "closed"

    def __init__(self) -> None:
        self.submitted: list[dict[str, Any]] = []

    def submit(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.submitted.append(options)
        return _Unfinished()


class _Unfinished:
    """A Dask future that never ends."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        pass


@pytest.mark.parametrize(
    ("slots", "gpu", "resources"), [(True, True, {"GPU": 1}), (True, False, None), (False, True, None)]
)
def test_gpu_units_take_a_slot_where_there_are_slots(
    slots: bool, gpu: bool, resources: dict[str, int] | None
) -> None:
    client = _Client()
    interrupts = Interrupts()
    engine = DaskEngine(client, interrupts, workers=1, cores=1, threads=None, slots=slots)
    # As a Ctrl-C leaves it whose exception got lost.
    interrupts.pending = True
    with pytest.raises(KeyboardInterrupt):
        list(engine.map(abs, [1], gpu=gpu))
    assert client.submitted == [{"pure": False, "retries": 2, "resources": resources}]


def test_an_existing_scheduler_by_address(dask: Engine) -> None:
    assert isinstance(dask, DaskEngine)
    dask._client.wait_for_workers(2)
    address = dask._client.scheduler.address
    with open_engine(EngineSettings(address=address)) as engine:
        assert engine.workers == 2
        assert engine.threads(1) == 1
        assert sorted(engine.map(abs, [-1, -2])) == [1, 2]
    assert list(dask.map(abs, [-3])) == [3]


def test_logging_is_as_before(dask: Engine) -> None:
    assert logging.getLogger().level == logging.WARNING


def test_workers_are_forked_from_one_process(dask: Engine) -> None:
    (parent,) = set(dask.map(lambda _: os.getppid(), range(20)))
    assert parent != os.getpid()
    assert "forkserver" in " ".join(psutil.Process(parent).cmdline())


def test_a_defect_comes_back_where_it_is_asked_for(engine: Engine) -> None:
    found = list(engine.map(inverse, [1, 0, 2], defects=True))
    (killed,) = [one for one in found if isinstance(one, Killed)]
    assert killed.payload == 0
    assert isinstance(killed.error, ZeroDivisionError)
    assert sorted(one for one in found if not isinstance(one, Killed)) == [0.5, 1.0]


def inverse(number: int) -> float:
    return 1 / number
