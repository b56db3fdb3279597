import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.compute.sigint import kept_interrupts


class _Interrupted:
    """Ctrl-C is pressed while Python runs a callback whose exceptions go nowhere."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def terminal() -> object:
    """SIGINT as a terminal has it: a shell's background jobs inherit that it is ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def test_an_interrupt_that_python_throws_away(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: lost.append(fault.exc_type))
    with kept_interrupts() as interrupts:
        interrupts.check()
        _Interrupted()
        assert lost == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()


def test_an_interrupt_is_raised_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt), kept_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_waits_while_it_is_held() -> None:
    made: list[str] = []

    def make() -> None:
        signal.raise_signal(signal.SIGINT)
        made.append("whole")

    with kept_interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.held():
            make()
        with interrupts.held():
            made.append("undisturbed")
        with pytest.raises(ValueError, match="its own"), interrupts.held():
            raise ValueError("its own")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert made == ["whole", "undisturbed"]


def test_where_signals_cannot_be_handled_nothing_changes() -> None:
    def handler() -> object:
        with kept_interrupts() as interrupts:
            assert not interrupts.pending
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(handler).result() is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert handler() is signal.SIG_IGN
