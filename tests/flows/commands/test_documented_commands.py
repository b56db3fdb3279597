"""Every `prefect …` command that the documentation prints is one that Prefect knows, with its flags."""

from __future__ import annotations

import re
import shlex
import uuid
from pathlib import Path

import pytest
import yaml
from documented import ROOT, Command, commands

ID = "00000000-0000-0000-0000-000000000000"
COMMANDS = commands()


def test_the_documentation_has_commands() -> None:
    # If the pages change their form, an empty list must not pass for a good one.
    words = [" ".join(command.words) for command in COMMANDS]
    assert any(text.startswith("prefect --no-prompt deploy --all") for text in words)
    assert any(text.startswith("prefect deployment schedule resume") for text in words)
    assert any(text.startswith("prefect automation create") for text in words)
    assert len(words) >= 12


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_prefect_knows_the_command_and_its_flags(command: Command) -> None:
    from prefect.cli._app import _app

    words = [re.sub(r"\b(RUN_|SCHEDULE_)?ID\b", ID, word) for word in command.words[1:]]
    while words and words[0] in ("--no-prompt", "--prompt"):
        del words[0]
    _app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_files_that_a_command_names_are_there(command: Command) -> None:
    for flag, value in zip(command.words, command.words[1:], strict=False):
        if flag in ("--prefect-file", "--from-file"):
            assert (ROOT / value).is_file(), shlex.join(command.words)


DEPLOYMENTS = ["prefect.yaml", "examples/deployment/nightly.yaml"]


@pytest.mark.parametrize("path", DEPLOYMENTS)
def test_a_deployment_file_lists_every_variable_that_it_uses(path: str) -> None:
    file = yaml.safe_load((ROOT / path).read_text())
    (build,) = file["build"]
    used = set(re.findall(r"\{\{ \$(\w+) \}\}", Path(ROOT / path).read_text()))
    assert set(build["congeal_floors.deployment.require_variables"]["names"]) == used
    assert list(file["pull"][0]) == ["congeal_floors.deployment.check_parameters"]
    assert all(schedule["active"] is False for one in file["deployments"] for schedule in one["schedules"])


def test_both_deployments_run_alike() -> None:
    here, there = (
        yaml.safe_load((ROOT / path).read_text())
        for path in ("prefect.yaml", "examples/deployment/nightly.yaml")
    )
    alike = ("entrypoint", "tags", "enforce_parameter_schema", "work_pool")
    assert {key: here["deployments"][0][key] for key in alike} == {
        key: there["deployments"][0][key] for key in alike
    }
    assert here["pull"] == there["pull"]


@pytest.mark.parametrize(("tag", "seen"), [("congeal-heartbeat", True), ("congeal", False)])
def test_the_automation_looks_at_runs_that_send_heartbeats_alone(tag: str, seen: bool) -> None:
    from prefect.server.events.schemas.automations import EventTrigger
    from prefect.server.events.schemas.events import ReceivedEvent
    from prefect.types._datetime import now

    (automation,) = yaml.safe_load((ROOT / "examples/deployment/dead-runs.yaml").read_text())["automations"]
    trigger = EventTrigger.model_validate(automation["trigger"])
    event = ReceivedEvent(
        occurred=now("UTC"),
        event="prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{ID}"},
        related=[{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}],
        id=uuid.UUID(ID),
    )
    assert trigger.covers(event) is seen
    for path in DEPLOYMENTS:
        for deployment in yaml.safe_load((ROOT / path).read_text())["deployments"]:
            assert "congeal-heartbeat" in deployment["tags"]


def test_the_automation_is_one_that_prefect_takes() -> None:
    from prefect.events.schemas.automations import AutomationCore

    file = yaml.safe_load((ROOT / "examples/deployment/dead-runs.yaml").read_text())
    heartbeat = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"][0]["work_pool"]
    every = int(heartbeat["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    for automation in file["automations"]:
        trigger = AutomationCore.model_validate(automation).trigger
        assert trigger.within.total_seconds() >= 3 * every
