"""Finds Congeal's floors, `flows`, `tasks` and `infra`, whatever else of these names lies on the path.

Their names are generic: a folder `flows/` is the usual layout of a Prefect project, and an `infra.py` or a
`tasks.py` lies beside many a script. So the wheel keeps the floors inside this package, where nobody else's
imports meet them; in a checkout they lie beside it. What needs them asks here first, by a name that is nobody
else's.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["FLOORS", "answer", "call", "claim", "main", "own"]

FLOORS = ("flows", "infra", "tasks")

# `import congeal` waits for this module, so it does without pathlib and pickle.
_HERE = os.path.dirname(__file__)  # noqa: PTH120
# Where each package lies. The floors: inside this one in the wheel, beside it in a checkout.
_BESIDE = os.path.dirname(_HERE)  # noqa: PTH120
_HOMES = {
    name: _HERE if os.path.isdir(os.path.join(_HERE, name)) else _BESIDE  # noqa: PTH112, PTH118
    for name in FLOORS
} | {"congeal": _BESIDE}
_lock = threading.RLock()


class _Finder:
    """Resolves the given names to Congeal's own packages; the path is not looked at for them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        return PathFinder.find_spec(name, [_HOMES[name]]) if name in self.names else None


_everywhere = _Finder(_HOMES)


def own() -> None:
    """Make this process Congeal's: from now on the floors, and `congeal`, are its own packages.

    For the command, its workers and the runs of a deployment. Raises ImportError, with one sentence that
    names the place in the way, if a module of somebody else's has been imported under one of the names.
    """
    _refuse_windows()
    with _lock:
        if _everywhere not in sys.meta_path:
            for name in _HOMES:
                _refuse_foreign(name)
            sys.meta_path.insert(0, _everywhere)


def claim(*names: str) -> None:
    """Import these floors, and leave all other names of this process to whoever else is in it.

    For `congeal.open` in a user's own program. Raises ImportError as ``own`` does.
    """
    _refuse_windows()
    with _lock:
        for name in names:
            if name in sys.modules:
                _refuse_foreign(name)
                continue
            finder = _Finder([name])
            sys.meta_path.insert(0, finder)
            try:
                importlib.import_module(name)
            finally:
                sys.meta_path.remove(finder)


def call(task: bytes) -> Any:
    """Call a pickled (function, argument …) in a process that becomes Congeal's before it is unpickled.

    Dask's scheduler unpickles what it is given, and workers may be started by others, anywhere: so all that
    they have to find by its name is this module.
    """
    import pickle

    own()
    function, *arguments = pickle.loads(task)  # noqa: S301  made by this run's own client
    return function(*arguments)


def answer(pipe: Any, task: bytes) -> None:
    """Call a pickled task in a process that was started for it, and send what it returns.

    The process ends when nobody is there any more who reads the pipe.
    """
    import signal
    from contextlib import suppress

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever has asked answers a Ctrl-C
    threading.Thread(target=_end_unread, args=(pipe.fileno(),), daemon=True).start()
    with suppress(BrokenPipeError):
        pipe.send(call(task))


def _end_unread(pipe: int) -> None:
    import select

    reader = select.poll()
    reader.register(pipe, 0)  # for errors, of which one is that nobody reads
    reader.poll()
    os._exit(1)


def main() -> None:
    """The entry point `congeal`."""
    # Half a run that finds everything done is imports: nothing is garbage in them, and no plugin of pydantic
    # is looked for among all packages that are installed, unless one is asked for.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        own()
    except ImportError as fault:
        sys.exit(f"error: {fault}")
    process_exit = importlib.import_module("flows.console.process_exit")
    process_exit.run_to_exit(lambda: importlib.import_module("flows.cli").main())


def _refuse_windows() -> None:
    if os.name == "nt":
        raise ImportError(
            "Congeal's runs and destinations need Linux (docs/installation.md says why): on Windows, use the "
            "Windows Subsystem for Linux."
        )


def _refuse_foreign(name: str) -> None:
    module = sys.modules.get(name)
    if module is None:
        return
    places = [module.__file__] if getattr(module, "__file__", None) else list(getattr(module, "__path__", ()))
    home = os.path.realpath(os.path.join(_HOMES[name], name))  # noqa: PTH118
    if any(os.path.realpath(place).startswith(home + os.sep) for place in places if place):
        return
    place = str(places[0]).removesuffix(f"{os.sep}__init__.py") if places else "another module"
    raise ImportError(
        f"Congeal needs its own package {name!r}, and in this process {place} is imported under that name: "
        "rename it, or use Congeal in a process of its own.",
        name=name,
        path=place,
    )
