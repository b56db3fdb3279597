from __future__ import annotations

import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.compute.cores import cores
from infra.compute.dask_clients import ANSWER, local_client
from infra.compute.engine import SMALL, DaskEngine, LoopEngine, in_process, open_engine
from infra.compute.sigint import Interrupts
from infra.errors import UserError
from infra.settings import EngineSettings


def test_a_local_cluster_with_gpu_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    settings = EngineSettings(workers=3, gpu_slots=True)
    with open_engine(settings, images=2) as engine:
        assert isinstance(engine, DaskEngine)
        # One that dies of what else the machine does is there again after a moment.
        engine._client.wait_for_workers(2, timeout=120)
        # What is left to do changes the workers, not the threads.
        assert len(engine._client.nthreads()) == 2
        assert engine.workers == 3
        assert engine.threads(10) == max(1, cores() // 3)

        def device(_: int = 0) -> str:
            return os.environ["CUDA_VISIBLE_DEVICES"]

        assert set(engine.map(device, range(8), gpu=True)) == {"7"}
        engine._client.wait_for_workers(2, timeout=120)
        devices = engine._client.run(device)
        assert sorted(devices.values()) == ["", "7"]


def test_gpu_slots_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with (
        pytest.raises(UserError, match=r"engine\.gpu_slots is true, but there is no GPU"),
        open_engine(EngineSettings(gpu_slots=True)),
    ):
        pass


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


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("infra.compute.dask_clients.ANSWER", 0.2)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if kind == "silent":  # it takes connections, and never says a word
            place.listen()
        address = f"tcp://127.0.0.1:{place.getsockname()[1]}"
        with (
            pytest.raises(UserError, match=f"No Dask scheduler answers at {address}: check"),
            open_engine(EngineSettings(address=address)),
        ):
            pass


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_something_else_that_answers_is_called_so(says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:

        def answer() -> None:
            caller, _ = place.accept()
            with caller:
                caller.sendall(says)
                caller.recv(1)

        address = f"tcp://127.0.0.1:{place.getsockname()[1]}"
        with ThreadPoolExecutor(1) as aside:
            said = aside.submit(answer)
            with (
                pytest.raises(UserError, match=f"^What answers at {address} is no Dask scheduler: check"),
                open_engine(EngineSettings(address=address)),
            ):
                pass
            said.result()


def test_whoever_has_told_dask_how_long_to_wait_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    waited: list[float] = []

    async def connect(_: str, timeout: float, **__: Any) -> None:
        waited.append(timeout)
        raise OSError

    monkeypatch.setattr("distributed.comm.core.connect", connect)
    for told in ({}, {"distributed.comm.timeouts.connect": "90s"}):
        with (
            dask.config.set(told),
            pytest.raises(UserError, match=r"No Dask scheduler answers"),
            open_engine(EngineSettings(address="tcp://127.0.0.1:1")),
        ):
            pass
    assert waited == [ANSWER, 90.0]


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
            UserError, match=r"The 1 worker could not be started in 3 tries \(Nanny failed to start\)"
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
