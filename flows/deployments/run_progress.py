"""How far a run is, on Prefect's pages: a progress artifact a stage, and a log line an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import Logger, LoggerAdapter
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError

from infra.compute.progress import Advance, Progress

UPDATE_EVERY = 5.0  # seconds between two reports of a stage to the server

# What a stage does, in the words of the README's drawing.
DOES = {
    "catalog": "who is an image, who is not",
    "features": "what the backbone sees in every image",
    "clusters": "sets that show one kind of thing each",
    "atlases": "every set aligned jointly",
    "index": "where every point is, in tables",
    "publish": "the new version, for all readers at once",
}


class RunProgress(Progress):
    """Progress of a flow run. What a terminal would show goes into the run's log.

    A report that does not arrive is no reason for a run to end: it is left out, and the log
    says so once a stage.
    """

    def __init__(self, as_json: bool = False) -> None:
        super().__init__(quiet=True, as_json=as_json)
        self._flow_logger = get_run_logger()

    @contextmanager
    def stage(self, name: str, total: int | None = None, done: int = 0) -> Iterator[Advance]:
        """See `Progress.stage`; beside it a bar on the page of the run."""
        bar = _Bar(name, total, done, self._flow_logger)
        with super().stage(name, total, done) as advance:

            def both(count: int) -> None:
                advance(count)
                bar.advance(count)

            yield both
        bar.finish()

    def _write(self, line: str) -> None:
        try:
            get_run_logger().info(line)  # of the stage's task run, if there is one
        except MissingContextError:
            # A thread that was started outside: the flow's own.
            self._flow_logger.info(line)


class _Bar:
    """The progress artifact of a stage; never more than a report every few seconds."""

    def __init__(self, name: str, total: int | None, done: int, logger: Logger | LoggerAdapter[Any]) -> None:
        self._name, self._total, self._seen = name, total, done
        self._told = time.monotonic()
        self._logger, self._warned = logger, False
        self._id: Any = self._reported(
            lambda: create_progress_artifact(self._percent(), description=self._description())
        )

    def advance(self, count: int) -> None:
        """So many items more."""
        self._seen += count
        if time.monotonic() - self._told >= UPDATE_EVERY:
            self._update(self._percent())

    def finish(self) -> None:
        """All items are done."""
        self._update(100.0)

    def _update(self, percent: float) -> None:
        self._told = time.monotonic()
        if isinstance(self._id, UUID):
            where: UUID = self._id
            self._reported(lambda: update_progress_artifact(where, percent, self._description()))

    def _percent(self) -> float:
        return 100.0 * min(1.0, self._seen / self._total) if self._total else 0.0

    def _description(self) -> str:
        stage = self._name.partition(",")[0]
        what = f" ({DOES[stage]})" if stage in DOES else ""
        of = f" of {self._total:,}" if self._total is not None else ""
        return f"{self._name}{what}: {self._seen:,}{of}"

    def _reported(self, report: Callable[[], Any]) -> Any:
        """What a report comes back with; None, and one line in the log, if the server does not take it."""
        try:
            return report()
        except Exception as error:  # whatever the server has: a page is no reason for a run to fail
            if not self._warned:
                self._warned = True
                self._logger.warning(
                    "The progress of %s is not on the page of the run (%s: %s).",
                    self._name, type(error).__name__, error,
                )  # fmt: skip
            return None
