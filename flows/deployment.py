"""Steps of the deployment files: what is looked at when a deployment is made, and before each of its runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

from flows.deployments.entrypoints import missing_file
from flows.runs.parameters import checked
from infra.errors import UserError

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse


def require_variables(names: Sequence[str]) -> None:
    """Build step: end `prefect deploy`, with exit code 1, if one of the environment variables has no value.

    Prefect stores `{{ $NAME }}` as it stands if the variable is not set where a deployment is made.
    """
    if missing := [name for name in names if not os.environ.get(name, "").strip()]:
        are = "is" if len(missing) == 1 else "are"
        _stop(f"{' and '.join(missing)} {are} not set: export {' and '.join(missing)} and deploy again.")


def check_parameters() -> None:
    """Pull step: end a run as Failed, with one sentence, if what it was started with cannot be run.

    Prefect's server takes names that the flow does not have, and keeps naming a file that a newer version
    has elsewhere; the run's process would end over them before the flow begins, as Crashed.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import Failed

    run = UUID(os.environ["PREFECT__FLOW_RUN_ID"])
    with get_client(sync_client=True) as client:
        try:
            asked = client.read_flow_run(run)
            if asked.deployment_id is not None:
                require_entrypoint(client.read_deployment(asked.deployment_id))
            checked(asked.parameters, client.read_flow(asked.flow_id).name)
        except UserError as error:
            client.set_flow_run_state(run, Failed(message=str(error)))
            # The run has its state; Prefect stops here, and does not call it Crashed any more.
            raise


def require_entrypoint(deployment: DeploymentResponse) -> None:
    """UserError if the file that a deployment names as its flow's is not there any more."""
    if (file := missing_file(deployment)) is not None:
        raise UserError(
            f"The deployment {deployment.name} names {file}, which is not there, as after an update that "
            "has moved it: deploy it again (`prefect --no-prompt deploy --all`)."
        )


def _stop(sentence: str) -> NoReturn:
    # An exception would be shown as a traceback of Prefect's, three screens long.
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    raise SystemExit(1)
