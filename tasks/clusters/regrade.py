"""Which clusters are graded anew; apart from the grading, whose libraries a run with nothing to do spares."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Regrade(NamedTuple):
    """Clusters whose images are graded anew, newcomers among them: in any case, or if they have changed."""

    always: Collection[str] = ()
    if_changed: Collection[str] = ()
