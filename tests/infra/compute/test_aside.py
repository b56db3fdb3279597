"""A call in a process of its own: its result, its errors, its death."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

import pytest

from congeal_floors import answer
from infra.compute.aside import Aside
from infra.errors import UserError

aside = Aside((), "It died: give it memory.")


class UnsendableError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def refuse(kind: str) -> None:
    raise {"user": UserError("Name another."), "strange": UnsendableError("a", "b")}[kind]


def test_a_call_is_made_in_another_process() -> None:
    assert aside(os.getpid) != os.getpid()
    assert aside(pow, 3, 4) == 81


def test_errors_come_back() -> None:
    with pytest.raises(UserError, match="Name another"):
        aside(refuse, "user")
    with pytest.raises(RuntimeError, match="UnsendableError: a"):
        aside(refuse, "strange")


def test_a_process_that_dies_is_one_sentence() -> None:
    with pytest.raises(UserError, match="It died: give it memory"):
        aside(os._exit, 3)


def test_variables_stay_as_they_are() -> None:
    before = dict(os.environ)
    assert aside(os.getppid) != os.getpid()
    assert dict(os.environ) == before


INTERRUPTED = """
import signal
from infra.compute.aside import Aside

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        Aside(["interrupts_all"], "It died.")(abs, -1)
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_while_modules_are_loaded_is_answered_here_alone(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(INTERRUPTED)
    (tmp_path / "interrupts_all.py").write_text("import os, signal\nos.killpg(0, signal.SIGINT)\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert (done.stdout, done.returncode) == ("interrupted\n", 0)


def test_a_call_ends_when_nobody_waits_for_it_any_more() -> None:
    mine, theirs = Pipe(duplex=False)
    process = multiprocessing.get_context("forkserver").Process(
        target=answer, args=(theirs, pickle.dumps((signal.pause,)))
    )
    process.start()
    theirs.close()
    mine.close()
    process.join(60)
    assert process.exitcode == 1
