from __future__ import annotations

from sample_runs import aligned, finished, weights

__all__ = ["aligned", "finished", "weights"]
