from __future__ import annotations

from prefect_server import prefect_server
from sample_runs import finished, weights

__all__ = ["finished", "prefect_server", "weights"]
