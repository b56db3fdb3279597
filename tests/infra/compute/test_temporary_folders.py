from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from infra.compute import temporary_folders
from infra.compute.temporary_folders import clear_temporary_folders, socket_folder, temporary_folder
from infra.errors import UserError


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is /tmp elsewhere."""
    place = tmp_path / "short"
    place.mkdir()
    monkeypatch.setattr(temporary_folders, "SHORT", str(place))
    monkeypatch.setattr(temporary_folders, "LONGEST", len(str(place)) + 103)
    return place


@pytest.fixture
def scratch(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "usual"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_goes_with_its_block(scratch: Path) -> None:
    with temporary_folder("engine") as folder:
        assert folder.parent == scratch
        assert str(os.getpid()) in folder.name
        clear_temporary_folders(age=0)
        assert folder.is_dir()
    assert not folder.exists()


def test_where_none_can_be_made_a_sentence_says_so(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(scratch / "none"))
    with pytest.raises(UserError, match=r"No temporary folder can be made .* set TMPDIR"), temporary_folder():
        pass


def test_what_a_killed_process_left_goes_once_it_is_old(scratch: Path) -> None:
    left = [scratch / f"congeal-{gone()}-ab_c1", scratch / f"congeal-engine-{gone()}-xyz"]
    others = [scratch / "congeal-notes", scratch / f"other-{gone()}-x", scratch / "congeal-99999999999999-x"]
    for folder in (*left, *others[:2]):
        (folder / "inner").mkdir(parents=True)
    assert clear_temporary_folders() == 0
    assert clear_temporary_folders(age=0) == 2
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in others[:2])


def killed(*, asked_for: bool = True) -> subprocess.Popen[bytes]:
    """A process that made a folder of its own and was killed."""
    code = (
        "import sys; sys.path[:] = eval(sys.argv[1]); import tempfile; tempfile.tempdir = sys.argv[2]\n"
        "from infra.compute.temporary_folders import temporary_folder\n"
        "with temporary_folder('copies'): print('there', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, repr(sys.path), tempfile.gettempdir()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as alive, process.stdout as told:
        assert told.readline() == b"there\n"
        assert clear_temporary_folders() == 0  # while it lives
        process.kill()
        if asked_for:
            process.wait()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not alive.closed
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say when a process began")
@pytest.mark.parametrize("asked_for", [True, False])
def test_what_was_killed_a_moment_ago_goes_at_once(scratch: Path, asked_for: bool) -> None:
    process = killed(asked_for=asked_for)
    (left,) = scratch.iterdir()
    (left / "copy").write_bytes(b"1")
    assert clear_temporary_folders() == 1
    assert not list(scratch.iterdir())
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say when a process began")
def test_the_first_folder_of_a_process_clears_those_of_killed_ones(scratch: Path) -> None:
    killed()
    (left,) = scratch.iterdir()
    code = (
        "import sys; sys.path[:] = eval(sys.argv[1]); import tempfile; tempfile.tempdir = sys.argv[2]\n"
        "from infra.compute.temporary_folders import temporary_folder\n"
        "from pathlib import Path\n"
        "with temporary_folder('report') as mine: print([*Path(sys.argv[2]).iterdir()] == [mine])"
    )
    command = [sys.executable, "-c", code, repr(sys.path), str(scratch)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True\n"
    assert not left.exists()


def test_folders_that_outlive_a_kill_say_whose_they_are() -> None:
    root = Path(__file__).parents[3]
    others = [
        str(path.relative_to(root))
        for floor in ("infra", "tasks", "flows", "congeal")
        for path in (root / floor).rglob("*.py")
        if re.search(r"\b(mkdtemp|TemporaryDirectory)\(", path.read_text("utf-8"))
    ]
    # The science knows no storage; those of a SLEAP file have names as others do, see the test of the format.
    assert sorted(others) == ["congeal/transfer/formats/sleap.py", "infra/compute/temporary_folders.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say when a process began")
def test_a_number_that_another_process_has_now_keeps_no_folder(scratch: Path) -> None:
    with temporary_folder("copies") as mine:
        kind, began = f"congeal-copies-{os.getpid()}-", mine.name.split("-")[3]
        place = mine.name.split("-")[4]
        earlier = scratch / f"{kind}{int(began) - 1}-{place}-x"
        elsewhere = scratch / f"{kind}{int(began) - 1}-{'0' * 8}-x"  # in a container whose /tmp this is, too
        earlier.mkdir()
        elsewhere.mkdir()
        assert clear_temporary_folders() == 1
        assert not earlier.exists()
        assert elsewhere.exists()
        assert mine.exists()


def test_a_folder_of_another_container_goes_when_it_is_old(scratch: Path) -> None:
    left = scratch / f"congeal-copies-{gone()}-123-{'0' * 8}-x"
    left.mkdir()
    assert clear_temporary_folders() == 0
    os.utime(left, (0, 0))
    assert clear_temporary_folders() == 1


def test_sockets_lie_where_their_paths_are_short_enough(
    scratch: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert socket_folder().parent == scratch
    far = scratch / "a-long-way-down" / ("x" * 100)
    far.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(far))
    near = socket_folder()
    assert near.parent == short
    assert re.fullmatch(rf"congeal-sockets-{os.getpid()}-.*", near.name)
    kept = near.with_name(near.name.replace(f"-{os.getpid()}-", f"-{gone()}-"))
    kept.mkdir()
    assert clear_temporary_folders(age=0) == 1  # of a process that was killed
    assert near.is_dir()
    monkeypatch.setattr(temporary_folders, "SHORT", str(scratch / "nowhere"))
    with pytest.raises(UserError, match=r"set TMPDIR to a folder with a short path"):
        socket_folder()


def test_what_multiprocessing_needs_for_workers_lies_in_a_folder_of_ours(scratch: Path) -> None:
    code = (
        "import sys; sys.path[:] = eval(sys.argv[1])\n"
        "from infra.compute.forked_workers import start\n"
        "from multiprocessing.util import get_temp_dir\n"
        "start([]); print(get_temp_dir(), flush=True); sys.stdin.read()"
    )
    place = tempfile.mkdtemp(prefix="c", dir="/tmp")  # short, as a socket's path has to be
    try:
        environment = os.environ | {"TMPDIR": place}
        with subprocess.Popen(
            [sys.executable, "-c", code, repr(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            assert process.stdout is not None
            used = Path(process.stdout.readline().decode().strip())
            left = [path.name for path in Path(place).iterdir()]
            process.communicate()
        assert used.parent == Path(place)
        assert left == [used.name]
        assert re.fullmatch(rf"congeal-sockets-{process.pid}-.*", used.name)
        assert not list(Path(place).iterdir())
    finally:
        shutil.rmtree(place)
