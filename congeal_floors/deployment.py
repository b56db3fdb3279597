"""What deployments name: `congeal_floors.deployment:collection`, found wherever Congeal is installed.

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from congeal_floors import own

# Flows, and where they are; everything else is a step of the deployment files.
_FLOWS = {
    "collection": "flows.collection",
    "new_images": "flows.further_flows",
    "resolve": "flows.further_flows",
    "verification": "flows.further_flows",
    "report": "flows.further_flows",
}


def __getattr__(name: str) -> Any:
    # A dunder is asked for by whoever looks at modules, not by a deployment.
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    own()
    return getattr(importlib.import_module(_FLOWS.get(name, "flows.deployment")), name)
