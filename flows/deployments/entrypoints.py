"""Where a deployment's flow lies, as far as its steps tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

_GO_TO = "prefect.deployments.steps.set_working_directory"


def missing_file(deployment: DeploymentResponse) -> str | None:
    """The file that a deployment names as its flow's, if it is not there: a newer version has moved it.

    None where it is there, where a module is named instead, and where only a run knows the folder (a clone).
    """
    file, _, _ = (deployment.entrypoint or "").rpartition(":")
    steps = [named for step in deployment.pull_steps or [] for named in step.items()]
    folders = [Path(str(arguments.get("directory", ""))) for name, arguments in steps if name == _GO_TO]
    if not file.endswith(".py") or len(folders) != 1 or not folders[0].is_dir():
        return None
    place = folders[0] / file
    return None if place.is_file() else str(place)
