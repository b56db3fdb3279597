from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from infra.compute.temporary_folders import clear_temporary_folders, temporary_folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


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


def test_what_a_killed_process_left_goes_once_it_is_old(scratch: Path) -> None:
    left = [scratch / f"congeal-{gone()}-ab_c1", scratch / f"congeal-engine-{gone()}-xyz"]
    others = [scratch / "congeal-notes", scratch / f"other-{gone()}-x", scratch / "congeal-99999999999999-x"]
    for folder in (*left, *others[:2]):
        (folder / "inner").mkdir(parents=True)
    assert clear_temporary_folders() == 0
    assert clear_temporary_folders(age=0) == 2
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in others[:2])
