"""What deployments name: `congeal_floors.deployment:collection`, found wherever Congeal is installed.

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from congeal_floors import own

_FLOW = "collection"


def __getattr__(name: str) -> Any:
    # A dunder is asked for by whoever looks at modules, not by a deployment.
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    own()
    return getattr(importlib.import_module(f"flows.{_FLOW if name == _FLOW else 'deployment'}"), name)
