"""Workers that are forked from a process which has imported what units need.

Each would else import torch for itself, for seconds, and have its own copy in memory. In the process that is
forked nothing runs but imports: it has one thread, no connection to a store and no model.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
from collections.abc import Sequence

from infra.compute.numeric_libraries import ALLOCATOR, THREADS
from infra.compute.sigint import kept_from_children
from infra.compute.temporary_folders import socket_folder

# First, so that the floors are found.
_FIRST = "congeal_floors.first"


def preload(modules: Sequence[str]) -> None:
    """Settle what is imported before workers are forked."""
    import distributed.utils

    # Dask has a list of its own, made when it first asks for a context: imports of this process, pandas among
    # them, for the sake of its tests.
    vars(distributed.utils)["_forkserver_preload_set"] = True
    multiprocessing.get_context("forkserver").set_forkserver_preload([_FIRST, *modules])


def start(modules: Sequence[str]) -> None:
    """Start the process that workers are forked from, unless it runs.

    It has the variables that Dask would give it: its C library reads them once, and workers have what it has.
    Raises UserError if there is no place for its socket.
    """
    preload(modules)
    _settle_sockets()
    given = {name: str(value) for name, value in (THREADS | ALLOCATOR).items() if name not in os.environ}
    os.environ.update(given)
    try:
        # Before the block: its start lets SIGINT through again.
        multiprocessing.resource_tracker.ensure_running()
        with kept_from_children():
            multiprocessing.forkserver.ensure_running()
    finally:
        for name in given:
            del os.environ[name]


def _settle_sockets() -> None:
    """Where multiprocessing has its sockets: its own folder, pymp-…, says of no process whose it is."""
    settled = vars(multiprocessing.current_process())["_config"]
    if settled.get("tempdir") is None:
        settled["tempdir"] = str(socket_folder())
