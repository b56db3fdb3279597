"""The progress of a stage on the page of a run whose server takes no reports."""

from __future__ import annotations

import logging

import pytest

from flows.deployments import run_progress


def test_a_server_that_takes_no_reports_stops_nothing_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the server")

    monkeypatch.setattr(run_progress, "create_progress_artifact", refused)
    monkeypatch.setattr(run_progress, "update_progress_artifact", refused)
    monkeypatch.setattr(run_progress, "UPDATE_EVERY", 0.0)
    bar = run_progress._Bar("features", 3, 0, logging.getLogger("a run"))
    for _ in range(3):
        bar.advance(1)
    bar.finish()
    assert [record.getMessage() for record in caplog.records] == [
        "The progress of features is not on the page of the run (ConnectionError: no route to the server)."
    ]
