from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest

from infra.ledger.provenance import PeakMemory, Provenance, Stopwatch, code_version, peak_memory_bytes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    now = [100.0]
    monkeypatch.setattr("infra.ledger.provenance.time.perf_counter", lambda: now[0])
    return now


def test_phases_add_up(clock: list[float]) -> None:
    watch = Stopwatch()
    for seconds in (1.0, 2.5):
        with watch.phase("decode"):
            clock[0] += seconds
    with watch.phase("solve"):
        clock[0] += 1.0
    clock[0] += 0.5
    assert watch.timings == {"decode": 3.5, "solve": 1.0}
    assert watch.seconds == 5.0


def test_a_phase_that_fails_counts(clock: list[float]) -> None:
    watch = Stopwatch()

    def fail() -> None:
        with watch.phase("x"):
            clock[0] += 2.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert watch.timings == {"x": 2.0}


def test_threads_lose_nothing() -> None:
    watch = Stopwatch()

    def add() -> None:
        for _ in range(1000):
            watch.add("x", 1.0)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.timings == {"x": 8000.0}


def test_provenance_says_when_where_and_what_it_cost(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch.phase("b"):
        clock[0] += 1.0
    watch.add("a", 2.0)
    facts = Provenance.of(watch)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", facts.started)
    assert facts.seconds == 1.0
    assert list(facts.timings.items()) == [("a", 2.0), ("b", 1.0)]
    assert facts.host
    assert facts.python.startswith("3.")
    assert facts.peak_memory_bytes == pytest.approx(peak_memory_bytes(), rel=0.2)
    assert Provenance.of(watch, peak=7).peak_memory_bytes == 7
    assert facts.code_version == code_version() != ""


def test_peak_memory_of_this_process() -> None:
    before = peak_memory_bytes()
    block = bytearray(before + 64 * 2**20)
    assert peak_memory_bytes() >= before + 32 * 2**20
    del block
    assert peak_memory_bytes() >= before + 32 * 2**20


def test_peak_memory_counts_children() -> None:
    program = "import sys; x = bytearray(120 * 2**20); print('ready', flush=True); sys.stdin.read()"
    with PeakMemory() as alone:
        pass
    with PeakMemory(interval=0.01) as memory:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        seen = threading.Event()
        while memory.bytes < alone.bytes + 100 * 2**20 and not seen.wait(0.01):
            pass
        child.communicate()
    assert memory.bytes >= alone.bytes + 100 * 2**20
