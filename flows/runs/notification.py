"""What is told at the end of a run: one event for machines, to a webhook or as an event of Prefect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from congeal.settings import NotifySettings, Settings
from infra.errors import BudgetSpentError, SettingsError, UserError
from infra.storage.image_source import without_credentials

EVENT = "congeal.run.finished"
FORMAT = 1
_COUNTS = ("images", "clusters", "failed_clusters", "outliers", "drifting", "left_out")


def require_url(settings: NotifySettings) -> None:
    """Raise SettingsError for a `notify.url` that is none; its words are not repeated, they may be secret."""
    if settings.url is None:
        return
    try:
        parts = urlsplit(settings.url.get_secret_value())
        sound = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise SettingsError("The setting notify.url is no web address: give one with http:// or https://.")


@contextmanager
def told(settings: Settings, source: str, destination: str, warn: Callable[[str], None]) -> Iterator[Told]:
    """Tell of the run in the block how it ended, also if it fails; whoever runs hands its facts over."""
    outcome = Told()
    try:
        yield outcome
    except Exception as error:
        sentence = str(error) if isinstance(error, UserError) else type(error).__name__
        told = failed_event(source, destination, sentence)
        if isinstance(error, BudgetSpentError):
            told["outcome"] = "stopped"
        tell(settings.notify, told, warn)
        raise
    if outcome.facts is not None:
        tell(settings.notify, event(outcome.facts), warn)


class Told:
    """The facts of a run that has ended; None before that."""

    facts: dict[str, Any] | None = None


def event(facts: dict[str, Any]) -> dict[str, Any]:
    """The event of a run that has ended well."""
    report = facts.get("report")
    return {
        "event": EVENT,
        "format": FORMAT,
        "outcome": "up-to-date" if facts["up_to_date"] else "done",
        "source": without_credentials(facts["source"]),
        "destination": without_credentials(facts["destination"]),
        "version": facts["version"],
        "report": None if report is None else without_credentials(report),
        **{name: facts[name] for name in _COUNTS},
        "passed_over": facts["passed_over_count"],
        "cost": facts.get("cost"),
        "seconds": facts["seconds"],
        "stages": [
            {name: one[name] for name in ("stage", "seconds", "units_made", "units_skipped")}
            for one in facts["stages"]
        ],
    }


def failed_event(source: str, destination: str, sentence: str) -> dict[str, Any]:
    """The event of a run that has failed."""
    places = {"source": source, "destination": destination}
    for place in places.values():
        sentence = sentence.replace(place, without_credentials(place))
    return {
        "event": EVENT,
        "format": FORMAT,
        "outcome": "failed",
        **{name: without_credentials(place) for name, place in places.items()},
        "error": sentence,
    }


def tell(settings: NotifySettings, content: dict[str, Any], warn: Callable[[str], None]) -> None:
    """Send an event wherever the settings ask for; what cannot be sent is a warning, never an error."""
    if settings.url is not None:
        try:
            _post(settings.url.get_secret_value(), content, settings.timeout)
        except Exception as error:  # the run is done, whatever the receiver does
            reason = getattr(error, "reason", None) or type(error).__name__
            host = urlsplit(settings.url.get_secret_value()).hostname
            warn(f"notify.url: the event could not be sent to {host} ({reason}); the run is not concerned.")
    if settings.prefect_event:
        try:
            _emit(content)
        except Exception as error:
            warn(f"notify.prefect_event: no event could be emitted ({type(error).__name__}).")


def _post(url: str, content: dict[str, Any], timeout: float) -> None:
    import base64
    import http.client
    from urllib.parse import unquote

    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
    connection = connect(str(parts.hostname), parts.port, timeout=timeout)
    headers = {"Content-Type": "application/json", "User-Agent": "congeal"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, json.dumps(content, default=str).encode(), headers)
        answer = connection.getresponse()
        answer.read(1_024)
        if answer.status >= 300:
            raise _RefusedError(f"it answered {answer.status}")
    finally:
        connection.close()


class _RefusedError(Exception):
    """The receiver answered with something else than that it took the event."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _emit(content: dict[str, Any]) -> None:
    from prefect.events import emit_event

    resource = {"prefect.resource.id": f"congeal.destination.{content['destination']}"}
    for name in (EVENT, *_alarms(content)):
        emit_event(name, resource=resource, payload=content)


def _alarms(content: dict[str, Any]) -> Iterator[str]:
    """Events for automations, which cannot look into a payload: see infra/monitoring/automations.yaml."""
    if content.get("images", {}).get("failed") or content.get("failed_clusters"):
        yield "congeal.images.failed"
    if content.get("drifting"):
        yield "congeal.clusters.drifting"
    if content.get("outcome") == "stopped":
        yield "congeal.budget.spent"
