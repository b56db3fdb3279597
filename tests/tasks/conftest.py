from __future__ import annotations

from growing import story
from sample_runs import finished, weights

__all__ = ["finished", "story", "weights"]
