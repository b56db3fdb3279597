"""A deployment that names a file of an earlier version: a sentence says what to do, and no run crashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from documented import ROOT
from prefect.client.schemas.responses import DeploymentResponse

from flows.deployment import require_entrypoint
from flows.deployments.entrypoints import missing_file
from infra.errors import UserError

CHECKED = {"congeal_floors.deployment.check_parameters": {}}


def deployment(entrypoint: str, folder: Any = ROOT) -> DeploymentResponse:
    steps = [CHECKED, {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}]
    return DeploymentResponse(
        id=uuid4(), flow_id=uuid4(), name="nightly", entrypoint=entrypoint, pull_steps=steps
    )


def test_a_file_that_has_moved_is_named_with_the_cure() -> None:
    old = deployment("flows/deployments/further_flows.py:new_images")
    with pytest.raises(
        UserError, match=r"nightly names .*further_flows\.py, which is not there.* deploy --all"
    ):
        require_entrypoint(old)


@pytest.mark.parametrize("file", ["prefect.yaml", "examples/deployment/nightly.yaml"])
def test_what_todays_files_name_is_there(file: str) -> None:
    named = [one["entrypoint"] for one in yaml.safe_load((ROOT / file).read_text())["deployments"]]
    assert named
    for entrypoint in named:
        require_entrypoint(deployment(entrypoint))


def test_what_only_a_run_knows_is_not_judged(tmp_path: Path) -> None:
    assert missing_file(deployment("congeal_floors.deployment:collection")) is None
    assert missing_file(deployment("flows/none.py:collection", "{{ clone.directory }}")) is None
    assert missing_file(deployment("flows/none.py:collection", tmp_path)) == str(tmp_path / "flows/none.py")
