"""What surrounds the work of a run: copies near by, and what is said before it begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from congeal.settings import load_settings
from flows.runs.job_engine import BesideWorkers, kept_near
from infra.compute.temporary_folders import temporary_folder
from infra.storage import near_copies

S3, HERE = SimpleNamespace(protocol="s3"), SimpleNamespace(protocol="file")


def job(source: Any = S3, most: int = 2**20) -> Any:
    settings = SimpleNamespace(storage=SimpleNamespace(copies=most))
    return SimpleNamespace(source=source, destination=HERE, settings=settings)


def test_copies_are_its_users_alone_and_go_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with kept_near(job()):
        near_copies.keep("a", b"a" * 100, "s3")
        (folder,) = tmp_path.iterdir()
        modes = [oct(place.stat().st_mode & 0o777) for place in (folder, folder / "a")]
        assert modes == ["0o700", "0o600"]
    assert not list(tmp_path.iterdir())


def test_where_no_folder_can_be_made_a_run_does_without_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    with kept_near(job()):
        assert near_copies.active() is None


@pytest.mark.parametrize("asked", [job(most=0), job(source=HERE)])
def test_what_is_near_already_or_not_to_be_copied_has_no_folder(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with kept_near(asked):
        assert near_copies.active() is None
        assert not list(tmp_path.iterdir())


def test_a_run_clears_what_a_killed_plan_or_run_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    monkeypatch.setattr(os, "getpid", lambda: process.pid)  # as if this were the process that was killed
    for kind in ("plan", "copies", "clip", "evaluate"):
        with temporary_folder(kind) as folder:
            left = folder.rename(folder.with_name(f"{folder.name}_"))
            os.utime(left, (0, 0))
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 4
    with kept_near(job(source=HERE)):
        assert not list(tmp_path.iterdir())


def test_an_error_of_the_run_is_not_taken_for_one_of_the_folder() -> None:
    with pytest.raises(OSError, match="the run's"), kept_near(job()):
        raise OSError("the run's")


@pytest.mark.parametrize(
    ("images", "said"), [(12, []), (9_600, ["9,600 images found: the backbone is made ready"])]
)
def test_what_takes_long_before_the_first_stage_is_said(images: int, said: list[str]) -> None:
    lines: list[str] = []
    found: Any = SimpleNamespace(images=images)
    BesideWorkers(lines.append).begin(found, load_settings(None, [], environ={}))
    assert lines == said
