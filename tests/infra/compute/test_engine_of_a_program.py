from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

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
    with TemporaryDirectory() as scratch:  # not below tmp_path: names of sockets are short
        environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": scratch}
        done = subprocess.run(
            [sys.executable, "-W", "error", str(program)],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("1275\nEnough.\n", "")
        assert list(Path(scratch).rglob("*")) == []
    assert [path.name for path in tmp_path.rglob("*")] == ["program.py"]


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
