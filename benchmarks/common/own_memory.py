"""Work whose memory does not count: in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable


def apart(act: Callable[[], object]) -> None:
    """Do something in a process of its own, so that this one's memory does not show it."""
    child = os.fork()
    if not child:
        act()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
