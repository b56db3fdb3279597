from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import StorageError, UserError
from infra.ledger import run_lock
from infra.ledger.run_lock import FOLDER, PRUNE, RUN, SILENCE, locked
from infra.storage.location import Location

# How long ago the store has written an object, by name; None: not told.
AGES: dict[str, timedelta | None] = {}


@pytest.fixture(autouse=True)
def _ages() -> Iterator[None]:
    AGES.clear()
    real = Location.modified

    def modified(place: Location) -> datetime | None:
        name = place.url.rpartition("/")[2]
        if name not in AGES:
            return real(place)
        ago = AGES[name]
        return None if ago is None else datetime.now(UTC) - ago

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Location, "modified", modified)
        yield


def leave_heartbeat(place: Location, kind: str, ago: timedelta) -> Location:
    heartbeat = {
        "kind": kind,
        "host": "far.away",
        "process": 7,
        "seen": (datetime.now(UTC) - ago).isoformat(),
    }
    left = place / FOLDER / f"{kind}-left.json"
    left.write_bytes(json.dumps(heartbeat | {"of a newer congeal": 1}).encode())
    AGES[f"{kind}-left.json"] = ago
    return left


def test_who_is_present_is_seen_and_then_gone(location: Location) -> None:
    with locked(location, RUN):
        (name,) = (location / FOLDER).children()
        assert name.startswith("run-")
        assert json.loads((location / FOLDER / name).read_bytes())["process"] > 0
    assert (location / FOLDER).children() == []


def test_runs_do_not_exclude_each_other(memory_location: Location) -> None:
    with locked(memory_location, RUN), locked(memory_location, RUN):
        assert len((memory_location / FOLDER).children()) == 2


@pytest.mark.parametrize(("first", "second"), [(RUN, PRUNE), (PRUNE, RUN), (PRUNE, PRUNE)])
def test_a_pruning_is_alone(memory_location: Location, first: str, second: str) -> None:
    leave_heartbeat(memory_location, first, SILENCE / 2)
    with (
        pytest.raises(
            UserError, match=rf"A {first} is at work in .*process 7 on far.away.*last heartbeat 1[45]\d s ago"
        ),
        locked(memory_location, second),
    ):
        pytest.fail("it began")
    # It took its own announcement back, and left the other's.
    assert (memory_location / FOLDER).children() == [f"{first}-left.json"]


@pytest.mark.parametrize("kind", [RUN, PRUNE])
def test_who_has_been_silent_for_long_is_gone(memory_location: Location, kind: str) -> None:
    left = leave_heartbeat(memory_location, kind, SILENCE * 1.1)
    with locked(memory_location, PRUNE):
        assert not left.exists()


WRONG = {
    "no JSON": b"nothing",
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "other keys": b'{"a": 1}',
    "a number for the time": b'{"kind": "run", "host": "h", "process": 1, "seen": 5}',
    "huge": b"{" + b" " * 100_000 + b"}",
}


def leave(place: Location, data: bytes, name: str = "run-x.json") -> Location:
    (place / FOLDER / name).write_bytes(data)
    return place / FOLDER / name


def seen(kind: str, text: str) -> bytes:
    return json.dumps({"kind": kind, "host": "far.away", "process": 7, "seen": text}).encode()


def written(ago: timedelta | None, name: str = "run-x.json") -> None:
    """Let the store say that an object was written so long ago, or say nothing."""
    AGES[name] = ago


