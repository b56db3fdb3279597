from __future__ import annotations

from prefect_server import prefect_server
from sample_runs import aligned, finished, weights

__all__ = ["aligned", "finished", "prefect_server", "weights"]
