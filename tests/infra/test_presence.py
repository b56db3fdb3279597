from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra import presence
from infra.errors import StorageError, UserError
from infra.presence import FOLDER, PRUNE, RUN, SILENCE, present
from infra.storage import Location


def leave_sign(place: Location, kind: str, ago: timedelta) -> Location:
    sign = {"kind": kind, "host": "far.away", "process": 7, "seen": (datetime.now(UTC) - ago).isoformat()}
    left = place / FOLDER / f"{kind}-left.json"
    left.write_bytes(json.dumps(sign | {"of a newer congeal": 1}).encode())
    return left


def test_who_is_present_is_seen_and_then_gone(location: Location) -> None:
    with present(location, RUN):
        (name,) = (location / FOLDER).children()
        assert name.startswith("run-")
        assert json.loads((location / FOLDER / name).read_bytes())["process"] > 0
    assert (location / FOLDER).children() == []


def test_runs_do_not_mind_each_other(memory_location: Location) -> None:
    with present(memory_location, RUN), present(memory_location, RUN):
        assert len((memory_location / FOLDER).children()) == 2


@pytest.mark.parametrize(("first", "second"), [(RUN, PRUNE), (PRUNE, RUN), (PRUNE, PRUNE)])
def test_a_pruning_is_alone(memory_location: Location, first: str, second: str) -> None:
    leave_sign(memory_location, first, SILENCE / 2)
    with (
        pytest.raises(
            UserError, match=rf"A {first} is at work in .*process 7 on far.away.*last sign 1[45]\d s ago"
        ),
        present(memory_location, second),
    ):
        pytest.fail("it began")
    # It took its own announcement back, and left the other's.
    assert (memory_location / FOLDER).children() == [f"{first}-left.json"]


@pytest.mark.parametrize("kind", [RUN, PRUNE])
def test_who_has_been_silent_for_long_is_gone(memory_location: Location, kind: str) -> None:
    left = leave_sign(memory_location, kind, SILENCE * 1.1)
    with present(memory_location, PRUNE):
        assert not left.exists()


def test_what_is_no_sign_is_removed(memory_location: Location) -> None:
    (memory_location / FOLDER / "run-x.json").write_bytes(b"nothing")
    with present(memory_location, PRUNE):
        assert len((memory_location / FOLDER).children()) == 1


def test_signs_are_renewed(memory_location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "RENEWAL", 0.001)
    renewed = threading.Event()
    real = presence.Presence.renew

    def renew(self: presence.Presence) -> None:
        real(self)
        renewed.set()

    monkeypatch.setattr(presence.Presence, "renew", renew)
    with present(memory_location, RUN):
        assert renewed.wait(20)


def test_a_store_that_is_away_for_a_while_is_no_end(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "RENEWAL", 0.001)
    calls: list[int] = []
    twice = threading.Event()

    def renew(_: presence.Presence) -> None:
        calls.append(1)
        if len(calls) == 2:
            twice.set()
        raise StorageError("away")

    monkeypatch.setattr(presence.Presence, "renew", renew)
    with present(memory_location, RUN):
        assert twice.wait(20)


def test_a_sign_that_cannot_be_taken_back_spoils_nothing(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(_: Location) -> None:
        raise StorageError("away")

    with present(memory_location, RUN):
        monkeypatch.setattr(Location, "delete", delete)
    assert len((memory_location / FOLDER).children()) == 1
    monkeypatch.undo()


def test_who_was_taken_for_gone_notices(memory_location: Location) -> None:
    with present(memory_location, RUN) as mine:
        mine.require_heard()
        (name,) = (memory_location / FOLDER).children()
        (memory_location / FOLDER / name).delete()
        for _ in range(2):
            with pytest.raises(UserError, match=r"This run gave no sign for 5 minutes.*start it again"):
                mine.require_heard()


def test_who_slept_notices(tmp_path: Path) -> None:
    with present(Location.parse(tmp_path), RUN) as mine:
        mine._last -= SILENCE * 1.1
        with pytest.raises(UserError, match="This run gave no sign"):
            mine.require_heard()