class TestBroken:
    """Everything in a bucket is untrusted: nothing that lies there may stop a run, or mislead a pruning."""

    @pytest.mark.parametrize("what", WRONG)
    def test_what_is_no_heartbeat_stops_no_run(self, location: Location, what: str) -> None:
        left = leave(location, WRONG[what])
        with locked(location, RUN):
            assert left.exists()

    @pytest.mark.parametrize("what", WRONG)
    def test_a_pruning_waits_until_what_is_no_heartbeat_is_old(
        self, memory_location: Location, what: str
    ) -> None:
        left = leave(memory_location, WRONG[what])
        with (
            pytest.raises(
                UserError, match=r"run-x\.json may be the heartbeat of a run and cannot be read: delete"
            ),
            locked(memory_location, PRUNE),
        ):
            pytest.fail("it began")
        written(SILENCE * 1.1)
        with locked(memory_location, PRUNE):
            assert not left.exists()

    def test_every_store_knows_when_a_heartbeat_was_written(self, location: Location) -> None:
        changed = leave(location, b"nothing").modified()
        assert changed is not None
        assert abs(datetime.now(UTC) - changed) < timedelta(minutes=1)

    def test_a_store_that_does_not_say_when_counts_as_just_now(self, memory_location: Location) -> None:
        left = leave(memory_location, b"nothing")
        written(None)
        with pytest.raises(UserError, match="cannot be read"), locked(memory_location, PRUNE):
            pytest.fail("it began")
        assert left.exists()

    def test_a_time_without_zone_is_utc(self, memory_location: Location) -> None:
        recent, old = (
            (datetime.now(UTC) - SILENCE * share).replace(tzinfo=None).isoformat() for share in (0.5, 1.1)
        )
        left = leave(memory_location, seen(PRUNE, old))
        written(None)
        with locked(memory_location, RUN):
            assert not left.exists()
        leave(memory_location, seen(RUN, recent))
        with locked(memory_location, RUN):
            pass
        with pytest.raises(UserError, match="A run is at work"), locked(memory_location, PRUNE):
            pytest.fail("it began")

    @pytest.mark.parametrize("kind", [RUN, PRUNE, "something"])
    @pytest.mark.parametrize(
        "time",
        ["", "yesterday", "2026-13-45T99:99", "9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59-23:59"],
    )
    def test_a_time_that_cannot_be_true(self, location: Location, kind: str, time: str) -> None:
        if kind != PRUNE:
            leave(location, seen(kind, time))
            with locked(location, RUN):
                pass
        left = leave(location, seen(kind, time))
        written(SILENCE / 2)
        if kind in (RUN, PRUNE):
            with (
                pytest.raises(UserError, match=rf"A {kind} is at work .*last heartbeat 1\d\d s ago"),
                locked(location, PRUNE),
            ):
                pytest.fail("it began")
        written(SILENCE * 1.1)
        with locked(location, PRUNE):
            assert not left.exists()

    @pytest.mark.parametrize(("first", "second"), [(RUN, PRUNE), (PRUNE, RUN)])
    @pytest.mark.parametrize("hours", [-1, 1, 1000])
    def test_a_clock_that_is_wrong_lets_nobody_in(
        self, location: Location, first: str, second: str, hours: float
    ) -> None:
        with locked(location, first) as mine:
            (name,) = (location / FOLDER).children()
            # As of a machine whose clock is so far from this one's.
            told = datetime.now(UTC) - timedelta(hours=hours)
            leave(location, seen(first, told.isoformat()), name)
            with pytest.raises(UserError, match=f"A {first} is at work"), locked(location, second):
                pytest.fail("it began")
            mine.require_held()

    def test_a_folder_and_strangers_are_left_alone(self, tmp_path: Path) -> None:
        place = Location.parse(tmp_path)
        (place / FOLDER / "run-folder.json/x").write_bytes(b"1")
        (place / FOLDER / "notes.txt").write_bytes(b"1")
        (tmp_path / FOLDER / "run-\\.json").write_bytes(b"1")
        for kind in (RUN, PRUNE):
            with locked(place, kind):
                pass
        assert (place / FOLDER / "run-folder.json/x").exists()
        assert (place / FOLDER / "notes.txt").exists()

    @pytest.mark.parametrize("kind", [RUN, PRUNE])
    def test_a_heartbeat_that_may_not_be_read(
        self, memory_location: Location, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = leave(memory_location, seen(RUN, datetime.now(UTC).isoformat()))

        def refuse(place: Location) -> bytes:
            raise StorageError(f"No permission to read {place}: grant it.")

        monkeypatch.setattr(Location, "read_bytes", refuse)
        if kind == RUN:
            with locked(memory_location, kind):
                assert left.exists()
            return
        with pytest.raises(UserError, match="cannot be read"), locked(memory_location, kind):
            pytest.fail("it began")

    def test_an_old_heartbeat_that_cannot_be_removed_is_ignored(
        self, memory_location: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leave_heartbeat(memory_location, PRUNE, SILENCE * 2)

        def refuse(place: Location) -> None:
            raise StorageError(f"No permission to delete {place}: grant it.")

        monkeypatch.setattr(Location, "delete", refuse)
        with locked(memory_location, RUN):
            pass


class TestAlone:
    @pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
    def test_the_second_writer_is_told_who_holds_it(
        self, location: Location, first: bool, second: bool
    ) -> None:
        with (
            locked(location, RUN, alone=first),
            pytest.raises(UserError, match=r"A run is at work in .*process \d+ on .*last heartbeat \d s ago"),
            locked(location, RUN, alone=second),
        ):
            pytest.fail("it began")
        with locked(location, RUN, alone=second):
            pass

    def test_whose_writer_was_killed_is_free_after_five_minutes(self, memory_location: Location) -> None:
        left = leave_heartbeat(memory_location, RUN, SILENCE / 2)
        with pytest.raises(UserError, match="A run is at work"), locked(memory_location, RUN, alone=True):
            pytest.fail("it began")
        left.delete()
        leave_heartbeat(memory_location, RUN, SILENCE * 1.1)
        with locked(memory_location, RUN, alone=True):
            pass


def test_heartbeats_are_renewed(memory_location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "RENEWAL", 0.001)
    renewed = threading.Event()
    real = run_lock.RunLock.renew

    def renew(self: run_lock.RunLock) -> None:
        real(self)
        renewed.set()

    monkeypatch.setattr(run_lock.RunLock, "renew", renew)
    with locked(memory_location, RUN):
        assert renewed.wait(20)


def test_a_store_that_is_away_for_a_while_is_no_end(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "RENEWAL", 0.001)
    calls: list[int] = []
    twice = threading.Event()

    def renew(_: run_lock.RunLock) -> None:
        calls.append(1)
        if len(calls) == 2:
            twice.set()
        raise StorageError("away")

    monkeypatch.setattr(run_lock.RunLock, "renew", renew)
    with locked(memory_location, RUN):
        assert twice.wait(20)


def test_a_heartbeat_that_cannot_be_taken_back_spoils_nothing(
    memory_location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(_: Location) -> None:
        raise StorageError("away")

    with locked(memory_location, RUN):
        monkeypatch.setattr(Location, "delete", delete)
    assert len((memory_location / FOLDER).children()) == 1
    monkeypatch.undo()


def test_who_was_taken_for_gone_notices(memory_location: Location) -> None:
    with locked(memory_location, RUN) as mine:
        mine.require_held()
        (name,) = (memory_location / FOLDER).children()
        (memory_location / FOLDER / name).delete()
        for _ in range(2):
            with pytest.raises(UserError, match=r"took this run for ended .*start it again"):
                mine.require_held()


def test_who_slept_notices(tmp_path: Path) -> None:
    with locked(Location.parse(tmp_path), RUN) as mine:
        mine._last -= SILENCE.total_seconds() * 1.1
        with pytest.raises(UserError, match="This run wrote no heartbeat"):
            mine.require_held()
