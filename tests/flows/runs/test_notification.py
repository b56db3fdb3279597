"""What a webhook is told at the end of a run, and that nothing it does concerns the run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sample_runs import chosen, folder, photographs, weights
from typer.testing import CliRunner

from congeal.settings import NotifySettings, Settings, recorded
from flows.cli import app
from flows.runs import notification
from flows.runs.notification import event, failed_event, require_url, tell, told
from infra.errors import BudgetSpentError, SettingsError, UserError

__all__ = ["weights"]


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.status = 204


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(receiver: Receiver, more: str = "") -> str:
    return f"http://user:p%40ss@127.0.0.1:{receiver.server_port}/hook?key=secret{more}"


FACTS: dict[str, Any] = {
    "up_to_date": False, "source": "https://me:pw@host/p?sig=1", "destination": "s3://bucket/d", "version": 3,
    "report": "s3://bucket/d/report/index.html", "images": {"ok": 5, "failed": 1, "duplicate": 0},
    "clusters": 2, "failed_clusters": 0, "outliers": 1, "left_out": 0, "passed_over_count": 7, "seconds": 1.5,
    "drifting": [{"cluster_id": "c1", "n_new": 3, "drift": 1.5}],
    "cost": {"price": 0.25, "currency": "USD"},
    "stages": [{"stage": "catalog", "seconds": 1.0, "units_made": 1, "units_skipped": 0, "timings": {}}],
}  # fmt: skip


def test_an_event_has_counts_places_and_no_secrets() -> None:
    found = event(FACTS)
    assert (found["event"], found["outcome"], found["version"]) == ("congeal.run.finished", "done", 3)
    assert found["source"] == "https://host/p"
    assert found["images"] == {"ok": 5, "failed": 1, "duplicate": 0}
    assert found["drifting"][0]["drift"] == 1.5
    assert found["stages"] == [{"stage": "catalog", "seconds": 1.0, "units_made": 1, "units_skipped": 0}]
    assert found["cost"] == {"price": 0.25, "currency": "USD"}
    assert event({**FACTS, "up_to_date": True, "cost": None})["cost"] is None
    lost = failed_event(FACTS["source"], "d", f"{FACTS['source']} does not exist: check it.")
    assert (lost["outcome"], lost["error"]) == ("failed", "https://host/p does not exist: check it.")
    assert "pw" not in json.dumps([found, lost])


def test_it_is_posted_and_a_refusal_is_a_line(receiver: Receiver) -> None:
    lines: list[str] = []
    tell(NotifySettings(url=url(receiver)), event(FACTS), lines.append)
    (path, headers, body), *_ = receiver.got
    assert (path, headers["Content-Type"]) == ("/hook?key=secret", "application/json")
    assert headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert body == event(FACTS)
    assert lines == []
    for status in (302, 500):
        receiver.status = status
        tell(NotifySettings(url=url(receiver)), {}, lines.append)
        assert lines.pop() == (
            f"notify.url: the event could not be sent to 127.0.0.1 (it answered {status}); the run is not "
            "concerned."
        )
    assert len(receiver.got) == 3  # redirections are not followed
    tell(NotifySettings(url="http://127.0.0.1:9/hook?key=secret"), {}, lines.append)
    assert "ConnectionRefusedError" in lines[0]
    assert "secret" not in lines[0]
    tell(NotifySettings(), {}, lines.append)
    assert len(lines) == 1


@pytest.mark.parametrize("text", ["file:///etc/passwd", "ftp://host/x", "hook", "http://", "https://[x"])
def test_only_the_web_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match=r"notify\.url is no web address") as refused:
        require_url(NotifySettings(url=text))
    assert len(text) < 8 or text not in str(refused.value)


def test_prefect_gets_an_event_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    emitted: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "prefect.events.emit_event", lambda name, **more: emitted.append({"name": name, **more})
    )
    tell(NotifySettings(prefect_event=True), event(FACTS), pytest.fail)
    assert emitted[0]["name"] == notification.EVENT
    assert all(one["payload"]["version"] == 3 for one in emitted)
    lines: list[str] = []
    monkeypatch.setattr("prefect.events.emit_event", lambda *_, **__: 1 / 0)
    tell(NotifySettings(prefect_event=True), event(FACTS), lines.append)
    assert lines == ["notify.prefect_event: no event could be emitted (ZeroDivisionError)."]


def test_runs_tell_how_they_ended(tmp_path: Path, weights: Path, receiver: Receiver) -> None:
    source, out = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    settings = chosen(weights, "report.enabled=false", f"notify.url={url(receiver)}")
    command = ["run", str(source), str(out), "--quiet", *(f"--set={one}" for one in settings)]
    receiver.status = 500
    for _ in range(2):
        assert CliRunner().invoke(app, command).exit_code == 0
    assert CliRunner().invoke(app, ["run", str(tmp_path / "none"), *command[2:]]).exit_code == 1
    done, same, lost = (body for _, _, body in receiver.got)
    assert (done["outcome"], done["images"]["ok"], done["clusters"]) == ("done", 4, 1)
    assert (same["outcome"], same["version"]) == ("up-to-date", 1)
    assert lost["outcome"] == "failed"
    assert "does not exist" in lost["error"]
    for path in (out / "published").rglob("*.json"):
        assert "secret" not in path.read_text()
        assert "notify" not in path.read_text()
    assert "secret" not in json.dumps(recorded(load(settings)))


def load(settings: list[str]) -> Any:
    from congeal.settings import load_settings

    return load_settings(None, settings, environ={})


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"images": {"ok": 3, "failed": 0}, "failed_clusters": 0, "drifting": []}, []),
        ({"images": {"ok": 3, "failed": 1}, "failed_clusters": 0, "drifting": []}, ["congeal.images.failed"]),
        ({"images": {"ok": 3, "failed": 0}, "failed_clusters": 2, "drifting": []}, ["congeal.images.failed"]),
        (
            {"images": {"failed": 0}, "failed_clusters": 0, "drifting": [{"cluster_id": "c1"}]},
            ["congeal.clusters.drifting"],
        ),
        ({"outcome": "stopped"}, ["congeal.budget.spent"]),
    ],
)
def test_alarms_are_events_of_their_own(
    more: dict[str, Any], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted: list[str] = []
    monkeypatch.setattr("prefect.events.emit_event", lambda name, **_: emitted.append(name))
    tell(NotifySettings(prefect_event=True), {"destination": "s3://bucket/atlases"} | more, pytest.fail)
    assert emitted == [notification.EVENT, *names]


def test_a_spent_budget_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(notification, "tell", lambda _, content, __: sent.append(content))
    with pytest.raises(UserError), told(Settings(), "s", "d", pytest.fail):
        raise BudgetSpentError("The budget is spent.")
    assert sent[0]["outcome"] == "stopped"
