"""How libraries behave on a command line, where the user has not said; before they are imported."""

from __future__ import annotations

import os
import sys

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


class _NoPandas:
    """Finds no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """See ``importlib.abc.MetaPathFinder``."""
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def pyarrow_by_itself() -> None:
    """Have pyarrow do without pandas, whose import is a third of a command that reads a table.

    It looks for pandas when it makes its first array, and need not find it then: who imports pandas later, or
    asks a table for a DataFrame, gets both as usual. Until then nanoseconds are no Timestamps of pandas', and
    a Series would be taken for any sequence. Nothing happens in a process that uses one of the two already.
    """
    if "pyarrow" in sys.modules or "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


def _settle(defaults: dict[str, str]) -> None:
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
