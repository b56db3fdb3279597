"""How libraries behave on a command line, where the user has not said; before they are imported."""

from __future__ import annotations

import os

_LIBRARIES = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_VERBOSITY": "critical",
    "DASK_LOGGING__DISTRIBUTED": "error",
    # Its sampling of other threads' frames can hang a worker for good on Python 3.11 (cpython#106883).
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}


def quiet_libraries() -> None:
    """Settle it for those that any run may use."""
    _settle(_LIBRARIES)


def quiet_prefect() -> None:
    """Settle it for Prefect."""
    _settle(_PREFECT)


def _settle(defaults: dict[str, str]) -> None:
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
