from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runs.prefect_profile import _in_profiles as in_profiles
from flows.runs.prefect_profile import _in_working_directory as in_working_directory
from infra.errors import UserError

ROOT = Path(__file__).parents[3]
SERVER = "http://127.0.0.1:4299/api"
PROFILES = f"""
active = "{{active}}"
[profiles.here]
PREFECT_SERVER_EPHEMERAL_ENABLED = "true"
[profiles.there]
PREFECT_API_URL = "{SERVER}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has never used Prefect."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}


def asked(where: Path, environment: dict[str, str], **more: str) -> tuple[bool, bool]:
    """Whether a server is named, and whether Prefect had to be imported to know."""
    where.mkdir(exist_ok=True)
    code = (
        "import sys; from flows.runs.prefect_profile import server_named; "
        "print(server_named(), 'prefect' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=where,
        env=environment | more,
        capture_output=True,
        text=True,
        check=True,
    )
    named, imported = done.stdout.split()[-2:]
    return named == "True", imported == "True"


def test_nobody_names_a_server(tmp_path: Path, environment: dict[str, str]) -> None:
    here = tmp_path / "work"
    here.mkdir()
    (here / "pyproject.toml").write_text('[project]\nname = "mine"\n[tool.other]\nurl = "http://x"\n')
    (here / ".env").write_text("SOMETHING=else\n")
    assert asked(here, environment) == (False, False)


def test_a_profile_that_is_not_active_names_none(tmp_path: Path, environment: dict[str, str]) -> None:
    home = tmp_path / "home" / ".prefect"
    home.mkdir(parents=True)
    (home / "profiles.toml").write_text(PROFILES.format(active="here"))
    assert asked(tmp_path / "work", environment) == (False, False)


@pytest.mark.prefect
@pytest.mark.parametrize(
    "place", ["variable", "profile", "chosen", "folder", "file", ".env", "prefect", "pyproject"]
)
def test_a_server_is_named(tmp_path: Path, environment: dict[str, str], place: str) -> None:
    here, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    home = tmp_path / "home" / ".prefect"
    for folder in (here, elsewhere, home):
        folder.mkdir(parents=True)
    active = "here" if place == "chosen" else "there"
    where = {"folder": elsewhere, "file": elsewhere}.get(place, home)
    more = {
        "variable": {"PREFECT_API_URL": SERVER},
        "chosen": {"PREFECT_PROFILE": "there"},
        "folder": {"PREFECT_HOME": str(elsewhere)},
        "file": {"PREFECT_PROFILES_PATH": str(elsewhere / "profiles.toml")},
    }.get(place, {})
    if place in ("profile", "chosen", "folder", "file"):
        (where / "profiles.toml").write_text(PROFILES.format(active=active))
    elif place == ".env":
        (here / ".env").write_text(f"PREFECT_API_URL={SERVER}\n")
    elif place == "prefect":
        (here / "prefect.toml").write_text(f'[api]\nurl = "{SERVER}"\n')
    elif place == "pyproject":
        (here / "pyproject.toml").write_text(f'[tool.prefect.api]\nurl = "{SERVER}"\n')
    assert asked(here, environment, **more) == (True, True)


def test_a_profile_named_by_variable_wins(tmp_path: Path, environment: dict[str, str]) -> None:
    home = tmp_path / "home" / ".prefect"
    home.mkdir(parents=True)
    (home / "profiles.toml").write_text(PROFILES.format(active="there"))
    assert asked(tmp_path / "work", environment, PREFECT_PROFILE="here") == (False, False)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("prefect.toml", "api = 5", False),
        ("pyproject.toml", 'tool = "prefect"', False),
        ("pyproject.toml", '[tool]\nprefect = "x"', False),
        ("pyproject.toml", '[tool]\nprefect.api.url = "http://x/api"', True),
        ("pyproject.toml", "broken = # tool.prefect", False),
        ("profiles.toml", 'profiles = "x"\nactive = "x"', True),
        ("profiles.toml", 'active = ["a"]', False),
        ("profiles.toml", 'active = "a"\n[profiles]\na = 5', False),
    ],
)
def test_settings_of_other_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, named: bool
) -> None:
    """Where a profile is unknown Prefect is asked; what cannot hold a URL names none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    assert (any(in_working_directory()) or in_profiles({"PREFECT_HOME": str(tmp_path)})) is named


def test_a_settings_file_that_is_no_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles.toml").write_text("this is no TOML")
    with pytest.raises(UserError, match=r"profiles\.toml cannot be read .*: correct the file or remove it"):
        in_profiles({"PREFECT_HOME": str(tmp_path)})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("somebody else's, broken")
    assert not any(in_working_directory())
