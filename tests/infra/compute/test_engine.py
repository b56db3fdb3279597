from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.compute.cores import cores
from infra.compute.dask_clients import local_client
from infra.compute.engine import SMALL, DaskEngine, Engine, LoopEngine, in_process, open_engine
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
    results.close()  # type: ignore[attr-defined]


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


def test_a_local_cluster_with_gpu_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    settings = EngineSettings(workers=3, gpu_slots=True)
    with open_engine(settings, images=2) as engine:
        assert isinstance(engine, DaskEngine)
        # What is left to do changes the workers, not the threads.
        assert len(engine._client.nthreads()) == 2
        assert engine.workers == 3
        assert engine.threads(10) == max(1, cores() // 3)

        def device(_: int = 0) -> str:
            return os.environ["CUDA_VISIBLE_DEVICES"]

        assert set(engine.map(device, range(8), gpu=True)) == {"7"}
        devices = engine._client.run(device)
        assert sorted(devices.values()) == ["", "7"]


def test_gpu_slots_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with (
        pytest.raises(UserError, match=r"engine\.gpu_slots is true, but there is no GPU"),
        open_engine(EngineSettings(gpu_slots=True)),
    ):
        pass


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


def test_a_cluster_that_all_workers_have_left_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import distributed

    monkeypatch.setattr("infra.compute.worker_watch.LOOK", 0.05)
    monkeypatch.setattr("infra.compute.worker_watch.PATIENCE", 0.2)
    place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "n_workers": 0}
    with (
        distributed.LocalCluster(processes=False, protocol="tcp://", **place) as empty,
        distributed.Client(empty, set_as_default=False) as client,
        pytest.raises(UserError, match=r"All Dask workers have been gone for 0 s: .* nothing that is done"),
    ):
        list(DaskEngine(client, Interrupts(), workers=1, cores=1, threads=None, slots=False).map(abs, [-1]))


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.compute.dask_clients._CONNECT", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(UserError, match=f"No Dask scheduler answers at {address}: check"),
            open_engine(EngineSettings(address=address)),
        ):
            pass


def test_a_memory_limit_that_is_none() -> None:
    with (
        pytest.raises(UserError, match=r"engine\.memory cannot be 'much': write 4GiB or auto"),
        open_engine(EngineSettings(memory="much")),
    ):
        pass


def test_too_little_memory_is_said_before_a_worker_is_started() -> None:
    with (
        pytest.raises(UserError, match=r"has 668 MiB .* needs at least 768 MiB .*raise engine\.memory"),
        open_engine(EngineSettings(kind="dask", memory="700MB", workers=1)),
    ):
        pass


def test_workers_that_die_while_they_start_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    tries: list[int] = []

    def dies(*_: object, **__: object) -> None:
        tries.append(1)
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "SpecCluster", dies)
    with (
        pytest.raises(
            UserError, match=r"The 1 workers could not be started in 3 tries \(Nanny failed to start\)"
        ),
        open_engine(EngineSettings(kind="dask", workers=1)),
    ):
        pass
    assert len(tries) == 3


def test_a_worker_that_dies_once_while_it_starts_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    real, tries = distributed.SpecCluster, []

    def dies_once(*args: Any, **options: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("Nanny failed to start.")
        return real(*args, **options)

    monkeypatch.setattr(distributed, "SpecCluster", dies_once)
    with open_engine(EngineSettings(kind="dask", workers=1)) as engine:
        assert list(engine.map(abs, [-3])) == [3]


PROGRAM = """
import sys
from infra.compute.engine import open_engine
from infra.compute.worker_death import Killed
from infra.errors import UserError
from infra.settings import EngineSettings

def main():
    with open_engine(EngineSettings(workers=2)) as engine:
        print(sum(engine.map(abs, range(-50, 0))))
        raise UserError("Enough.")

if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error)
"""


def test_nothing_but_our_own_words_reaches_the_terminal(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1275\nEnough.\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py"]


def test_logging_is_as_before(dask: Engine) -> None:
    assert logging.getLogger().level == logging.WARNING


ENDLESS = """
import signal
import threading
from infra.compute.engine import open_engine
from infra.settings import EngineSettings

def wait(number):
    threading.Event().wait()

def main():
    with open_engine(EngineSettings(workers=2)) as engine:
        print("ready", flush=True)
        list(engine.map(wait, range(4)))

if __name__ == "__main__":
    # As a terminal starts it: what a shell runs in the background inherits that SIGINT is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize(
    ("said", "shown"), [("Closed comm <x> while trying to write y", False), ("Lost", True)]
)
def test_a_client_that_has_gone_is_no_news(said: str, shown: bool, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("distributed.scheduler")
    with local_client(1, "auto", False):
        log.critical(said)
    assert (said in caplog.text) is shown
    log.critical("Closed comm of somebody else's")
    assert "somebody else's" in caplog.text


def test_ctrl_c_ends_everything_without_noise(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, str(program)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            # As a terminal does: to the workers as well.
            os.killpg(process.pid, signal.SIGINT)
            assert process.communicate(timeout=60)[0] == "interrupted\n"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0


def test_as_many_cores_as_dask_counts() -> None:
    from dask.system import CPU_COUNT

    assert cores() == CPU_COUNT


def test_a_small_job_is_done_here_with_the_threads_that_it_would_have_among_workers() -> None:
    with open_engine(EngineSettings(), images=SMALL) as engine:
        assert isinstance(engine, LoopEngine)
        assert list(engine.map(lambda _: os.getpid(), range(3))) == [os.getpid()] * 3
        among_workers = DaskEngine(
            None, Interrupts(), workers=cores(), cores=cores(), threads=None, slots=False
        )
        assert [engine.threads(n) for n in range(9)] == [among_workers.threads(n) for n in range(9)]


@pytest.mark.parametrize(
    ("asked", "images", "here"),
    [
        ({}, SMALL, True),
        ({}, SMALL + 1, False),
        ({}, None, False),
        ({"threads": 1}, 3, True),
        ({"kind": "dask"}, 3, False),
        ({"kind": "loop"}, 10**6, True),
        ({"workers": 2}, 3, False),
        ({"memory": "2GiB"}, 3, False),
        ({"gpu_slots": True}, 3, False),
        ({"address": "tcp://elsewhere:8786"}, 3, False),
    ],
)
def test_what_only_workers_have_asks_for_workers(
    asked: dict[str, Any], images: int | None, here: bool
) -> None:
    assert in_process(EngineSettings(**asked), images) is here


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
