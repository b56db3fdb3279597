"""Which stores may be written to by several, and what is done about the others."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3_stub import s3_stub, url_of

from infra.errors import StorageError
from infra.ledger.publications import check_layout, claim
from infra.settings import StorageSettings
from infra.storage.conditional_writes import FOLDER, NOTE, require_conditional_puts
from infra.storage.location import LARGEST_CONDITIONAL, Location

KEEPING = ["named", "unnamed", "bare", "conflict"]


def place_on(server: Any, path: str = "dest") -> Location:
    return Location.parse(f"s3://bucket/{path}", StorageSettings(endpoint_url=url_of(server)))


@pytest.mark.s3
class TestPutIfAbsent:
    @pytest.mark.parametrize("condition", KEEPING)
    def test_however_a_store_refuses_the_first_counts(self, condition: str, no_waiting: None) -> None:
        with s3_stub(condition) as server:
            place = place_on(server) / "marker"
            assert place.put_if_absent(b"first")
            assert not place.put_if_absent(b"second")
            # An equal object is another's, too, unless an attempt of one's own went before.
            assert not place.put_if_absent(b"first") or condition == "conflict"
            assert place.read_bytes() == b"first"

    @pytest.mark.parametrize("condition", KEEPING)
    def test_of_racing_writers_one_wins(self, condition: str, no_waiting: None) -> None:
        with s3_stub(condition) as server, ThreadPoolExecutor(8) as pool:
            place = place_on(server) / "marker"
            won = list(pool.map(lambda number: place.put_if_absent(str(number).encode()), range(8)))
            assert won.count(True) == 1
            assert place.read_bytes() == str(won.index(True)).encode()

    def test_what_vanished_in_between_is_not_ours(
        self, no_waiting: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with s3_stub("conflict") as server:
            place = place_on(server) / "marker"
            assert place.put_if_absent(b"first")

            def gone(*_: object) -> bytes:
                raise FileNotFoundError

            monkeypatch.setattr("infra.storage.object_store.S3Store.read", gone)
            assert not place.put_if_absent(b"first")


def test_what_is_large_is_refused_before_a_client_would_cut_it_in_parts(memory_location: Location) -> None:
    s3fs = pytest.importorskip("s3fs")
    import inspect

    parts_from = 2 * inspect.signature(s3fs.S3FileSystem._pipe_file).parameters["chunksize"].default
    assert parts_from > LARGEST_CONDITIONAL
    with pytest.raises(StorageError, match=r"marker is too large .*67,108,865 bytes"):
        (memory_location / "marker").put_if_absent(bytes(LARGEST_CONDITIONAL + 1))
    assert not (memory_location / "marker").exists()


class TestClaim:
    def test_a_store_that_keeps_conditions_is_asked_once(
        self, location: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claim(location)
        assert check_layout(location)
        assert not (location / FOLDER).exists()
        note = location / NOTE
        assert note.exists() == location.url.startswith("s3://")

        def again(*_: object) -> bool:
            raise AssertionError("asked again")

        monkeypatch.setattr("infra.storage.conditional_writes.ask_conditional_puts", again)
        claim(location)

    @pytest.mark.s3
    def test_one_that_ignores_them_is_refused_by_name(self) -> None:
        with s3_stub("ignored") as server:
            place = place_on(server)
            for _ in range(2):
                with pytest.raises(
                    StorageError,
                    match=r"store of s3://bucket/dest ignores If-None-Match .*storage\.single_writer",
                ):
                    claim(place)
            # Nothing is left in a place that was refused.
            assert server.objects == {}

    @pytest.mark.s3
    def test_one_that_takes_every_name_for_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with s3_stub("unnamed") as server:
            monkeypatch.setattr("infra.storage.object_store.S3Store.create", lambda *_: False)
            with pytest.raises(StorageError, match="says that a name is taken"):
                claim(place_on(server))

    @pytest.mark.s3
    def test_a_single_writer_goes_on(self) -> None:
        with s3_stub("ignored") as server:
            place = place_on(server)
            claim(place, single_writer=True)
            assert check_layout(place)
            assert not (place / NOTE).exists()
            assert StorageSettings().single_writer is False

    @pytest.mark.s3
    def test_a_note_from_another_store_does_not_count(self) -> None:
        with s3_stub("unnamed") as good, s3_stub("ignored") as bad:
            claim(place_on(good))
            bad.objects |= good.objects
            with pytest.raises(StorageError, match="ignores If-None-Match"):
                claim(place_on(bad))

    @pytest.mark.s3
    @pytest.mark.parametrize("note", [b"", b"[]", b"nothing", b'{"conditional_puts": true}'])
    def test_a_broken_note_is_written_anew(self, note: bytes) -> None:
        with s3_stub("unnamed") as server:
            place = place_on(server)
            (place / NOTE).write_bytes(note)
            claim(place)
            assert json.loads((place / NOTE).read_bytes())["conditional_puts"] is True

    @pytest.mark.s3
    @pytest.mark.parametrize("condition", ["unnamed", "ignored"])
    def test_those_who_ask_at_once_do_not_confuse_each_other(self, condition: str) -> None:
        def asked(place: Location) -> bool:
            try:
                claim(place)
            except StorageError:
                return False
            return True

        with s3_stub(condition) as server, ThreadPoolExecutor(8) as pool:
            assert set(pool.map(asked, [place_on(server)] * 8)) == {condition == "unnamed"}

    @pytest.mark.s3
    def test_no_password_is_noted(self) -> None:
        with s3_stub("unnamed") as server:
            plain = place_on(server)
            place = Location(plain.url, {**plain.options, "endpoint_url": url_of(server)})
            claim(place)
            secret = Location(plain.url, {**plain.options, "endpoint_url": "http://me:secret@host:1"})
            from infra.storage.conditional_writes import _note

            assert "secret" not in json.dumps(_note(secret))


class Elsewhere(MemoryFileSystem):
    """Stands for every other file system that fsspec knows."""

    protocol = "elsewhere"


class TestOtherProtocols:
    @pytest.fixture(autouse=True)
    def elsewhere(self) -> None:
        fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)

    def test_they_count_as_ignoring_conditions(self) -> None:
        place = Location.parse("elsewhere://bucket/dest")
        with pytest.raises(StorageError, match=r"not know that elsewhere:// stores can .*single_writer"):
            claim(place)
        claim(place, single_writer=True)
        assert check_layout(place)

    def test_only_what_was_tested_keeps_them(self) -> None:
        known = set(fsspec.available_protocols())
        asked = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
        for protocol in sorted(known - asked - {"file", "local", "memory"}):
            with pytest.raises(StorageError, match="single_writer"):
                require_conditional_puts(Location(f"{protocol}://bucket/dest"))
