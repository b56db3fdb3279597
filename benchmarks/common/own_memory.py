"""Work whose memory does not count: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def apart(act: Callable[[], object]) -> None:
    """Do something in a process of its own, so that this one's memory does not show it."""
    child = os.fork()
    if not child:
        act()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def answer_of(script: str, *arguments: object) -> Any:
    """What a script prints as JSON, in a process of its own, so that its peak of memory is that of one case.

    Linux counts what the process that starts it holds at that time: it imports little before.
    """
    command = [sys.executable, script, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
