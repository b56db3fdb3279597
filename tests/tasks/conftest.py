from __future__ import annotations

from growing import story
from sample_runs import aligned, finished, weights

__all__ = ["aligned", "finished", "story", "weights"]
