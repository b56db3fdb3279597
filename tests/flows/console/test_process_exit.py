"""How a command's process ends: as Python's own would, but for the unloading of libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import atexit, sys, threading, time
from flows.console.process_exit import run_to_exit

class Library:
    def __del__(self):
        print("unloaded")

library = Library()

def command():
    atexit.register(print, "registered")
    print("answer")
    threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
    {end}

run_to_exit(command)
"""


def ended(end: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT.format(end=end)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        command, cwd=ROOT, env=buffered, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('error: a sentence')", 1, "error: a sentence\n"),
    ],
)
def test_threads_and_exit_functions_come_first_and_nothing_is_unloaded(
    end: str, code: int, said: str
) -> None:
    done = ended(end)
    assert (done.returncode, done.stderr) == (code, said)
    assert done.stdout.split() == ["answer", "thread", "registered"]


def test_an_error_that_nobody_caught_ends_as_ever() -> None:
    done = ended("raise RuntimeError('of the command')")
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: of the command\n")
    assert done.stdout.split() == ["answer", "thread", "registered", "unloaded"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_answer_that_cannot_be_written_is_no_success() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = ended("pass", stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 120
    assert "No space left on device" in done.stderr
