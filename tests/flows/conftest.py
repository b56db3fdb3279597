from __future__ import annotations

from sample_runs import finished, weights

__all__ = ["finished", "weights"]
