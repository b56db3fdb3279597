"""What a machine keeps between runs is whole, this user's own, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from congeal.backbones.cache_folder import VARIABLE, keep, kept, mapped, unread


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_kept_is_found_by_its_name_alone(cache: Path) -> None:
    assert kept("models", "one", 10) is None
    keep("models", "one", b"content")
    assert kept("models", "one", 10) == b"content"
    assert kept("models", "another", 10) is None
    assert kept("others", "one", 10) is None
    keep("models", "one", b"newer")
    assert kept("models", "one", 10) == b"newer"
    assert [path.name for path in (cache / "models").iterdir()] == ["one"]


def test_a_file_beyond_what_is_expected_is_not_read() -> None:
    keep("models", "one", b"content")
    assert kept("models", "one", 6) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files here")
@pytest.mark.parametrize("place", ["models", "models/one"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_may_have_written_is_not_looked_at(cache: Path, place: str, mode: int) -> None:
    keep("models", "one", b"content")
    (cache / place).chmod((cache / place).stat().st_mode | mode)
    assert kept("models", "one", 10) is None


def test_what_cannot_be_put_in_its_place_leaves_nothing_behind(cache: Path) -> None:
    (cache / "models" / "one").mkdir(parents=True)
    (cache / "models" / "one" / "inside").touch()
    keep("models", "one", b"content")
    assert [path.name for path in (cache / "models").iterdir()] == ["one"]
    assert kept("models", "one", 10) is None


def test_a_file_is_mapped_and_read_again_after_its_memory_went(cache: Path) -> None:
    content = bytes(range(256)) * 64
    assert mapped("models", "one", 2**20) is None
    keep("models", "one", content)
    keep("models", "empty", b"")
    found = mapped("models", "one", 2**20)
    assert found is not None
    assert found.tobytes() == content
    part = found[32:]
    unread(part)
    assert part.tobytes() == content[32:]
    part[0] ^= 255  # which the file does not see
    assert kept("models", "one", 2**20) == content
    assert mapped("models", "empty", 2**20) is None
    assert mapped("models", "one", 100) is None
    (cache / "models/one").chmod(0o666)
    assert mapped("models", "one", 2**20) is None
