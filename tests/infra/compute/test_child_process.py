"""A process beside this one: what it is asked for comes back, or why not, and it is gone at the end."""

from __future__ import annotations

import operator
import os
import signal
import tempfile
from pathlib import Path

import psutil
import pytest

from infra.compute.child_process import ChildProcess
from infra.errors import StorageError, UserError
from infra.storage.location import Location


class UnsendableError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def refuse() -> None:
    raise UnsendableError("no ", "way")


def test_functions_are_called_elsewhere_and_their_errors_come_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ChildProcess(tmp_path) as child:
        process = child(os.getpid)
        assert process != os.getpid()
        assert child(operator.add, [1], [2]) == [1, 2]
        assert child(tempfile.gettempdir) == str(tmp_path)
        with pytest.raises(StorageError, match="There is no protocol s4://"):
            child(Location.parse, "s4://bucket")
        with pytest.raises(ZeroDivisionError) as raised:
            child(operator.truediv, 1, 0)
        assert "Traceback" in raised.value.__notes__[0]
        with pytest.raises(RuntimeError, match="UnsendableError: no way") as unsendable:
            child(refuse)  # what cannot be made again here is told all the same
        assert "Traceback" in unsendable.value.__notes__[0]
        child(print, "said", flush=True)  # which is no answer of a command
        assert child(os.getpid) == process
    assert not psutil.pid_exists(process)
    assert capfd.readouterr() == ("", "said\n")


def test_one_that_dies_is_told_in_a_sentence(tmp_path: Path) -> None:
    with ChildProcess(tmp_path) as child:
        process = child(os.getpid)
        with pytest.raises(UserError, match=rf"ended \(exit code -{signal.SIGKILL.value}\), most likely of"):
            child(os.kill, process, signal.SIGKILL)
    assert not psutil.pid_exists(process)


def test_one_at_work_ends_with_whoever_started_it(tmp_path: Path) -> None:
    child = ChildProcess(tmp_path)
    process = child(os.getpid)
    child.__exit__(KeyboardInterrupt)
    assert not psutil.pid_exists(process)


def test_ctrl_c_of_a_terminal_does_not_reach_it_even_while_it_starts(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with ChildProcess(tmp_path) as child:
        (started,) = set(psutil.Process().children()) - before
        started.send_signal(signal.SIGINT)
        assert child(os.getpid) == started.pid
        started.send_signal(signal.SIGINT)
        assert child(os.getpid) == started.pid
