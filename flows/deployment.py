"""Steps of the deployment files: what is looked at when a deployment is made, and before each of its runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID

from flows.runs.parameters import checked
from infra.errors import UserError


def require_variables(names: Sequence[str]) -> None:
    """Build step: end `prefect deploy`, with exit code 1, if one of the environment variables has no value.

    Prefect stores `{{ $NAME }}` as it stands if the variable is not set where a deployment is made.
    """
    if missing := [name for name in names if not os.environ.get(name, "").strip()]:
        are = "is" if len(missing) == 1 else "are"
        _stop(f"{' and '.join(missing)} {are} not set: export {' and '.join(missing)} and deploy again.")


def check_parameters() -> None:
    """Pull step: end a run as Failed, with one sentence, if what it was started with cannot be run.

    Prefect's server takes names that the flow does not have; the run's process would end over them before
    the flow begins, as Crashed and without a name.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import Failed

    run = UUID(os.environ["PREFECT__FLOW_RUN_ID"])
    with get_client(sync_client=True) as client:
        try:
            asked = client.read_flow_run(run)
            checked(asked.parameters, client.read_flow(asked.flow_id).name)
        except UserError as error:
            client.set_flow_run_state(run, Failed(message=str(error)))
            # The run has its state; Prefect stops here, and does not call it Crashed any more.
            raise


def _stop(sentence: str) -> NoReturn:
    # An exception would be shown as a traceback of Prefect's, three screens long.
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    raise SystemExit(1)
